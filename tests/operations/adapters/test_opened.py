"""A file as a target for adapters: the same as the model that is loaded from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from loras import arrays, bodiless_model, saved
from paintable import KINDS, write
from sfumato.containers.dtype import F8_E4M3
from sfumato.containers.open import open_model
from sfumato.engine.loading.load import load
from sfumato.errors import Unsupported
from sfumato.operations.adapters.opened import opened, target_of_file
from sfumato.operations.convert import convert

pytestmark = pytest.mark.slow

UNUSED = ".logit_scale"
"""what painting never uses and folders lack"""


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_the_target_that_the_model_loaded_from_it_is(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / f"{kind}.safetensors", kind)
    model = load(path, device="cpu")
    with open_model(path) as file:
        found = target_of_file(file)
        assert (found.family, found.networks) == (model.family, model.target.networks)
        assert {k: t.shape for k, t in found.tensors.items()} == {
            k: t.shape for k, t in model.target.tensors.items()
        }
    model.close()


@pytest.mark.parametrize("kind", ["sd1", "sd2", "sdxl"])
def test_a_folder_is_the_target_that_the_checkpoint_is(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / f"{kind}.safetensors", kind)
    convert(path, tmp_path / "folder")
    with open_model(path) as one, open_model(tmp_path / "folder") as other:
        ours, theirs = target_of_file(one), target_of_file(other)
        assert ours.networks == theirs.networks
        assert all(key.endswith(UNUSED) for key in ours.tensors.keys() - theirs.tensors.keys())
        for key, tensor in theirs.tensors.items():
            assert bytes(tensor.read()) == bytes(ours.tensors[key].read())


def test_every_key_tells_where_in_the_file_it_lies(tmp_path: Path) -> None:
    path = write(tmp_path / "sd2.safetensors", "sd2")
    convert(path, tmp_path / "folder")
    with open_model(tmp_path / "folder") as file:
        found = opened(file)
        assert found.moves.keys() == found.target.tensors.keys()
        sources = [source for move in found.moves.values() for source in move.sources]
        assert len(set(sources)) == len(sources) and set(sources) <= set(file)


def test_what_has_no_network_is_no_target(tmp_path: Path) -> None:
    path = saved(tmp_path / "ink.safetensors", arrays(bodiless_model(), "ia3", ("attn2.to_k",)))
    with open_model(path) as file, pytest.raises(Unsupported, match=r"but: SD 1.x .*IA3"):
        target_of_file(file)


def test_fp8_without_scales_is_read_as_it_is(tmp_path: Path) -> None:
    path = write(tmp_path / "narrow.safetensors", "sd1", F8_E4M3)
    with open_model(path) as file:
        assert {t.dtype for t in target_of_file(file).tensors.values()} == {F8_E4M3}
