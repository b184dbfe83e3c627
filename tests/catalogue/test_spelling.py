"""Both spellings name the same tensors: there and back is identity."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from small_unets import small_unets

from sfumato.catalogue.spelling.networks import (
    inverse,
    translate,
    unet_modules,
    unet_names,
    unet_pairs,
    vae_modules,
    vae_names,
)
from sfumato.catalogue.spelling.texts import clip_modules, openclip_modules
from sfumato.catalogue.spelling.transforms import PACK, TRANSPOSE, UNPACK
from sfumato.catalogue.spelling.translation import to_diffusers, to_ldm
from sfumato.catalogue.trees.shapes import Shapes
from sfumato.catalogue.trees.text import CLIP_G, CLIP_H, CLIP_L, Text, clip_shapes, openclip_shapes
from sfumato.catalogue.trees.tiny_vae import TinyVAE, tiny_shapes
from sfumato.catalogue.trees.unet import REFINER, SD1, SD2, SDXL, UNet, sizes, unet_shapes
from sfumato.catalogue.trees.vae import VAE, vae_shapes
from sfumato.containers.tensor import Tensor
from sfumato.errors import Refused
from toys import contents, random_tensors


@given(small_unets())
@settings(max_examples=40, deadline=None)
def test_every_unet_key_translates_there_and_back(unet: UNet) -> None:
    pairs = unet_pairs(unet)
    back = inverse(pairs)
    for name, there in unet_names(unet).items():
        assert translate(there, back) == name
    assert len(set(unet_names(unet).values())) == len(unet_shapes(unet))


@pytest.mark.parametrize("old", [False, True])
def test_every_vae_key_has_its_own_name_in_diffusers(old: bool) -> None:
    names = vae_names(VAE(), old=old)
    assert len(set(names.values())) == len(names) == 248
    query = "query" if old else "to_q"
    there = names["decoder.mid.attn_1.q.weight"]
    assert there == f"decoder.mid_block.attentions.0.{query}.weight"


def test_diffusers_counts_the_decoders_levels_from_the_other_end() -> None:
    names = vae_names(VAE())
    assert names["decoder.up.3.block.0.conv1.bias"] == "decoder.up_blocks.0.resnets.0.conv1.bias"


@pytest.mark.parametrize(
    ("unet", "modules"), [(SD1, 192), (SD2, 192), (SDXL, 722)], ids=["sd1", "sd2", "sdxl"]
)
def test_the_layers_that_a_lora_changes_are_as_many_as_trainers_count(
    unet: UNet, modules: int
) -> None:
    inside = [m for m in unet_modules(unet) if ".attentions." in m.diffusers]
    assert len([m for m in inside if "norm" not in m.diffusers]) == modules


@pytest.mark.parametrize(
    ("text", "modules"), [(CLIP_L, 72), (CLIP_H, 144), (CLIP_G, 192)], ids=["l", "h", "g"]
)
def test_openclip_packs_three_layers_into_the_rows_of_one(text: Text, modules: int) -> None:
    found = [m for m in openclip_modules(text) if ".encoder." in m.diffusers]
    assert len([m for m in found if "norm" not in m.diffusers]) == modules
    value = next(m for m in found if m.diffusers.endswith("layers.0.self_attn.v_proj"))
    assert value.weight == "transformer.resblocks.0.attn.in_proj_weight"
    assert value.rows == (2 * text.width, 3 * text.width)
    assert len(clip_modules(text)) == len(openclip_modules(text))


def test_a_vae_module_is_a_place_in_both_spellings() -> None:
    assert all(module.weight == f"{module.ldm}.weight" for module in vae_modules(VAE()))


TINY = sizes((32, 64), (1, 0), 1, 24)
TINY_XL = sizes((32, 64), (0, 2), 1, 24, labels=20, linear_projection=True)
TINY_2 = sizes((32, 64), (1, 0), 1, 24, linear_projection=True)
TINY_VAE = vae_shapes(VAE(16, (1, 2), 1))
TEXT = Text(16, 2, 32, vocabulary=20)
BIG = Text(16, 2, 32, 8, vocabulary=20)


def under(prefix: str, shapes: Shapes) -> dict[str, tuple[int, ...]]:
    return {prefix + name: shape for name, shape in shapes.items()}


def checkpoint(unet: UNet, texts: dict[str, Shapes]) -> dict[str, Tensor]:
    shapes = under("model.diffusion_model.", unet_shapes(unet))
    shapes |= under("first_stage_model.", TINY_VAE)
    for prefix, text in texts.items():
        shapes |= under(prefix, text)
    return random_tensors(shapes)


SMALL = {
    "sd1": checkpoint(TINY, {"cond_stage_model.transformer.": clip_shapes(TEXT)}),
    "sd2": checkpoint(TINY_2, {"cond_stage_model.model.": openclip_shapes(TEXT)}),
    "sdxl": checkpoint(
        TINY_XL,
        {
            "conditioner.embedders.0.transformer.": clip_shapes(TEXT),
            "conditioner.embedders.1.model.": openclip_shapes(BIG),
        },
    ),
}


def shapes_of(model: dict[str, Tensor]) -> Shapes:
    return {name: tensor.shape for name, tensor in model.items()}


@pytest.mark.parametrize("family", ["sd1", "sd2"])
def test_a_checkpoint_comes_back_from_diffusers_bit_for_bit(family: str) -> None:
    model = SMALL[family]
    forth = to_diffusers(shapes_of(model))
    folder = forth.apply(model)
    back = to_ldm(shapes_of(folder), position_ids=False).apply(folder)
    assert not forth.dropped
    assert contents(back) == contents(model)


@pytest.mark.parametrize("family", ["sd1", "sd2"])
def test_a_folder_saved_by_transformers_5_comes_back_with_its_text_encoder(family: str) -> None:
    model = SMALL[family]
    folder = to_diffusers(shapes_of(model)).apply(model)
    new = {
        name.replace("text_encoder.text_model.", "text_encoder."): folder[name] for name in folder
    }
    assert new.keys() != folder.keys()
    assert contents(to_ldm(shapes_of(new)).apply(new)) == contents(
        to_ldm(shapes_of(folder)).apply(folder)
    )


def test_a_network_without_a_rule_is_told_of_as_a_whole() -> None:
    model = shapes_of(SMALL["sd1"])
    assert to_diffusers({**model, "betas": (1000,), "model_ema.decay": ()}).lost == ()
    tiny = {f"first_stage_model.{name}": s for name, s in tiny_shapes(TinyVAE(4)).items()}
    other = {n: s for n, s in model.items() if not n.startswith("first_stage_model.")} | tiny
    assert len(to_diffusers(other).lost) == 1 and "TAESD" in to_diffusers(other).lost[0]
    foreign = {**model, "cond_stage_model.roberta.pooler.dense.weight": (4, 4)}
    assert to_diffusers(foreign).lost == ("XLM-R text encoder",)


def test_queries_keys_and_values_are_rows_of_the_packed_tensor() -> None:
    model = SMALL["sd2"]
    folder = to_diffusers(shapes_of(model)).apply(model)
    layer = "text_encoder.text_model.encoder.layers.1.self_attn."
    packed = model["cond_stage_model.model.transformer.resblocks.1.attn.in_proj_weight"]
    parts = b"".join(bytes(folder[f"{layer}{n}_proj.weight"].read()) for n in "qkv")
    assert parts == bytes(packed.read())


def test_a_projection_is_transposed_on_the_way_to_transformers() -> None:
    shapes = openclip_shapes(CLIP_G.__class__(1280, 1, 32, 8, vocabulary=20))
    model = random_tensors(under("conditioner.embedders.1.model.", shapes))
    folder = to_diffusers(shapes_of(model)).apply(model)
    name = next(name for name in folder if name.endswith("text_projection.weight"))
    stored = np.frombuffer(
        model["conditioner.embedders.1.model.text_projection"].read(), "<f4"
    ).reshape(1280, 8)
    turned = np.frombuffer(folder[name].read(), "<f4").reshape(folder[name].shape)
    assert (turned == stored.T).all()


def test_attention_of_a_vae_becomes_linear_and_convolution_again() -> None:
    model = random_tensors(TINY_VAE)
    folder = to_diffusers(shapes_of(model)).apply(model)
    assert folder["decoder.mid_block.attentions.0.to_q.weight"].shape == (32, 32)
    assert contents(to_ldm(shapes_of(folder)).apply(folder)) == contents(model)


def test_what_has_no_place_in_a_diffusers_folder_is_named_with_a_reason() -> None:
    shapes = {**shapes_of(SMALL["sd1"]), "betas": (1000,), "v_pred": (0,)}
    dropped = to_diffusers(shapes).dropped
    assert set(dropped) == {"betas", "v_pred"} and "scheduler" in dropped["v_pred"]


def test_position_ids_are_written_for_old_programs_where_a_folder_has_none() -> None:
    model = SMALL["sd1"]
    folder = to_diffusers(shapes_of(model)).apply(model)
    back = to_ldm(shapes_of(folder)).apply(folder)
    ids = back["cond_stage_model.transformer.text_model.embeddings.position_ids"]
    assert ids.shape == (1, 77)
    assert np.frombuffer(ids.read(), "<i8").tolist() == list(range(77))


@pytest.mark.parametrize("unet", [SD1, SD2, SDXL, REFINER], ids=["sd1", "sd2", "sdxl", "refiner"])
def test_whole_published_unets_come_back_with_their_own_names(unet: UNet) -> None:
    shapes = under("model.diffusion_model.", unet_shapes(unet))
    names = {move.target: move.sources[0] for move in to_diffusers(shapes).moves}
    back = to_ldm(dict.fromkeys(names, ()) | {m: shapes[s] for m, s in names.items()})
    assert {move.target: names[move.sources[0]] for move in back.moves} == {n: n for n in shapes}


def test_tensors_that_cannot_be_packed_or_split_are_refused() -> None:
    odd = random_tensors({"a": (4, 2), "b": (4, 3), "c": (), "d": (2, 2, 2)})
    for transform, names in ((PACK, "ab"), (PACK, "c"), (UNPACK[0], "a"), (UNPACK[1], "c")):
        with pytest.raises(Refused):
            transform.apply([odd[name] for name in names])
    with pytest.raises(Refused):
        TRANSPOSE.apply([odd["d"]])
