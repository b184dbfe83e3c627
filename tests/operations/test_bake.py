"""LoRAs and VAEs written into checkpoints: what comes out, what is told, what is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from loras import BENDING, arrays, bodiless_model, saved, weights
from loras import KINDS as LORAS
from paintable import VAE_PREFIX, checkpoint, write
from sfumato.containers.arrays import array, tensor_from
from sfumato.containers.dtype import BF16, F8_E4M3, F16, F32, DType
from sfumato.containers.open import open_model
from sfumato.containers.save import save
from sfumato.containers.tensor import Tensor
from sfumato.engine.adapters.patches import Patches, Use
from sfumato.engine.loading.load import load
from sfumato.engine.model import Model
from sfumato.errors import Damaged, OutputExists, Refused, UsageError
from sfumato.operations.adapters.lora import read_lora
from sfumato.operations.bake import bake, unbake
from sfumato.operations.convert import convert
from sfumato.operations.recipe import KEY, parse
from sfumato.operations.rerun import rerun
from sfumato.operations.vae import vae_extract, vae_replace
from small_models import average
from toys import contents

pytestmark = pytest.mark.slow

UNET = "model.diffusion_model."
QUERY = f"{UNET}input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight"


class Small:
    """Small checkpoints with the models loaded from them, each made once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kept: dict[tuple[str, DType], tuple[Path, Model]] = {}

    def __call__(self, kind: str = "sd1", dtype: DType = F32) -> tuple[Path, Model]:
        if (kind, dtype) not in self.kept:
            path = write(self.folder / f"{kind}-{dtype.name}.safetensors", kind, dtype)
            self.kept[kind, dtype] = path, load(path, device="cpu")
        return self.kept[kind, dtype]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return Small(tmp_path_factory.mktemp("small"))


def numbers(path: Path) -> dict[str, np.ndarray]:
    with open_model(path) as file:
        return {name: np.array(array(tensor), "<f4") for name, tensor in file.items()}


def loaded(path: Path) -> dict[str, torch.Tensor]:
    model = load(path, device="cpu")
    found = weights(model)
    model.close()
    return found


def same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


LAID = ("glora", "glora-old")
"""kinds whose sums are in another order where a convolution lies in memory channels last"""


@pytest.mark.parametrize("kind", LORAS)
def test_what_is_baked_is_what_is_attached_bit_for_bit(
    tmp_path: Path, kind: str, small: Small
) -> None:
    path, model = small()
    lora = saved(tmp_path / "ink.safetensors", arrays(model, kind))
    report = bake(path, tmp_path / "baked.safetensors", loras=[(lora, 0.7, 0.3)])
    with Patches(model) as patches:
        (told,) = patches.set([Use(read_lora(lora, model.target), 0.3, 0.7)])
        baked, attached = loaded(tmp_path / "baked.safetensors"), weights(model)
    assert kind in LAID or same(baked, attached)
    assert all(torch.allclose(baked[key], attached[key], 1e-5, 1e-6) for key in attached)
    assert told.sentence() in list(report.sentences())
    assert told.applied and told.change_unet


@pytest.mark.parametrize("kind", ["sd2", "sdxl", "sdxl-refiner", "sd1-inpainting"])
def test_several_loras_are_baked_in_their_order(tmp_path: Path, kind: str, small: Small) -> None:
    path, model = small(kind)
    one = saved(tmp_path / "one.safetensors", arrays(model, "lora"))
    two = saved(tmp_path / "two.safetensors", arrays(model, "dora"))
    bake(path, tmp_path / "baked.safetensors", loras=[one, (two, 0.5)])
    bake(path, tmp_path / "other.safetensors", loras=[(two, 0.5), one])
    baked, other = loaded(tmp_path / "baked.safetensors"), loaded(tmp_path / "other.safetensors")
    assert not same(baked, other)
    with Patches(model) as patches:
        found = [read_lora(lora, model.target) for lora in (one, two)]
        patches.set([Use(found[0], 1.0), Use(found[1], 0.5)])
        assert same(baked, weights(model))


@pytest.mark.parametrize("kind", ["sd1", "sd2", "sdxl"])
def test_a_folder_keeps_its_spelling(tmp_path: Path, kind: str, small: Small) -> None:
    path, model = small(kind)
    lora = saved(tmp_path / "ink.safetensors", arrays(model, "lora", (".",)))
    convert(path, tmp_path / "folder")
    bake(tmp_path / "folder", tmp_path / "baked-folder", loras=[lora])
    bake(path, tmp_path / "baked.safetensors", loras=[lora])
    convert(tmp_path / "baked.safetensors", tmp_path / "expected")
    with open_model(tmp_path / "baked-folder") as one, open_model(tmp_path / "expected") as other:
        assert contents(one) == contents(other)
        assert one.metadata["unet/config.json"] == other.metadata["unet/config.json"]


