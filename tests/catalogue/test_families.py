"""Every published network is known by its sizes, and told from its nearest relatives."""

from __future__ import annotations

from dataclasses import replace

import pytest
from unread import UNET, marker, sd1, sd2, sdxl, unread

from sfumato.catalogue import families
from sfumato.catalogue.component import Component
from sfumato.catalogue.identify import identify
from sfumato.catalogue.layouts import unet_diffusers_shapes
from sfumato.catalogue.trees.dit import (
    flux_diffusers_shapes,
    flux_shapes,
    sd3_diffusers_shapes,
    sd3_shapes,
)
from sfumato.catalogue.trees.unet import SD1, SD2, SDXL, UNet, unet_shapes

UNMARKED = [c for c in families.UNETS if not c.marks]


@pytest.mark.parametrize("component", UNMARKED, ids=lambda c: c.title)
@pytest.mark.parametrize("spelling", ["ldm", "diffusers"])
def test_every_published_unet_is_known_in_both_spellings(
    component: Component[UNet], spelling: str
) -> None:
    build = unet_shapes if spelling == "ldm" else unet_diffusers_shapes
    model = unread(build(component.sizes), UNET if spelling == "ldm" else "unet.")
    # the one tensor that tells SD2's twins apart is left out: it would have to be read
    model = {name: t for name, t in model.items() if not name.endswith(READ)}
    verdict = identify(model)
    assert (verdict.kind, verdict.family) == ("unet", component.family)
    assert verdict.variant in (component.variant, component.variant or "v-prediction")
    assert verdict.runner_up


READ = (
    "output_blocks.11.1.transformer_blocks.0.norm1.bias",
    "up_blocks.3.attentions.2.transformer_blocks.0.norm1.bias",
)


def test_no_two_unmarked_networks_of_a_sort_have_equal_sizes() -> None:
    for table in (families.UNETS, families.VAES, families.TEXTS, families.FLUXES, families.SD3S):
        plain = [component.sizes for component in table if not component.marks]
        assert len(plain) == len(set(plain))


@pytest.mark.parametrize(
    ("unet", "marks", "variant"),
    [
        (SDXL, ["edm_mean", "edm_std"], "playground-2.5"),
        (SDXL, ["edm_vpred.sigma_max"], "cosxl"),
        (replace(SDXL, inputs=8), ["edm_vpred.sigma_max"], "cosxl-edit"),
        (replace(SDXL, inputs=8), [], "ip2p"),
        (replace(SDXL, inputs=9), [], "inpainting"),
        (SDXL, ["v_pred", "ztsnr"], "v-prediction"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_marks_tell_sdxl_models_of_equal_sizes_apart(
    unet: UNet, marks: list[str], variant: str
) -> None:
    model = sdxl(unet) | {mark: marker() for mark in marks}
    verdict = identify(model)
    assert (verdict.kind, verdict.family, verdict.variant) == ("checkpoint", "sdxl", variant)


def test_eight_input_channels_are_zero123_with_a_camera_and_ip2p_without() -> None:
    unet = replace(SD1, inputs=8)
    assert identify(sd1(unet)).variant == "ip2p"
    camera = unread({"cc_projection.weight": (768, 772), "cc_projection.bias": (768,)})
    assert identify(sd1(unet) | camera).variant == "zero123"


def test_an_sd2_text_encoder_under_the_refiners_prefix_is_turbo_and_no_refiner() -> None:
    moved = {
        name.replace("cond_stage_model.", "conditioner.embedders.0."): tensor
        for name, tensor in sd2().items()
    }
    verdict = identify(moved)
    assert (verdict.family, verdict.variant) == ("sd2", "turbo")
    assert verdict.prediction is not None and verdict.prediction.type == "epsilon"


def test_alt_diffusion_is_sd1_with_another_text_encoder() -> None:
    model = {name: t for name, t in sd1().items() if not name.startswith("cond_stage")}
    words = {"cond_stage_model.roberta.embeddings.word_embeddings.weight": (250002, 1024)}
    verdict = identify(model | unread(words))
    assert (verdict.family, verdict.variant) == ("sd1", "altdiffusion")
    assert "text_encoder" in {part.role for part in verdict.parts}


@pytest.mark.parametrize("component", families.FLUXES, ids=lambda c: c.variant)
def test_every_flux_is_known_by_its_inputs(component: Component[families.Flux]) -> None:
    verdict = identify(unread(flux_shapes(component.sizes), UNET))
    assert (verdict.kind, verdict.family, verdict.variant) == ("dit", "flux", component.variant)
    assert verdict.prediction is not None and verdict.prediction.type == "flow"
    if not component.sizes.distilled:
        folder = identify(unread(flux_diffusers_shapes(component.sizes), "transformer."))
        assert folder.variant == component.variant


@pytest.mark.parametrize("component", families.SD3S, ids=lambda c: c.variant or "medium")
def test_every_sd3_is_known_by_its_depth_and_width(component: Component[families.SD3]) -> None:
    for shapes in (sd3_shapes(component.sizes), sd3_diffusers_shapes(component.sizes)):
        verdict = identify(unread(shapes))
        assert (verdict.family, verdict.variant) == ("sd3", component.variant)


def test_video_diffusion_is_known_by_its_time_layers() -> None:
    shapes = dict(unet_shapes(replace(SD2, inputs=8, labels=768)))
    shapes["input_blocks.1.0.time_stack.in_layers.2.weight"] = (320, 320, 3, 1, 1)
    verdict = identify(unread(shapes, UNET))
    assert (verdict.kind, verdict.family) == ("unet", "svd")
    assert verdict.parts[0].tensors == len(shapes)
