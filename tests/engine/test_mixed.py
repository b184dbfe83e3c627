"""A merge that is in no file paints what it would paint from one."""

from __future__ import annotations

from pathlib import Path

import pytest

from paintable import write
from sfumato.engine.loading.load import load
from sfumato.engine.loading.mixed import called, is_mix, mix_of, open_checkpoint
from sfumato.engine.open import load_painter
from sfumato.errors import UsageError
from sfumato.library.find import Shelf
from sfumato.operations.merging.merge import merge


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("models")
    for name, seed in (("dusk", 1), ("ink v2", 2)):
        write(found / f"{name}.safetensors", seed=seed)
    return found


def test_names_are_bare_again_in_what_a_mix_is_called(folder: Path) -> None:
    shelf = Shelf((folder,))
    mixed = mix_of(f"0.7*dusk + 0.3*'{folder}/ink v2.safetensors'", shelf)
    assert called(mixed) == "0.7*dusk + 0.3*ink v2"
    assert called(mix_of(called(mixed), shelf)) == called(mixed)


def test_weights_are_those_of_the_merged_file_bit_for_bit(folder: Path, tmp_path: Path) -> None:
    paths = [folder / "dusk.safetensors", folder / "ink v2.safetensors"]
    merge(paths, tmp_path / "m.safetensors", method="sum", weights=[0.7, 0.3])
    merged = load(tmp_path / "m.safetensors")
    mixed = load(open_checkpoint(Path("0.7*dusk + 0.3*ink v2"), Shelf((folder,))))
    for one, other in zip(merged.networks, mixed.networks, strict=True):
        theirs = dict(other.module.named_parameters())
        assert all((w == theirs[name]).all() for name, w in one.module.named_parameters())
    merged.close()
    mixed.close()


def test_a_picture_says_what_it_was_mixed_from(folder: Path) -> None:
    with load_painter("0.5*dusk + 0.5*ink v2", models=[folder]) as painter:
        (picture,) = painter.generate("a tower", steps=1, seed=5, width=32, height=32)
    assert picture.record.fields["Model"] == "0.5*dusk + 0.5*ink v2"
    assert "Model hash" not in picture.record.fields


def test_a_name_that_is_nowhere_is_refused_with_the_nearest(folder: Path) -> None:
    with pytest.raises(UsageError, match="dusk"):
        mix_of("0.7*dusck + 0.3*ink v2", Shelf((folder,)))


def test_a_model_whose_name_looks_like_a_sum_is_that_model(folder: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "dusk - ink v2.safetensors")
    shelf = Shelf((folder, tmp_path))
    assert not is_mix(str(path), shelf) and not is_mix("dusk - ink v2", shelf)
    assert is_mix("dusk - ink v2", Shelf((folder,)))