def test_nothing_but_what_applies_is_changed(tmp_path: Path, small: Small) -> None:
    path, model = small()
    lora = saved(tmp_path / "ink.safetensors", arrays(model, "lora", ("attn1.to_q",)))
    bake(path, tmp_path / "baked.safetensors", loras=[lora])
    before, after = numbers(path), numbers(tmp_path / "baked.safetensors")
    moved = {name for name in before if not np.array_equal(before[name], after[name])}
    assert moved and all(name.endswith("attn1.to_q.weight") for name in moved)


@pytest.mark.parametrize(("dtype", "count"), [(F32, 1), (F16, 2), (BF16, 2)])
def test_bake_then_unbake_is_what_was_before_but_for_one_unit_in_the_last_place(
    tmp_path: Path, dtype: DType, count: int, small: Small
) -> None:
    path, model = small(dtype=dtype)
    loras = [
        (saved(tmp_path / "one.safetensors", arrays(model, "lora")), 0.6),
        (saved(tmp_path / "two.safetensors", arrays(model, "lokr")), 1.0),
    ][:count]
    bake(path, tmp_path / "baked.safetensors", loras=loras)
    unbake(tmp_path / "baked.safetensors", tmp_path / "again.safetensors", loras=loras)
    before, between, after = map(
        numbers, (path, tmp_path / "baked.safetensors", tmp_path / "again.safetensors")
    )
    digits = {F32: 23, F16: 10, BF16: 7}[dtype]
    assert not np.array_equal(before[QUERY], between[QUERY])
    for name, values in before.items():
        large = np.maximum(abs(values), abs(between[name]))
        unit = np.exp2(np.floor(np.log2(np.maximum(large, 2.0**-14))) - digits)
        assert (abs(after[name] - values) <= unit).all(), name


@pytest.mark.parametrize("kind", BENDING)
def test_what_depends_on_the_weight_cannot_be_subtracted(
    tmp_path: Path, kind: str, small: Small
) -> None:
    path, model = small()
    lora = saved(tmp_path / "ink.safetensors", arrays(model, kind, ("attn1",)))
    with pytest.raises(Refused, match=r"ink: cannot be subtracted: .* depends on the weight"):
        unbake(path, tmp_path / "out.safetensors", loras=[lora])
    assert not (tmp_path / "out.safetensors").exists()


def test_what_is_changed_is_computed_wide_and_cast_once(tmp_path: Path, small: Small) -> None:
    path, model = small()
    lora = saved(tmp_path / "ink.safetensors", arrays(model, "lora"))
    bake(path, tmp_path / "wide.safetensors", loras=[lora])
    bake(path, tmp_path / "half.safetensors", loras=[lora], dtype="f16")
    wide = numbers(tmp_path / "wide.safetensors")
    with open_model(tmp_path / "half.safetensors") as half:
        assert {tensor.dtype for tensor in half.values()} == {F16}
        for name, tensor in half.items():
            assert np.array_equal(array(tensor), wide[name].astype("<f2"))


def test_a_lora_at_nothing_changes_nothing(tmp_path: Path, small: Small) -> None:
    path, model = small()
    lora = saved(tmp_path / "ink.safetensors", arrays(model, "lora"))
    bake(path, tmp_path / "same.safetensors", loras=[(lora, 0.0)])
    with open_model(path) as one, open_model(tmp_path / "same.safetensors") as other:
        assert contents(one) == contents(other)


def test_weights_too_large_for_their_type_are_told_or_stop_it(tmp_path: Path, small: Small) -> None:
    path, model = small(dtype=F16)
    lora = saved(tmp_path / "ink.safetensors", arrays(model, "lora", ("attn1.to_q",)))
    report = bake(path, tmp_path / "huge.safetensors", loras=[(lora, 1e7)])
    assert any("became infinite" in sentence for sentence in report.sentences())
    with pytest.raises(Refused, match="strict forbids"):
        bake(path, tmp_path / "strict.safetensors", loras=[(lora, 1e7)], strict=True)


