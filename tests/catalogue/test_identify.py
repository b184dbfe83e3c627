"""What a file is follows from names and shapes, and the verdict says why."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from unread import CLIP, UNET, averages, golden, refuse, sd1, sd2, sdxl, unread

from sfumato.catalogue.identify import identify
from sfumato.catalogue.layouts import unet_diffusers_shapes, vae_diffusers_shapes
from sfumato.catalogue.trees.text import CLIP_L, T5_XXL, clip_l, clip_shapes, openclip_g, t5_shapes
from sfumato.catalogue.trees.tiny_vae import TinyVAE, tiny_half_shapes
from sfumato.catalogue.trees.unet import SD1, SDXL, unet_shapes
from sfumato.catalogue.trees.vae import VAE, vae, vae_shapes
from sfumato.catalogue.trees.vision import VISION_H, vision_shapes
from sfumato.containers.dtype import BF16, F16, F32, DType
from sfumato.containers.tensor import Tensor

FIRST_STAGE = "first_stage_model."


def test_an_sd1_checkpoint_is_certain_and_leaves_nothing_over(shared: Path) -> None:
    verdict = identify(golden(shared, "sd1"))
    assert (verdict.kind, verdict.family, verdict.variant) == ("checkpoint", "sd1", "")
    assert (verdict.confidence, verdict.left_over) == ("certain", ())
    assert verdict.title == "SD 1.x checkpoint"
    assert verdict.runner_up.startswith("SD2 UNet: it would have 1024 numbers per text token")


def test_an_sdxl_checkpoint_is_certain_and_leaves_nothing_over(shared: Path) -> None:
    parts = ("diffuser", "vae", "clip_l", "clip_g")
    verdict = identify(golden(shared, "sdxl", parts))
    assert (verdict.kind, verdict.family) == ("checkpoint", "sdxl")
    assert (verdict.confidence, verdict.left_over) == ("certain", ())


@pytest.mark.parametrize("prefix", [UNET, "", "diffusion_model.", "unet.", "odd.place."])
def test_a_lone_unet_is_known_under_any_prefix(prefix: str) -> None:
    verdict = identify(unread(unet_shapes(SD1), prefix))
    assert (verdict.kind, verdict.family, verdict.confidence) == ("unet", "sd1", "certain")
    assert verdict.parts[0].prefix == prefix


VAES = [
    (vae(), "", "sd1/sdxl"),
    (vae(), FIRST_STAGE, "sd1/sdxl"),
    (vae_diffusers_shapes(VAE()), "", "sd1/sdxl"),
    (vae_diffusers_shapes(VAE()), "vae.", "sd1/sdxl"),
    (vae_shapes(VAE(encoder=False)), "", "sd1/sdxl"),
    (vae_shapes(VAE(latent=16, quant=False)), "", "sd3/flux"),
    (vae_shapes(VAE(multipliers=(1, 2, 4))), "", "sd2"),
    (tiny_half_shapes(TinyVAE(encoder=False)), "", "sd1/sdxl"),
    (tiny_half_shapes(TinyVAE(decoder=False)), "", "sd1/sdxl"),
]


@pytest.mark.parametrize(("shapes", "prefix", "family"), VAES, ids=lambda _: "")
def test_a_lone_vae_is_known_in_every_layout(
    shapes: dict[str, tuple[int, ...]], prefix: str, family: str
) -> None:
    verdict = identify(unread(shapes, prefix))
    assert (verdict.kind, verdict.family) == ("vae", family)
    assert not verdict.left_over and verdict.edition == ""


def test_it_is_said_that_vaes_of_several_families_cannot_be_told_apart() -> None:
    assert any("only values differ" in clause for clause in identify(unread(vae())).evidence)


def test_a_quantising_autoencoder_is_not_taken_for_a_vae() -> None:
    model = unread({**vae(), "quantize.embedding.weight": (1024, 256)})
    assert identify(model).kind != "vae"


TEXTS = [
    (clip_l(), CLIP, "sd1/sdxl/sd3/flux"),
    (clip_shapes(CLIP_L), "", "sd1/sdxl/sd3/flux"),
    (openclip_g(), "", "sdxl/sd3"),
    (t5_shapes(T5_XXL), "", "sd3/flux"),
]


@pytest.mark.parametrize(("shapes", "prefix", "family"), TEXTS, ids=lambda _: "")
def test_a_lone_text_encoder_is_known(
    shapes: dict[str, tuple[int, ...]], prefix: str, family: str
) -> None:
    verdict = identify(unread(shapes, prefix))
    assert (verdict.kind, verdict.family) == ("text-encoder", family)


def test_a_vision_tower_is_no_text_encoder() -> None:
    assert identify(unread(vision_shapes(VISION_H))).kind == "clip-vision"


def test_a_checkpoint_without_a_vae_says_so() -> None:
    model = {name: t for name, t in sd1().items() if not name.startswith(FIRST_STAGE)}
    verdict = identify(model)
    assert verdict.kind == "checkpoint" and verdict.title.endswith("without VAE")
    assert "no VAE inside" in verdict.contradictions


def test_novelai_leaves_text_model_out_of_its_names() -> None:
    model = {name.replace("text_model.", ""): tensor for name, tensor in sd1().items()}
    verdict = identify(model)
    assert (verdict.family, verdict.confidence, verdict.left_over) == ("sd1", "certain", ())


def test_the_repair_of_names_without_text_model_is_named() -> None:
    model = {name.replace("text_model.", ""): tensor for name, tensor in sd1().items()}
    assert any("--fix text-model" in clause for clause in identify(model).evidence)
    assert not any("--fix" in clause for clause in identify(sd1()).evidence)


@pytest.mark.parametrize("bare", [False, True])
def test_the_prefix_of_data_parallel_hides_no_part(bare: bool) -> None:
    plain = {**sd1(), **unread({"betas": (1000,), "model_ema.decay": ()})}
    if bare:
        plain = {name.replace("text_model.", ""): tensor for name, tensor in plain.items()}
    model = {f"module.{name}": tensor for name, tensor in plain.items()}
    verdict, expected = identify(model), identify(plain)
    assert (verdict.title, verdict.left_over) == (expected.title, ())
    assert verdict.confidence == expected.confidence == "certain"
    roles = [(p.role, p.title, p.tensors, p.missing) for p in expected.parts]
    assert [(p.role, p.title, p.tensors, p.missing) for p in verdict.parts] == roles
    assert any("--fix prefixes" in clause for clause in verdict.evidence)


def test_a_text_encoder_at_an_odd_place_is_found_whole() -> None:
    verdict = identify(unread(clip_shapes(CLIP_L), "some.where.else."))
    assert (verdict.parts[0].prefix, verdict.parts[0].complete) == ("some.where.else.", True)


def test_the_trigger_words_of_a_checkpoint_are_told() -> None:
    (word,) = identify(sd1(), metadata={"modelspec.trigger_phrase": "by nobody"}).trigger_words
    assert (word.word, word.source) == ("by nobody", "modelspec.trigger_phrase")


def test_a_shard_points_to_its_index() -> None:
    stem = "model-00001-of-00007"
    (clause,) = (c for c in identify(unread({"a": (2,)}), stem=stem).evidence if "shard" in c)
    assert "part 1 of 7" in clause and ".index.json" in clause
    for other in ("model", "model-00001-of-00001", "2-of-hearts"):
        assert not any("shard" in c for c in identify(sd1(), stem=other).evidence)


@pytest.mark.parametrize("dtype", [F16, BF16, F32])
def test_position_ids_that_are_floats_are_told_of_without_reading_them(dtype: DType) -> None:
    ids = CLIP + "text_model.embeddings.position_ids"
    verdict = identify(sd1() | {ids: Tensor(dtype, (1, 77), refuse)})
    (clause,) = verdict.contradictions
    assert f"stored as {dtype.name}" in clause and "--fix position-ids" in clause


def test_a_file_with_nothing_but_averages_is_a_unet_too() -> None:
    verdict = identify(averages())
    assert (verdict.kind, verdict.family, verdict.edition) == ("unet", "sd1", "EMA only, fp16")
    assert dict(verdict.hyperparameters)["widths"] == SD1.widths
    tiny = replace(SD1, widths=(32, 64, 64, 64), context=24)
    assert dict(identify(averages(tiny)).hyperparameters)["widths"] == (32, 64, 64, 64)


def test_missing_tensors_are_named_and_the_family_still_known() -> None:
    model = sd1()
    gone = UNET + "output_blocks.3.0.emb_layers.1.bias"
    del model[gone], model[UNET + "input_blocks.0.0.weight"]
    verdict = identify(model)
    assert (verdict.family, verdict.confidence) == ("sd1", "likely")
    assert gone in verdict.parts[0].missing and len(verdict.parts[0].missing) == 2
    assert any(
        "2 of 686 tensors of the SD1 UNet are missing, such as" in c for c in verdict.contradictions
    )


TORN = [
    (FIRST_STAGE + "decoder.conv_in.weight", 1, 248),
    (FIRST_STAGE + "encoder.conv_in.weight", 1, 248),
    (FIRST_STAGE + "decoder.up.3.block.0.conv1.weight", 1, 248),
    (FIRST_STAGE + "quant_conv", 2, 248),
    (FIRST_STAGE + "*quant_conv", 4, 248),
    (CLIP + "text_model.encoder.layers.3.mlp.", 4, 196),
    (CLIP + "text_model.encoder.layers.0.", 16, 196),
    (UNET + "input_blocks.1.1.transformer_blocks.0.attn2.to_q.weight", 1, 686),
    (UNET + "input_blocks.4.0.out_layers.3.weight", 1, 686),
]


@pytest.mark.parametrize(("gone", "lost", "whole"), TORN, ids=lambda value: str(value)[-24:])
def test_a_torn_standard_part_is_no_whole_part_of_another_size(
    gone: str, lost: int, whole: int
) -> None:
    head, _, tail = gone.rpartition("*")
    model = {n: t for n, t in sd1().items() if not (n.startswith(head) and tail in n)}
    verdict = identify(model)
    (part,) = (part for part in verdict.parts if gone.startswith(part.prefix))
    assert (len(part.missing), part.reshaped, part.custom) == (lost, (), False)
    assert part.title in ("SD VAE (kl-f8, 4 channels)", "CLIP-L text encoder", "SD1 UNet")
    assert (verdict.family, verdict.confidence, verdict.left_over) == ("sd1", "likely", ())
    assert any(f"{lost} of {whole} tensors of the" in c for c in verdict.contradictions)


@pytest.mark.parametrize("gone", ["decoder.conv_in.weight", "encoder.down.1.block.0.norm1.bias"])
def test_a_torn_part_of_custom_size_is_torn_too(gone: str) -> None:
    tree = vae_shapes(VAE(32, (1, 2, 2)))
    (part,) = identify(unread({n: s for n, s in tree.items() if n != gone})).parts
    assert (part.missing, part.custom) == ((gone,), True)


def test_a_wrong_shape_is_named_with_the_one_expected() -> None:
    key = UNET + "middle_block.1.norm.weight"
    verdict = identify(sd1() | {key: Tensor(F32, (1281,), refuse)})
    assert verdict.parts[0].reshaped == (f"{key} is [1281], expected [1280]",)
    assert not verdict.parts[0].complete


def test_keys_that_mean_nothing_are_left_over() -> None:
    junk = {f"lora_te_text_model_{i}.weight": (2, 2) for i in range(3)}
    verdict = identify(sd1() | unread(junk))
    assert verdict.kind == "checkpoint" and set(verdict.left_over) == set(junk)


def test_the_wrong_text_encoder_speaks_against_a_checkpoint() -> None:
    model = {name: t for name, t in sd2().items() if not name.startswith(UNET)}
    verdict = identify(model | unread(unet_shapes(SD1), UNET))
    assert verdict.family == "sd1" and verdict.confidence == "likely"
    assert any("CLIP-H text encoder is not what" in c for c in verdict.contradictions)


def test_sdxl_may_lack_the_layer_that_it_never_uses() -> None:
    last = ("encoder.layers.11.", "final_layer_norm", "resblocks.31.", "ln_final")
    model = {n: t for n, t in sdxl().items() if not any(part in n for part in last)}
    assert all(part.complete and not part.custom for part in identify(model).parts)


def test_sdxl_with_one_text_encoder_says_which_is_missing() -> None:
    second = "conditioner.embedders.1."
    model = {n: t for n, t in sdxl().items() if not n.startswith(second)}
    assert any("second text encoder" in c for c in identify(model).contradictions)


def test_a_custom_size_is_put_into_the_family_whose_layout_it_has() -> None:
    tiny = replace(SD1, widths=(32, 64, 64, 64), context=24)
    verdict = identify(sd1(tiny))
    assert (verdict.family, verdict.confidence) == ("sd1", "likely")
    assert "custom size" in verdict.title and verdict.parts[0].custom
    xl = replace(SDXL, widths=(32, 64, 64), context=48, labels=96)
    assert identify(unread(unet_shapes(xl), UNET)).family == "sdxl"


def test_a_diffusers_folder_is_a_checkpoint_and_its_settings_are_compared() -> None:
    model = {
        **unread(unet_diffusers_shapes(SD1), "unet."),
        **unread(vae_diffusers_shapes(VAE()), "vae."),
        **unread(clip_l(), "text_encoder."),
    }
    honest = {"unet/config.json": json.dumps({"in_channels": 4, "cross_attention_dim": 768})}
    assert identify(model, metadata=honest).confidence == "certain"
    lying = {"unet/config.json": json.dumps({"in_channels": 9})}
    (clause,) = identify(model, metadata=lying).contradictions
    assert clause == "unet/config.json says in_channels 9, the tensors say 4"
    assert identify(model, metadata={"unet/config.json": "[" * 9999}).family == "sd1"


def test_a_file_of_strangers_is_unknown_and_described() -> None:
    verdict = identify(unread({"layer.a": (3, 4), "layer.b": (5,), "other.c": (1,)}))
    assert (verdict.kind, verdict.confidence) == ("unknown", "none")
    assert "layer (2)" in verdict.evidence[0] and len(verdict.left_over) == 3
    assert identify({}).kind == "unknown"


@pytest.mark.parametrize(("name", "limit"), [("sd1", 0.005), ("sdxl", 0.015)])
def test_identification_takes_milliseconds(shared: Path, name: str, limit: float) -> None:
    model = golden(shared, name, ("diffuser", "vae", "clip_l", "scheduler"))
    best = 1.0
    for _ in range(20):
        start = time.perf_counter()
        identify(model)
        best = min(best, time.perf_counter() - start)
    assert best < limit
