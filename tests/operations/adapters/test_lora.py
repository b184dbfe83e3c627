"""Reading a LoRA against a model: names in every spelling, what fits where, what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from adapter_files import kohya

from loras import arrays, bodiless, bodiless_model, changed, modules, random, saved, weights
from paintable import KINDS, write
from sfumato.containers.arrays import tensor_from
from sfumato.containers.save import save
from sfumato.containers.tensor import Tensor
from sfumato.engine.adapters.patches import Patches, Use
from sfumato.engine.loading.load import load
from sfumato.engine.model import Model
from sfumato.errors import Damaged, Refused
from sfumato.operations.adapters.lora import read_lora
from sfumato.operations.adapters.parts import fits

pytestmark = pytest.mark.slow

Arrays = Mapping[str, np.ndarray]

FIRST = "model.diffusion_model.input_blocks.0.0.weight"
PACKED = "cond_stage_model.model.transformer.resblocks.1.attn.in_proj_weight"


def small(folder: Path, kind: str = "sd1") -> Model:
    return load(write(folder / f"{kind}.safetensors", kind), device="cpu")


def after(model: Model, path: Path) -> dict[str, torch.Tensor]:
    """The weights with a LoRA attached."""
    with Patches(model) as patches:
        lora = read_lora(path, model.target)
        assert not lora.notes
        patches.set([Use(lora)])
        return weights(model)


@pytest.mark.parametrize("kind", KINDS)
def test_every_module_of_a_small_model_is_found(tmp_path: Path, kind: str) -> None:
    model = small(tmp_path, kind)
    everything = arrays(model, "lora", (".",))
    lora = read_lora(saved(tmp_path / "lora.safetensors", everything), model.target)
    assert (lora.applied, lora.total, lora.notes) == (len(everything), len(everything), ())
    assert len(lora.parts) == len(everything) // 3


SPELLINGS = {
    "kohya with original names": ("lora_unet_{flat_ldm}", "lora_down.weight", "lora_up.weight"),
    "lycoris": ("lycoris_{flat}", "lora_down.weight", "lora_up.weight"),
    "peft": ("unet.{name}", "lora_A.weight", "lora_B.weight"),
    "peft, named": ("unet.{name}", "lora_A.mine.weight", "lora_B.mine.weight"),
    "diffusers": ("unet.{name}", "lora.down.weight", "lora.up.weight"),
    "ai-toolkit": ("diffusion_model.{ldm}", "lora_A.weight", "lora_B.weight"),
    "the checkpoint's": ("model.diffusion_model.{ldm}", "lora_down.weight", "lora_up.weight"),
    "HCP": ("{name}.___.layer", "W_down", "W_up"),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_changes_the_same_weights_alike(tmp_path: Path, spelling: str) -> None:
    model = small(tmp_path)
    pattern, down, up = SPELLINGS[spelling]
    kohya_names, own = dict[str, np.ndarray](), dict[str, np.ndarray]()
    for site, module in modules(model):
        if site.role != "unet" or len(module.shape) != 2:
            continue
        flat, flat_ldm = (n.replace(".", "_") for n in (module.diffusers, module.ldm))
        names = {"name": module.diffusers, "ldm": module.ldm, "flat": flat, "flat_ldm": flat_ldm}
        for ours, theirs, shape in (
            ("lora_down.weight", down, (4, module.shape[1])),
            ("lora_up.weight", up, (module.shape[0], 4)),
        ):
            kohya_names[f"lora_unet_{flat}.{ours}"] = random(ours, shape)
            own[f"{pattern.format(**names)}.{theirs}"] = random(ours, shape)
    plain = after(model, saved(tmp_path / "kohya.safetensors", kohya_names))
    other = after(model, saved(tmp_path / "other.safetensors", own))
    assert all(torch.equal(plain[key], other[key]) for key in plain)


def test_packed_attention_is_changed_in_the_rows_of_its_letter(tmp_path: Path) -> None:
    model = small(tmp_path, "sd2")
    before = weights(model)
    found = arrays(model, "lora", ("layers.1.self_attn.k_proj",))
    with_lora = after(model, saved(tmp_path / "k.safetensors", found))
    moved = (with_lora[PACKED] != before[PACKED]).any(1)
    assert moved.tolist() == [False] * 128 + [True] * 128 + [False] * 128
    assert all(torch.equal(with_lora[key], before[key]) for key in before if key != PACKED)


def test_openclips_projection_is_changed_the_right_way_round(tmp_path: Path) -> None:
    model = small(tmp_path, "sdxl")
    before = weights(model)
    found = arrays(model, "full", ("text_projection",))
    (name,) = found
    with_lora = after(model, saved(tmp_path / "projection.safetensors", found))
    key = "conditioner.embedders.1.model.text_projection"
    expected = before[key] + torch.from_numpy(found[name]).T
    torch.testing.assert_close(with_lora[key], expected)


@pytest.mark.parametrize("kind", ["sd1-inpainting", "sd1-ip2p"])
@pytest.mark.parametrize("flavour", ["lora", "full", "dora", "glora"])
def test_a_lora_for_four_channels_changes_the_first_four_of_more(
    tmp_path: Path, kind: str, flavour: str
) -> None:
    plain, model = small(tmp_path), small(tmp_path, kind)
    found = arrays(plain, flavour, ("conv_in",))
    path = saved(tmp_path / "lora.safetensors", found)
    before = weights(model)
    moved = after(model, path)[FIRST] != before[FIRST]
    assert moved[:, :4].any() and not moved[:, 4:].any()


def test_a_lora_of_another_family_is_refused_in_one_sentence() -> None:
    model = bodiless_model()
    for family, title in (("sdxl", "SDXL"), ("sd2", "SD 2.x")):
        file = bodiless(kohya(family), "ink.safetensors")
        with pytest.raises(Refused, match=r"tensors of ink fit this SD 1.x model") as caught:
            read_lora(file, model.target)
        assert f"the file is: {title}" in str(caught.value)


def test_what_is_no_lora_is_refused(tmp_path: Path) -> None:
    model = small(tmp_path)
    with pytest.raises(Refused, match=r"0 of \d+ tensors of sd1 fit .*: the file is: SD 1.x"):
        read_lora(model.path, model.target)
    strange = saved(tmp_path / "strange.safetensors", {"a": np.zeros(3, "f4")})
    with pytest.raises(Refused, match="the file is of no known sort"):
        read_lora(strange, model.target)


def test_what_does_not_fit_is_told_with_the_sizes(tmp_path: Path) -> None:
    model = small(tmp_path)
    found = arrays(model, "lora", ("attn1.to_q", "attn1.to_k"))
    name = next(name for name in found if "to_k.lora_down" in name)
    found[name] = np.zeros((4, 77), "f4")
    found |= {"lora_unet_nowhere.lora_down.weight": np.zeros((4, 8), "f4")}
    found |= {"lora_unet_nowhere.lora_up.weight": np.zeros((8, 4), "f4")}
    found |= {"odd": np.zeros(2, "f4")}
    lora = read_lora(saved(tmp_path / "some.safetensors", found), model.target)
    assert lora.applied == len(found) - 3 - 2 - 1
    notes = "; ".join(lora.notes)
    assert "3 tensors left out: the sizes do not fit a weight of [" in notes
    assert "down [4, 77]" in notes
    assert "there is no such module in this model (lora_unet_nowhere)" in notes
    assert "1 tensor left out: no part of a change that is known (odd)" in notes


def test_shapes_have_the_law_of_the_change_itself() -> None:
    pair = (("down", (4, 320)), ("up", (640, 4)))
    assert fits("lora", pair, (640, 320)) and fits("lora", pair, (640, 320, 1, 1))
    assert not fits("lora", pair, (320, 640)) and not fits("lora", pair, (640, 32))
    assert fits("oft", (("alpha", ()), ("blocks", (40, 8, 8))), (320, 77))
    assert not fits("oft", (("blocks", (40, 8, 8)),), (640, 320))
    assert not fits("lora", (("down", (4, 320)),), (640, 320))


def test_embeddings_that_travel_along_are_handed_out(tmp_path: Path) -> None:
    model = small(tmp_path)
    found = arrays(model, "lora")
    rows = np.ones((2, 128), "f4")
    bundle = {"bundle_emb.cat.emb_params": rows, "bundle_emb.dog.clip_l": rows}
    lora = read_lora(saved(tmp_path / "some.safetensors", {**found, **bundle}), model.target)
    assert lora.applied == lora.total == len(found)
    assert {name: list(t) for name, t in lora.embeddings.items()} == {
        "cat": ["emb_params"],
        "dog": ["clip_l"],
    }


def test_numbered_modules_of_a_small_model_are_found_by_their_numbers(tmp_path: Path) -> None:
    model = small(tmp_path)
    found, plain = dict[str, np.ndarray](), dict[str, np.ndarray]()
    text = [m for _, m in modules(model, ["self_attn"])]
    for number, module in enumerate(text):
        up, down = random("up", (128, number + 1)), random("down", (number + 1, 128))
        found[f"text_encoder:{number}:up"], found[f"text_encoder:{number}:down"] = up, down
        name = "lora_te_" + module.diffusers.replace(".", "_")
        plain[f"{name}.lora_up.weight"], plain[f"{name}.lora_down.weight"] = up, down
    numbered = after(model, saved(tmp_path / "numbered.safetensors", found))
    named = after(model, saved(tmp_path / "named.safetensors", plain))
    assert all(torch.equal(named[key], numbered[key]) for key in named)


def test_the_few_numbers_of_a_sparse_bias_are_added_where_they_belong(tmp_path: Path) -> None:
    model = small(tmp_path)
    ((_, module),) = modules(model, ["down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"])
    name = "lora_unet_" + module.diffusers.replace(".", "_")
    path = tmp_path / "sparse.safetensors"
    found = {
        f"{name}.bias_indices": np.array([[0, 5], [2, 3]]),
        f"{name}.bias_values": np.array([0.5, -1], "f4"),
        f"{name}.bias_size": np.array(module.shape),
    }
    save(path, {key: tensor_from(array) for key, array in found.items()})
    before = weights(model)
    key = f"model.diffusion_model.{module.weight}"
    moved = after(model, path)[key] - before[key]
    assert moved.count_nonzero() == 2
    assert [float(moved[0, 2]), float(moved[5, 3])] == pytest.approx([0.5, -1], abs=1e-6)


@pytest.mark.parametrize(
    "slots", [{"bias_size": [99, 99]}, {"bias_indices": [[0, 500], [2, 3]]}, {"alpha": [1.0, 2.0]}]
)
def test_a_sparse_bias_or_an_alpha_out_of_bounds_is_refused(
    tmp_path: Path, slots: dict[str, list[object]]
) -> None:
    model = small(tmp_path)
    name = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    given = {"bias_indices": [[0], [2]], "bias_values": [0.5], "bias_size": [32, 32], **slots}
    arrays = {f"{name}.{slot}": np.asarray(values) for slot, values in given.items()}
    save(tmp_path / "bad.safetensors", {key: tensor_from(a) for key, a in arrays.items()})
    with pytest.raises((Damaged, Refused), match=r"weight of \[32, 32\]|out of bounds"):
        Patches(model).set([Use(read_lora(tmp_path / "bad.safetensors", model.target))])


def test_a_new_weight_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    model = small(tmp_path)
    found = arrays(model, "set", ("attn1.to_q",))
    with_lora = after(model, saved(tmp_path / "set.safetensors", found))
    for site, module in modules(model, ["attn1.to_q"]):
        name = f"lora_unet_{module.diffusers.replace('.', '_')}.set_weight"
        key = site.prefix + module.weight
        torch.testing.assert_close(with_lora[key], torch.from_numpy(found[name]))


def test_settings_inside_a_file_of_diffusers_give_the_scale(tmp_path: Path) -> None:
    model = small(tmp_path)
    ((_, module),) = modules(model, ["down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"])
    outputs, inputs = module.shape
    found = {
        f"unet.{module.diffusers}.lora_A.weight": np.ones((4, inputs), "f4"),
        f"unet.{module.diffusers}.lora_B.weight": np.ones((outputs, 4), "f4"),
    }
    said = '{"unet.r": 4, "unet.lora_alpha": 2, "text_encoder.lora_alpha": 9}'
    path = saved(tmp_path / "packed.safetensors", found, lora_adapter_metadata=said)
    before, key = weights(model), f"model.diffusion_model.{module.weight}"
    moved = after(model, path)[key] - before[key]
    torch.testing.assert_close(moved, torch.full_like(moved, 2), atol=1e-5, rtol=1e-5)


REAL: Mapping[str, tuple[Literal["sd1", "sd2"], int]] = {
    "lora-diffusers.bin": ("sd1", 256),
    "lora-diffusers-bf16.safetensors": ("sd2", 256),
    "lora-cloneofsimo-analog_svd_rank4.safetensors": ("sd1", 384),
    "lora-cloneofsimo-disney_inpainting.safetensors": ("sd1", 384),
}


@pytest.mark.parametrize("name", REAL)
def test_real_files_apply_in_full_to_the_model_they_were_made_for(real: Path, name: str) -> None:
    family, count = REAL[name]
    lora = read_lora(real / name, bodiless_model(family).target)
    assert (lora.applied, lora.notes) == (lora.total, ())
    assert lora.total == count
    lora.close()


def test_kohyas_names_apply_to_sd1_in_full() -> None:
    file: Mapping[str, Tensor] = kohya("sd1")
    lora = read_lora(bodiless(file), bodiless_model().target)
    assert (lora.applied, lora.total, len(lora.parts)) == (792, 792, 264)


def test_reading_changes_nothing(tmp_path: Path) -> None:
    model = small(tmp_path)
    before = weights(model)
    read_lora(saved(tmp_path / "some.safetensors", arrays(model, "dora")), model.target)
    assert not changed(model, before)