def test_a_lora_with_values_that_are_none_leaves_nothing_behind(
    tmp_path: Path, small: Small
) -> None:
    path, model = small()
    found = arrays(model, "lora")
    next(iter(found.values()))[0, 0] = np.nan
    lora = saved(tmp_path / "bad.safetensors", found)
    with pytest.raises(Damaged, match="no finite numbers"):
        bake(path, tmp_path / "out.safetensors", loras=[lora])
    assert [file.name for file in tmp_path.iterdir()] == ["bad.safetensors"]


def test_a_lora_of_another_family_is_refused_before_anything_is_written(
    tmp_path: Path, small: Small
) -> None:
    path, _ = small()
    lora = saved(tmp_path / "ink.safetensors", arrays(bodiless_model("sd2"), "lora", ("attn2",)))
    with pytest.raises(Refused, match=r"tensors of ink fit this SD 1.x model: the file is: SD 2.x"):
        bake(path, tmp_path / "out.safetensors", loras=[lora])
    assert not (tmp_path / "out.safetensors").exists()


def test_a_dry_run_tells_how_much_applies_and_writes_nothing(tmp_path: Path, small: Small) -> None:
    path, model = small()
    found = arrays(model, "lora", ("attn1",)) | {"odd": np.zeros(2, "f4")}
    lora = saved(tmp_path / "ink.safetensors", found)
    report = bake(path, tmp_path / "out.safetensors", loras=[lora], dry_run=True)
    sentences = list(report.sentences())
    count = len(found)
    assert f"{count - 1} of {count} tensors of LoRA ink at 1 apply" in sentences
    assert any("1 tensor left out: no part of a change that is known" in s for s in sentences)
    assert not (tmp_path / "out.safetensors").exists()


def test_embeddings_inside_a_lora_are_told_to_stay_behind(tmp_path: Path, small: Small) -> None:
    path, model = small()
    found = arrays(model, "lora", ("attn1",))
    lora = saved(
        tmp_path / "ink.safetensors",
        {**found, "bundle_emb.cat.emb_params": np.ones((1, 128), "f4")},
    )
    report = bake(path, tmp_path / "out.safetensors", loras=[lora])
    assert any("ink carries embeddings (cat)" in warning for warning in report.warnings())


def test_averages_stay_as_they_are_and_that_is_told(tmp_path: Path, small: Small) -> None:
    _, model = small()
    whole = dict(checkpoint())
    whole |= {average(name): tensor for name, tensor in checkpoint().items() if UNET in name}
    save(tmp_path / "both.safetensors", whole)
    lora = saved(tmp_path / "ink.safetensors", arrays(model, "lora", ("attn1",)))
    report = bake(tmp_path / "both.safetensors", tmp_path / "out.safetensors", loras=[lora])
    assert any("averaged (EMA) weights in the file stay" in w for w in report.warnings())
    before, after = numbers(tmp_path / "both.safetensors"), numbers(tmp_path / "out.safetensors")
    assert np.array_equal(before[average(QUERY)], after[average(QUERY)])
    assert not np.array_equal(before[QUERY], after[QUERY])


def test_averages_alone_are_what_is_baked_into(tmp_path: Path, small: Small) -> None:
    path, model = small()
    alone = {average(n) if UNET in n else n: tensor for n, tensor in checkpoint().items()}
    save(tmp_path / "ema.safetensors", alone)
    lora = saved(tmp_path / "ink.safetensors", arrays(model, "lora"))
    bake(path, tmp_path / "one.safetensors", loras=[lora])
    bake(tmp_path / "ema.safetensors", tmp_path / "two.safetensors", loras=[lora])
    one, two = numbers(tmp_path / "one.safetensors"), numbers(tmp_path / "two.safetensors")
    assert np.array_equal(one[QUERY], two[average(QUERY)])


def test_fp8_with_scales_is_multiplied_out_and_fp8_without_is_warned_of(
    tmp_path: Path, small: Small
) -> None:
    path, model = small()
    lora = saved(tmp_path / "ink.safetensors", arrays(model, "lora", ("attn1.to_q",)))
    whole: dict[str, Tensor] = dict(checkpoint())
    narrow = tensor_from(np.asarray(array(whole[QUERY]), np.float32) * 64, F8_E4M3)
    scale = tensor_from(np.array(1 / 64, np.float32))
    save(
        tmp_path / "scaled.safetensors",
        {**whole, QUERY: narrow, QUERY.removesuffix("weight") + "scale_weight": scale},
    )
    report = bake(tmp_path / "scaled.safetensors", tmp_path / "a.safetensors", loras=[lora])
    assert "1 scaled fp8 weight multiplied out" in list(report.sentences())
    bake(path, tmp_path / "b.safetensors", loras=[lora])
    a, b = numbers(tmp_path / "a.safetensors"), numbers(tmp_path / "b.safetensors")
    np.testing.assert_allclose(a[QUERY], b[QUERY], atol=0.03)
    plain = write(tmp_path / "narrow.safetensors", "sd1", F8_E4M3)
    report = bake(plain, tmp_path / "c.safetensors", loras=[lora])
    assert any("stored in fp8" in warning for warning in report.warnings())


