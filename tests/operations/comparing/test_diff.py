"""Models are compared by what they hold: container, type, spelling and order do not count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from comparable import cast, small, stored, tuned
from sfumato.containers.arrays import tensor_from
from sfumato.containers.dtype import BF16, F16
from sfumato.containers.save import save
from sfumato.operations.comparing.diff import Difference, diff
from sfumato.operations.comparing.words import sentences, verdict
from sfumato.operations.convert import convert
from sfumato.operations.ema import ema
from sfumato.operations.prune import prune
from small_models import IDS, UNET, VAE_PREFIX
from toys import random_tensor


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    return stored(tmp_path / "whole.safetensors", small())


def states(found: Difference) -> dict[str, str]:
    return {part.role: part.state for part in found.parts}


def test_a_file_is_the_same_as_itself(whole: Path) -> None:
    found = diff(whole, whole)
    assert found.same and set(states(found).values()) == {"identical"}
    assert verdict(found) == "The same model: every part has the same weights."


def test_another_container_changes_nothing(whole: Path, tmp_path: Path) -> None:
    convert(whole, tmp_path / "b.ckpt")
    found = diff(whole, tmp_path / "b.ckpt")
    assert found.same and set(states(found).values()) == {"identical"}


def test_another_spelling_changes_nothing(whole: Path, tmp_path: Path) -> None:
    convert(whole, tmp_path / "folder")
    found = diff(whole, tmp_path / "folder")
    assert found.same and set(states(found).values()) == {"identical"}
    assert {part.role for part in found.parts} == {"unet", "vae", "text_encoder"}


@pytest.mark.parametrize("dtype", ["f16", "bf16"])
def test_a_cast_is_the_same_weights(whole: Path, tmp_path: Path, dtype: str) -> None:
    convert(whole, tmp_path / "b.safetensors", dtype=dtype)
    found = diff(whole, tmp_path / "b.safetensors")
    assert found.same and set(states(found).values()) == {"same"}
    assert f"one cast from the other (F32, {dtype.upper()})" in "\n".join(sentences(found))


def test_two_casts_of_one_model_are_the_same_weights(whole: Path, tmp_path: Path) -> None:
    a = stored(tmp_path / "a.safetensors", cast(small(), F16))
    b = stored(tmp_path / "b.safetensors", cast(small(), BF16))
    assert diff(a, b).same


def test_quantised_files_of_two_models_are_told_apart(tmp_path: Path) -> None:
    unet = {n.removeprefix(UNET): t for n, t in small().items() if n.startswith(UNET)}
    for name, model in (("a", unet), ("b", tuned(unet, 0.1, seed=1))):
        convert(stored(tmp_path / f"{name}.safetensors", model), tmp_path / f"{name}.gguf")
    assert states(diff(tmp_path / "a.gguf", tmp_path / "b.gguf")) == {"unet": "changed"}
    assert diff(tmp_path / "a.gguf", tmp_path / "a.safetensors").same


def test_a_change_is_found_in_its_block_and_nowhere_else(whole: Path, tmp_path: Path) -> None:
    block = f"{UNET}input_blocks.1."
    b = stored(tmp_path / "b.safetensors", tuned(small(), 0.1, seed=1, under=block))
    found = diff(whole, b)
    assert states(found) == {"unet": "changed", "vae": "identical", "text_encoder": "identical"}
    changed = {b.name: b.distance for part in found.parts for b in part.blocks if b.changed}
    assert changed == {"input_blocks.1": pytest.approx(0.1, rel=0.01)}


def test_a_part_that_was_dropped_is_told(tmp_path: Path) -> None:
    a = stored(tmp_path / "a.safetensors", small(ema=True))
    prune(a, tmp_path / "b.safetensors", drop=("ema",))
    found = diff(a, tmp_path / "b.safetensors")
    assert [part.role for part in found.only_first] == ["ema"] and not found.same
    assert set(states(found).values()) == {"identical"}


def test_averages_that_took_the_place_of_the_trained_weights_are_known(tmp_path: Path) -> None:
    a = stored(tmp_path / "a.safetensors", small(ema=True))
    ema(a, tmp_path / "b.safetensors", action="use")
    for found in (diff(a, tmp_path / "b.safetensors"), diff(tmp_path / "b.safetensors", a)):
        assert states(found)["unet"] == "changed"
        assert any("averaged (EMA) copy" in s and "of the other" in s for s in sentences(found))


def test_a_lone_vae_is_compared_with_the_one_in_a_checkpoint(whole: Path, tmp_path: Path) -> None:
    vae = {n.removeprefix(VAE_PREFIX): t for n, t in small().items() if n.startswith(VAE_PREFIX)}
    found = diff(whole, stored(tmp_path / "vae.safetensors", vae))
    assert states(found) == {"vae": "identical"} and not found.same


def test_missing_and_extra_tensors_are_named(whole: Path, tmp_path: Path) -> None:
    model = small()
    gone = f"{UNET}out.2.bias"
    del model[gone]
    found = diff(whole, stored(tmp_path / "b.safetensors", model))
    assert found.parts[0].missing == ("out.2.bias",) and not found.same
    assert "out.2.bias" in "\n".join(sentences(found))


def test_a_damaged_position_id_is_a_change(whole: Path, tmp_path: Path) -> None:
    ids = np.arange(77)[None]
    ids[0, 40] = 41
    model = {**small(), IDS: tensor_from(ids)}
    found = diff(whole, stored(tmp_path / "b.safetensors", model))
    assert states(found)["text_encoder"] == "changed"
    assert found.parts[2].changed == 1


def test_another_number_of_channels_is_told_and_the_rest_compared(
    whole: Path, tmp_path: Path
) -> None:
    first = f"{UNET}input_blocks.0.0.weight"
    model = {**small(), first: random_tensor((32, 9, 3, 3))}
    part = diff(whole, stored(tmp_path / "b.safetensors", model)).parts[0]
    assert [pair.name for pair in part.reshaped] == ["input_blocks.0.0.weight"]
    assert part.state == "changed" and part.distance == 0


def test_unlike_networks_are_not_compared(whole: Path, real: Path) -> None:
    found = diff(whole, real / "vae-approx.pt")
    assert not found.same and "different networks" in verdict(found)


def test_embeddings_are_the_same_under_both_names_of_their_vectors(tmp_path: Path) -> None:
    vectors = {"string_to_param.*": random_tensor((2, 768))}
    save(tmp_path / "a.pt", vectors)
    convert(tmp_path / "a.pt", tmp_path / "b.safetensors")
    assert states(diff(tmp_path / "a.pt", tmp_path / "b.safetensors")) == {"embedding": "identical"}


def test_loras_are_compared_by_the_modules_they_change(tmp_path: Path) -> None:
    path = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    down, up = random_tensor((4, 320)), random_tensor((320, 4), seed=1)
    kohya = f"lora_unet_{path.replace('.', '_')}"
    a = {f"{kohya}.lora_down.weight": down, f"{kohya}.lora_up.weight": up}
    b = {f"unet.{path}.lora_A.weight": down, f"unet.{path}.lora_B.weight": up}
    found = diff(stored(tmp_path / "a.safetensors", a), stored(tmp_path / "b.safetensors", b))
    assert found.same and states(found) == {"lora-unet": "identical"}


def test_progress_ends_at_all_bytes(whole: Path) -> None:
    told: list[tuple[int, int]] = []
    diff(whole, whole, progress=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] > 0 and sorted(told) == told
