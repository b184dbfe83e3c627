"""Converting there and back is where one started; every output tells how it was made."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from blake3 import blake3
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from sfumato.catalogue.cards.inspect import inspect
from sfumato.containers.arrays import array, tensor_from
from sfumato.containers.dtype import F8_E4M3, F16, F32
from sfumato.containers.open import open_model
from sfumato.containers.save import save
from sfumato.errors import Refused, UsageError
from sfumato.operations.convert import convert
from sfumato.operations.recipe import KEY, parse
from small_models import IDS, sd1
from toys import contents, random_tensors


def checkpoint(path: Path) -> Path:
    state = {name: torch.from_numpy(_numpy(tensor)) for name, tensor in sd1().items()}
    torch.save({"state_dict": state, "global_step": 7}, path)
    return path


def _numpy(tensor):  # noqa: ANN001, ANN202
    from sfumato.containers.arrays import array

    return array(tensor).copy()


def test_a_pickle_becomes_safetensors_with_the_same_numbers(tmp_path: Path) -> None:
    convert(checkpoint(tmp_path / "a.ckpt"), tmp_path / "a.safetensors")
    theirs = torch.load(tmp_path / "a.ckpt", weights_only=True)["state_dict"]
    ours = load_file(tmp_path / "a.safetensors")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors", ".gguf"])
def test_there_and_back_is_where_one_started(tmp_path: Path, suffix: str) -> None:
    source = checkpoint(tmp_path / "a.ckpt")
    convert(source, tmp_path / f"b{suffix}")
    convert(tmp_path / f"b{suffix}", tmp_path / "c.safetensors")
    with open_model(source) as a, open_model(tmp_path / "c.safetensors") as c:
        assert contents(a) == contents(c)


def test_half_and_back_is_half(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", sd1(F16))
    convert(tmp_path / "a.safetensors", tmp_path / "b.safetensors", dtype="f32")
    convert(tmp_path / "b.safetensors", tmp_path / "c.safetensors", dtype="f16")
    with open_model(tmp_path / "a.safetensors") as a, open_model(tmp_path / "c.safetensors") as c:
        assert contents(a) == contents(c)


def test_position_ids_stay_integers(tmp_path: Path) -> None:
    convert(checkpoint(tmp_path / "a.ckpt"), tmp_path / "b.safetensors", dtype="f16")
    with open_model(tmp_path / "b.safetensors") as model:
        assert model[IDS].dtype.name == "I64"


def test_the_recipe_names_the_input_by_its_hash(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "a.ckpt")
    convert(source, tmp_path / "b.safetensors", dtype="f16")
    with safe_open(tmp_path / "b.safetensors", framework="np") as file:
        recipe = parse(file.metadata()[KEY])
    (made_from,) = recipe.inputs
    assert made_from.blake3 == blake3(source.read_bytes()).hexdigest()
    assert (made_from.name, recipe.operation) == ("a.ckpt", "convert")
    assert recipe.options["dtype"] == "f16"


def test_a_pickle_carries_its_recipe_too(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "a.ckpt")
    convert(source, tmp_path / "b.ckpt", dtype="f16")
    text = torch.load(tmp_path / "b.ckpt", weights_only=True)["sfumato_recipe"]
    assert parse(text).inputs[0].blake3 == blake3(source.read_bytes()).hexdigest()


def test_numbers_too_large_are_reported_and_with_strict_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", {"w": tensor_from(np.array([1e9, 1.0], np.float32))})
    report = convert(tmp_path / "a.safetensors", tmp_path / "b.safetensors", dtype="f16")
    assert any("infinite" in sentence for sentence in report.sentences())
    with pytest.raises(Refused, match="infinite"):
        convert(tmp_path / "a.safetensors", tmp_path / "c.safetensors", dtype="f16", strict=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.safetensors", "b.safetensors"]


def test_an_embedding_goes_through_every_container_that_holds_one(tmp_path: Path) -> None:
    vectors = random_tensors({"emb_params": (3, 768)})
    save(tmp_path / "moon.safetensors", vectors)
    convert(tmp_path / "moon.safetensors", tmp_path / "moon.pt")
    assert set(torch.load(tmp_path / "moon.pt", weights_only=True)["string_to_param"]) == {"*"}
    convert(tmp_path / "moon.pt", tmp_path / "moon.png")
    convert(tmp_path / "moon.png", tmp_path / "back.safetensors")
    with open_model(tmp_path / "back.safetensors") as back:
        assert contents(back) == contents(vectors)


def test_a_hypernetwork_gets_its_pairs_back(tmp_path: Path) -> None:
    shapes = {f"768.{i}.linear.{j}.weight": (4, 4) for i in (0, 1) for j in (0, 1)}
    tensors = random_tensors(shapes)
    save(tmp_path / "a.safetensors", tensors, {"sfumato.extra.layer_structure": json.dumps("x")})
    convert(tmp_path / "a.safetensors", tmp_path / "b.pt")
    loaded = torch.load(tmp_path / "b.pt", weights_only=True)
    assert isinstance(loaded[768], tuple) and "linear.0.weight" in loaded[768][1]
    with open_model(tmp_path / "b.pt") as back:
        assert contents(back) == contents(tensors)


def test_quantised_weights_are_near_and_only_in_gguf(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", random_tensors({"w": (4, 64)}))
    convert(tmp_path / "a.safetensors", tmp_path / "b.gguf", dtype="q8_0")
    with open_model(tmp_path / "a.safetensors") as a, open_model(tmp_path / "b.gguf") as b:
        assert b["w"].origin is not None and b["w"].origin.encoding == "Q8_0"
        assert np.allclose(
            np.frombuffer(a["w"].read(), "<f4"), np.frombuffer(b["w"].read(), "<f4"), atol=0.03
        )
    with pytest.raises(UsageError, match="GGUF"):
        convert(tmp_path / "a.safetensors", tmp_path / "c.safetensors", dtype="q8_0")


def test_a_checkpoint_becomes_a_folder_and_a_checkpoint_again(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "a.ckpt")
    convert(source, tmp_path / "folder")
    assert (tmp_path / "folder" / "model_index.json").is_file()
    convert(tmp_path / "folder", tmp_path / "b.safetensors")
    with open_model(source) as a, open_model(tmp_path / "b.safetensors") as b:
        assert contents(a) == contents(b)


def test_a_folder_of_transformers_5_keeps_its_text_encoder(tmp_path: Path) -> None:
    convert(checkpoint(tmp_path / "a.ckpt"), tmp_path / "folder")
    place = tmp_path / "folder" / "text_encoder" / "model.safetensors"
    old = load_file(place)
    save_file({name.removeprefix("text_model."): old[name] for name in old}, place)
    report = convert(tmp_path / "folder", tmp_path / "b.safetensors")
    assert not report.plan.dropped
    with open_model(tmp_path / "a.ckpt") as a, open_model(tmp_path / "b.safetensors") as b:
        assert contents(a) == contents(b)


def test_a_network_is_never_dropped_for_want_of_a_spelling(tmp_path: Path) -> None:
    alt = random_tensors({"cond_stage_model.roberta.pooler.dense.weight": (4, 4)})
    save(tmp_path / "a.safetensors", {**sd1(), **alt})
    with pytest.raises(Refused, match="the XLM-R text encoder would be dropped"):
        convert(tmp_path / "a.safetensors", tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_scaled_fp8_goes_to_other_spellings_only_multiplied_out(tmp_path: Path) -> None:
    name = "model.diffusion_model.time_embed.0.weight"
    model = sd1()
    narrow = tensor_from(array(model[name]), F8_E4M3)
    scale = tensor_from(np.full((), 2, np.float32))
    scaled = {**model, name: narrow, name.replace(".weight", ".scale_weight"): scale}
    save(tmp_path / "a.safetensors", {**scaled, "scaled_fp8": tensor_from(np.zeros(2, "f4"))})
    with pytest.raises(Refused, match="lose the scales"):
        convert(tmp_path / "a.safetensors", tmp_path / "folder")
    report = convert(tmp_path / "a.safetensors", tmp_path / "folder", dtype="f16")
    assert "1 scaled fp8 weight multiplied out" in list(report.sentences())
    with open_model(tmp_path / "folder") as back:
        found = array(back["unet.time_embedding.linear_1.weight"])
        assert np.array_equal(found, 2 * array(narrow))


def test_nothing_to_convert_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", {})
    with pytest.raises(Refused, match="no tensors"):
        convert(tmp_path / "a.safetensors", tmp_path / "b.ckpt")


def test_an_unknown_container_and_ending_are_wrong_usage(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", random_tensors({"w": (2,)}))
    for target, container in (("b.xyz", None), ("b.ckpt", "safetensor")):
        with pytest.raises(UsageError, match="safetensors"):
            convert(tmp_path / "a.safetensors", tmp_path / target, container=container)


def test_what_was_converted_is_still_what_it_was(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "a.ckpt")
    convert(source, tmp_path / "b.safetensors", dtype="bf16")
    before, after = inspect(source).identity, inspect(tmp_path / "b.safetensors").identity
    assert before is not None and after is not None
    assert (before.kind, before.family, before.title) == (after.kind, after.family, after.title)


def test_no_thread_is_left_behind(tmp_path: Path) -> None:
    before = threading.active_count()
    convert(checkpoint(tmp_path / "a.ckpt"), tmp_path / "b.safetensors", dtype="f16")
    assert threading.active_count() == before


def test_progress_is_told_to_the_end(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    save(tmp_path / "a.safetensors", random_tensors({"w": (1000,)}, F32))
    convert(
        tmp_path / "a.safetensors",
        tmp_path / "b.ckpt",
        progress=lambda done, total: told.append((done, total)),
    )
    assert told and told[-1][0] <= told[-1][1]
    assert told == sorted(told)
