"""Which VAE is chosen: A1111's rules in their order, each with its reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sfumato.engine.autoencoding.choose import choose_vae
from sfumato.errors import UsageError
from sfumato.library.find import Shelf
from toys import write


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write(tmp_path / "models/Stable-diffusion/model.ckpt", b"")


def vae(root: Path, name: str) -> Path:
    return write(root / "models/VAE" / name, b"")


def noted(checkpoint: Path, value: object) -> None:
    write(checkpoint.with_suffix(".json"), json.dumps(value).encode())


def test_alone_a_checkpoint_has_its_own(checkpoint: Path) -> None:
    choice = choose_vae(checkpoint)
    assert choice.path is None
    assert choice.sentence() == "VAE: the checkpoint's own, because no other VAE belongs to it"


def test_what_is_asked_for_goes_before_everything(checkpoint: Path, tmp_path: Path) -> None:
    wanted = vae(tmp_path, "wanted.pt")
    vae(tmp_path, "model.vae.pt")
    noted(checkpoint, {"vae": "model.vae.pt"})
    choice = choose_vae(checkpoint, "wanted", Shelf((tmp_path,)))
    assert (choice.path, choice.reason) == (wanted, "it was asked for")


def test_none_is_the_one_inside_whatever_lies_beside(checkpoint: Path, tmp_path: Path) -> None:
    write(checkpoint.with_name("model.vae.pt"), b"")
    noted(checkpoint, {"vae": "other"})
    assert choose_vae(checkpoint, "None", Shelf((tmp_path,))).path is None


def test_a_note_of_the_user_goes_before_names(checkpoint: Path, tmp_path: Path) -> None:
    write(checkpoint.with_name("model.vae.pt"), b"")
    other = vae(tmp_path, "other.pt")
    noted(checkpoint, {"vae": "other.pt"})
    choice = choose_vae(checkpoint, "auto", Shelf((tmp_path,)))
    assert (choice.path, choice.reason) == (other, "model.json says so")
    noted(checkpoint, {"vae": "None"})
    assert choose_vae(checkpoint, "auto", Shelf((tmp_path,))).path is None
    noted(checkpoint, {"vae": "Automatic"})
    assert choose_vae(checkpoint, "auto", Shelf((tmp_path,))).reason.startswith("its name begins")


def test_a_noted_vae_that_is_gone_is_said_and_passed_over(checkpoint: Path) -> None:
    noted(checkpoint, {"vae": "gone.pt"})
    choice = choose_vae(checkpoint)
    assert choice.path is None and "there is no VAE gone.pt" in choice.notes[0]


@pytest.mark.parametrize("note", [b"", b"{", b"[]", b'{"vae": 1}', b'{"vae": null}', b"\xff\xfe"])
def test_a_side_file_that_says_nothing_is_passed_over(checkpoint: Path, note: bytes) -> None:
    write(checkpoint.with_suffix(".json"), note)
    assert choose_vae(checkpoint).reason == "no other VAE belongs to it"


@pytest.mark.parametrize("suffix", ["pt", "ckpt", "safetensors"])
def test_a_vae_beside_the_checkpoint_is_found_without_a_shelf(
    checkpoint: Path, suffix: str
) -> None:
    beside = write(checkpoint.with_name(f"model.vae.{suffix}"), b"")
    choice = choose_vae(checkpoint)
    assert (choice.path, choice.reason) == (beside, "its name begins with the checkpoint's")


def test_an_equal_name_goes_before_a_longer_one_and_numbers_count(
    checkpoint: Path, tmp_path: Path
) -> None:
    shelf = Shelf((tmp_path,))
    tenth, second = vae(tmp_path, "model-10.vae.pt"), vae(tmp_path, "model-2.vae.pt")
    assert choose_vae(checkpoint, "auto", shelf).path == second != tenth
    equal = vae(tmp_path, "model.safetensors")
    shelf.refresh()
    assert choose_vae(checkpoint, "auto", shelf).path == equal
    assert choose_vae(checkpoint.with_name("mode.ckpt"), "auto", shelf).path == second
    assert choose_vae(checkpoint.with_name("other.ckpt"), "auto", shelf).path is None


def test_a_preview_decoder_belongs_to_no_checkpoint(checkpoint: Path, tmp_path: Path) -> None:
    write(tmp_path / "models/VAE-approx/model.pt", b"")
    assert choose_vae(checkpoint, "auto", Shelf((tmp_path,))).path is None


def test_a_checkpoint_without_a_vae_needs_one(checkpoint: Path) -> None:
    for wish in ("auto", "none"):
        with pytest.raises(UsageError, match="name one with --vae"):
            choose_vae(checkpoint, wish, baked=False)


def test_an_unknown_vae_is_an_error_with_the_nearest_names(
    checkpoint: Path, tmp_path: Path
) -> None:
    vae(tmp_path, "vae-ft-mse.pt")
    with pytest.raises(UsageError, match="the nearest: vae-ft-mse"):
        choose_vae(checkpoint, "vae-ft-msee", Shelf((tmp_path,)))


def test_choosing_takes_no_torch() -> None:
    import subprocess
    import sys

    code = "import sfumato.engine.autoencoding.choose, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