def test_a_pickle_keeps_its_nesting_and_a_recipe_its_inputs(tmp_path: Path, small: Small) -> None:
    plain, model = small()
    lora = saved(tmp_path / "ink.safetensors", arrays(model, "lora"))
    path = tmp_path / "old.ckpt"
    convert(plain, path)
    report = bake(path, tmp_path / "new.ckpt", loras=[(lora, 0.25, 0.5)], vae=path)
    with open_model(tmp_path / "new.ckpt") as file:
        assert isinstance(file.tree, dict) and "state_dict" in file.tree
        recipe = parse(str(file.extras["sfumato_recipe"]))
    assert recipe.operation == "bake"
    assert recipe.options["loras"] == ["ink.safetensors"]
    assert (recipe.options["weights"], recipe.options["te_weights"]) == (["0.25"], ["0.5"])
    assert recipe.options["vae"] == "old.ckpt"
    assert [i.name for i in recipe.inputs] == ["old.ckpt", "ink.safetensors", "old.ckpt"]
    assert json.loads(json.dumps(report.to_json()))["written"]


def test_the_recipe_of_a_baked_file_is_kept_when_it_is_unbaked(
    tmp_path: Path, small: Small
) -> None:
    path, model = small()
    lora = saved(tmp_path / "ink.safetensors", arrays(model, "lora"))
    bake(path, tmp_path / "a.safetensors", loras=[lora])
    unbake(tmp_path / "a.safetensors", tmp_path / "b.safetensors", loras=[lora])
    with open_model(tmp_path / "b.safetensors") as file:
        recipe = parse(file.metadata[KEY])
    assert (recipe.operation, recipe.options["weights"]) == ("unbake", ["1.0"])
    assert [earlier.operation for earlier in recipe.earlier] == ["bake"]


def test_baking_asks_what_and_how_strongly(tmp_path: Path, small: Small) -> None:
    path, model = small()
    lora = saved(tmp_path / "ink.safetensors", arrays(model, "lora"))
    with pytest.raises(UsageError, match="say what to bake"):
        bake(path, tmp_path / "out.safetensors")
    with pytest.raises(UsageError, match="finite"):
        bake(path, tmp_path / "out.safetensors", loras=[(lora, float("nan"))])
    with pytest.raises(OutputExists):
        bake(path, path, loras=[lora])


def test_a_lora_and_a_vae_are_baked_together(tmp_path: Path, small: Small) -> None:
    path, model = small()
    lora = saved(tmp_path / "ink.safetensors", arrays(model, "lora"))
    other = write(tmp_path / "other.safetensors", seed=5)
    bake(path, tmp_path / "both.safetensors", loras=[lora], vae=other)
    bake(path, tmp_path / "lora.safetensors", loras=[lora])
    found = numbers(tmp_path / "both.safetensors")
    ink, vae = numbers(tmp_path / "lora.safetensors"), numbers(other)
    for name, values in found.items():
        assert np.array_equal(values, (vae if name.startswith(VAE_PREFIX) else ink)[name])


def test_everything_is_made_again_from_its_recipe_byte_for_byte(
    tmp_path: Path, small: Small
) -> None:
    path, model = small()
    one = saved(tmp_path / "in" / "one.safetensors", arrays(model, "lora"))
    two = saved(tmp_path / "in" / "two.safetensors", arrays(model, "lokr", ("attn1",)))
    other = write(tmp_path / "in" / "other.safetensors", seed=5)
    loras = [(one, 0.1, 0.7), (two, 1 / 3)]
    bake(path, tmp_path / "in" / "a.safetensors", loras=loras, vae=other, dtype="f16")
    unbake(tmp_path / "in" / "a.safetensors", tmp_path / "b.safetensors", loras=loras)
    vae_replace(path, tmp_path / "c.safetensors", vae=other)
    vae_extract(path, tmp_path / "d.safetensors", spelling="diffusers", dtype="bf16")
    for name in ("in/a", "b", "c", "d"):
        made = tmp_path / f"{name}.safetensors"
        again = rerun(made, tmp_path / "again.safetensors", models=[tmp_path, path], force=True)
        assert again.same, name
