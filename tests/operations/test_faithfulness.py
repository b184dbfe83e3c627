"""What must not be lost or harmed on the way: types, counts, and the form that programs load."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sfumato.containers.arrays import tensor_from
from sfumato.containers.dtype import F8_E4M3, F16, F32
from sfumato.containers.open import open_model
from sfumato.containers.save import save
from sfumato.errors import Refused
from sfumato.operations.cast import Losses, cast
from sfumato.operations.convert import convert
from sfumato.operations.prune import prune
from sfumato.operations.recipe import parse
from small_models import VAE_PREFIX, sd1
from toys import random_tensor, random_tensors


def test_numbers_clipped_to_the_largest_of_a_type_are_counted() -> None:
    values = np.array([1000.0, -1e9, 460.0, 448.0, np.nan, 1.0], np.float32)
    losses = Losses()
    cast("w", tensor_from(values), F8_E4M3, losses).read()
    assert losses.clipped == {"w": 2} and not losses.infinite


def test_a_clipped_number_is_told_and_with_strict_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", {"w": tensor_from(np.array([1000.0, 1.0], np.float32))})
    report = convert(tmp_path / "a.safetensors", tmp_path / "b.safetensors", dtype="f8_e4m3")
    assert any("largest number" in sentence for sentence in report.sentences())
    with pytest.raises(Refused, match="largest number"):
        convert(tmp_path / "a.safetensors", tmp_path / "c.ckpt", dtype="f8_e4m3", strict=True)


def test_what_is_read_twice_counts_once() -> None:
    losses = Losses()
    tensor = cast("w", tensor_from(np.array([1e9, 1e-9], np.float32)), F16, losses)
    tensor.read()
    list(tensor.chunks())
    assert (losses.infinite, losses.flushed) == ({"w": 1}, {"w": 1})


def test_schedules_and_optimizer_state_keep_their_type(tmp_path: Path) -> None:
    model = {**sd1(optimizer=True), "betas": random_tensor((1000,))}
    save(tmp_path / "a.safetensors", model)
    convert(tmp_path / "a.safetensors", tmp_path / "b.safetensors", dtype="f16")
    with open_model(tmp_path / "b.safetensors") as found:
        kept = {name for name, tensor in found.items() if tensor.dtype is F32}
        assert kept == {"betas"} | {name for name in model if name.startswith("optimizer_states.")}


def test_a_bare_dictionary_of_tensors_stays_one(tmp_path: Path) -> None:
    """A1111 loads VAEs strictly, and takes a file of one entry for an embedding."""
    vae = {n.removeprefix(VAE_PREFIX): t for n, t in sd1().items() if n.startswith(VAE_PREFIX)}
    token = random_tensors({"<cat-toy>": (1, 768)})
    for name, tensors in (("vae", vae), ("cat", token)):
        save(tmp_path / f"{name}.safetensors", tensors)
        report = convert(tmp_path / f"{name}.safetensors", tmp_path / f"{name}.pt")
        loaded = torch.load(tmp_path / f"{name}.pt", weights_only=True)
        assert loaded.keys() == tensors.keys()
        assert not report.recorded and any("no recipe" in text for text in report.sentences())


def test_a_hypernetwork_carries_its_recipe_beside_its_widths(tmp_path: Path) -> None:
    shapes = {f"768.{i}.linear.{j}.weight": (768, 768) for i in (0, 1) for j in (0, 1)}
    save(tmp_path / "a.safetensors", random_tensors(shapes, F16))
    report = convert(tmp_path / "a.safetensors", tmp_path / "b.pt")
    loaded = torch.load(tmp_path / "b.pt", weights_only=True)
    assert report.recorded and parse(loaded.pop("sfumato_recipe")).operation == "convert"
    assert set(loaded) == {768}


def test_hashes_of_the_old_bytes_do_not_follow_to_the_new(tmp_path: Path) -> None:
    said = {"title": "moon", "sshs_model_hash": "1" * 64, "modelspec.hash_sha256": "0x" + "1" * 64}
    save(tmp_path / "a.safetensors", random_tensors({"w": (4,)}), said)
    convert(tmp_path / "a.safetensors", tmp_path / "b.safetensors", dtype="f16")
    with open_model(tmp_path / "b.safetensors") as found:
        assert set(found.metadata) == {"format", "title", "sfumato.recipe"}


def test_text_goes_into_a_folder_and_comes_back(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", sd1(F16), {"title": "moon", "format": "pt"})
    convert(tmp_path / "a.safetensors", tmp_path / "folder")
    convert(tmp_path / "folder", tmp_path / "b.safetensors")
    with open_model(tmp_path / "b.safetensors") as found:
        assert found.metadata["title"] == "moon"
        assert not any("/" in key or key.endswith(".json") for key in found.metadata)


def test_a_pruned_folder_keeps_its_settings(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", sd1(F16))
    convert(tmp_path / "a.safetensors", tmp_path / "folder")
    prune(tmp_path / "folder", tmp_path / "slim")
    for name in ("model_index.json", "unet/config.json", "scheduler/scheduler_config.json"):
        assert (tmp_path / "slim" / name).read_text() == (tmp_path / "folder" / name).read_text()


def test_metadata_that_a_pickle_cannot_hold_is_told_of(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", random_tensors({"w": (4,)}), {"format": "pt", "ss_seed": "7"})
    report = convert(tmp_path / "a.safetensors", tmp_path / "b.pt")
    assert any("ss_seed" in sentence for sentence in report.sentences())
    assert not list(convert(tmp_path / "a.safetensors", tmp_path / "c.safetensors").warnings())


def test_an_old_recipe_is_not_taken_for_a_value(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", sd1(F16))
    convert(tmp_path / "a.safetensors", tmp_path / "b.ckpt")
    convert(tmp_path / "b.ckpt", tmp_path / "c.safetensors")
    with open_model(tmp_path / "c.safetensors") as found:
        assert set(found.metadata) == {"format", "sfumato.recipe"}
