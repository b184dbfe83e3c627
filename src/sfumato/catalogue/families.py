"""The published networks: which sizes belong to which family and variant."""

from __future__ import annotations

from dataclasses import replace

from sfumato.catalogue.component import Component
from sfumato.catalogue.trees.control import (
    CONTROL_SD1,
    CONTROL_SD2,
    CONTROL_SDXL,
    Adapter,
    ControlNet,
)
from sfumato.catalogue.trees.dit import SD3, SD3_MEDIUM, SD35_LARGE, SD35_MEDIUM, Flux
from sfumato.catalogue.trees.text import CLIP_G, CLIP_H, CLIP_L, T5, T5_XXL, Text
from sfumato.catalogue.trees.tiny_vae import ApproxVAE, TinyVAE
from sfumato.catalogue.trees.unet import (
    NO_ATTENTION,
    NO_MIDDLE,
    REFINER,
    SD1,
    SD2,
    SDXL,
    UNet,
    sizes,
)
from sfumato.catalogue.trees.vae import VAE
from sfumato.catalogue.trees.vision import VISION_G, VISION_H, VISION_L, VISION_L_336, Vision

TITLES: dict[str, str] = {
    "sd1": "SD 1.x",
    "sd2": "SD 2.x",
    "sdxl": "SDXL",
    "sdxl-refiner": "SDXL refiner",
    "sd3": "SD 3",
    "flux": "Flux",
    "flux2": "Flux 2",
    "svd": "Stable Video Diffusion",
}
"""families as a person says them"""

_X4 = sizes(
    (256, 512, 512, 1024),
    (0, 1, 1, 1),
    1,
    1024,
    inputs=7,
    classes=1000,
    linear_projection=True,
    cross_only=(False, True, True, False),
)


def _small_xl(
    depths: tuple[int, ...],
    middle: int,
    rises: tuple[int | tuple[int, ...], ...] | None = None,
    blocks: int = 2,
) -> UNet:
    """A UNet that was cut out of SDXL's."""
    widths, context = SDXL.widths, SDXL.context
    return sizes(
        widths,
        depths,
        middle,
        context,
        rises=rises,
        blocks=blocks,
        labels=SDXL.labels,
        linear_projection=True,
    )


def _small(depths: tuple[int, ...], middle: int, base: UNet = SD1) -> UNet:
    """A UNet with one residual block less per level than SD1's or SD2's."""
    return sizes(
        base.widths[: len(depths)],
        depths,
        middle,
        base.context,
        blocks=1,
        linear_projection=base.linear_projection,
    )


_ROBERTA = "cond_stage_model.roberta.embeddings.word_embeddings.weight"
_CONDITIONER = "conditioner.embedders.0.model.ln_final.weight"

UNETS: tuple[Component[UNet], ...] = (
    Component("SD1 UNet (AltDiffusion)", "sd1", SD1, "altdiffusion", marks=(_ROBERTA,)),
    Component("SD1 UNet", "sd1", SD1),
    Component("SD1 UNet, inpainting", "sd1", replace(SD1, inputs=9), "inpainting"),
    Component(
        "Zero123 UNet", "sd1", replace(SD1, inputs=8), "zero123", marks=("cc_projection.weight",)
    ),
    Component("SD1 UNet, instruct-pix2pix", "sd1", replace(SD1, inputs=8), "ip2p"),
    Component("BK-SDM base UNet", "sd1", _small((1, 1, 1, 0), 1), "bk-sdm-base"),
    Component("BK-SDM small UNet", "sd1", _small((1, 1, 1, 0), NO_MIDDLE), "bk-sdm-small"),
    Component("BK-SDM tiny UNet", "sd1", _small((1, 1, 1), NO_MIDDLE), "bk-sdm-tiny"),
    Component("SDXS UNet", "sd1", _small((0, 1, 1), NO_MIDDLE), "sdxs"),
    Component("SD2 UNet (AltDiffusion m18)", "sd2", SD2, "altdiffusion-m18", marks=(_ROBERTA,)),
    Component("SD2 UNet (Turbo)", "sd2", SD2, "turbo", marks=(_CONDITIONER,)),
    Component("SD2 UNet", "sd2", SD2),
    Component("SD2 UNet, inpainting", "sd2", replace(SD2, inputs=9), "inpainting"),
    Component("SD2 UNet, depth", "sd2", replace(SD2, inputs=5), "depth"),
    Component(
        "SD2 UNet, unCLIP-L", "sd2", replace(SD2, labels=1536, class_labels=True), "unclip-l"
    ),
    Component(
        "SD2 UNet, unCLIP-H", "sd2", replace(SD2, labels=2048, class_labels=True), "unclip-h"
    ),
    Component("x4-upscaler UNet", "sd2", _X4, "upscaler-x4"),
    Component("BK-SDM v2 base UNet", "sd2", _small((1, 1, 1, 0), 1, SD2), "bk-sdm-base"),
    Component("BK-SDM v2 small UNet", "sd2", _small((1, 1, 1, 0), NO_MIDDLE, SD2), "bk-sdm-small"),
    Component("BK-SDM v2 tiny UNet", "sd2", _small((1, 1, 1), NO_MIDDLE, SD2), "bk-sdm-tiny"),
    Component("SDXS 0.9 UNet", "sd2", _small((0, 1, 1), NO_MIDDLE, SD2), "sdxs"),
    Component(
        "SDXL UNet (Playground 2.5)", "sdxl", SDXL, "playground-2.5", marks=("edm_mean", "edm_std")
    ),
    Component("SDXL UNet (CosXL)", "sdxl", SDXL, "cosxl", marks=("edm_vpred.sigma_max",)),
    Component("SDXL UNet", "sdxl", SDXL),
    Component("SDXL UNet, inpainting", "sdxl", replace(SDXL, inputs=9), "inpainting"),
    Component(
        "SDXL UNet (CosXL edit)",
        "sdxl",
        replace(SDXL, inputs=8),
        "cosxl-edit",
        marks=("edm_vpred.sigma_max",),
    ),
    Component("SDXL UNet, instruct-pix2pix", "sdxl", replace(SDXL, inputs=8), "ip2p"),
    Component(
        "SSD-1B UNet",
        "sdxl",
        _small_xl((0, 2, 4), NO_ATTENTION, ((4, 4, 10), (2, 1, 1), 0)),
        "ssd-1b",
    ),
    Component("Segmind Vega UNet", "sdxl", _small_xl((0, 1, 2), NO_ATTENTION), "vega"),
    Component("KOALA-700M UNet", "sdxl", _small_xl((0, 2, 5), NO_MIDDLE, blocks=1), "koala-700m"),
    Component("KOALA-1B UNet", "sdxl", _small_xl((0, 2, 6), 6, blocks=1), "koala-1b"),
    Component("KOALA-1B UNet", "sdxl", _small_xl((0, 2, 6), NO_MIDDLE, blocks=1), "koala-1b"),
    Component("SDXL refiner UNet", "sdxl-refiner", REFINER),
)

_KL = VAE()
_X4_VAE = VAE(multipliers=(1, 2, 4))
_16 = VAE(latent=16, quant=False)


def _halves(component: Component[VAE]) -> tuple[Component[VAE], ...]:
    """An autoencoder, its encoder alone, its decoder alone."""
    title, whole = component.title, component.sizes
    return (
        component,
        replace(component, title=f"{title}, encoder only", sizes=replace(whole, decoder=False)),
        replace(component, title=f"{title}, decoder only", sizes=replace(whole, encoder=False)),
    )


VAES: tuple[Component[VAE], ...] = (
    *_halves(Component("SD VAE (kl-f8, 4 channels)", "sd1/sdxl", _KL)),
    *_halves(Component("x4-upscaler VAE (kl-f4)", "sd2", _X4_VAE, "upscaler-x4")),
    *_halves(Component("SD3 / Flux VAE (16 channels)", "sd3/flux", _16)),
    *_halves(Component("Flux 2 VAE (32 channels)", "flux2", VAE(latent=32))),
)


def _tiny(title: str, family: str, whole: TinyVAE) -> tuple[Component[TinyVAE], ...]:
    return (
        Component(title, family, whole),
        Component(f"{title} encoder", family, replace(whole, decoder=False)),
        Component(f"{title} decoder", family, replace(whole, encoder=False)),
    )


TINY_VAES: tuple[Component[TinyVAE], ...] = (
    *_tiny("TAESD", "sd1/sdxl", TinyVAE()),
    *_tiny("TAESD (16 channels)", "sd3/flux", TinyVAE(16)),
    *_tiny("TAEF2", "flux2", TinyVAE(32, pooled=True)),
)

APPROX_VAES: tuple[Component[ApproxVAE], ...] = (Component("VAE-approx", "sd1/sdxl", ApproxVAE()),)

TEXTS: tuple[Component[Text], ...] = (
    Component("CLIP-L text encoder", "sd1/sdxl/sd3/flux", CLIP_L),
    Component("CLIP-L text encoder", "sd1/sdxl/sd3/flux", replace(CLIP_L, projection=768)),
    Component("CLIP-H text encoder", "sd2", CLIP_H),
    Component("CLIP-H text encoder", "sd2", replace(CLIP_H, projection=0)),
    Component("CLIP-H text encoder, 23 layers", "sd2", replace(CLIP_H, layers=23, projection=0)),
    Component("CLIP-bigG text encoder", "sdxl/sd3", CLIP_G, role="text_encoder_2"),
    Component(
        "CLIP-bigG text encoder", "sdxl/sd3", replace(CLIP_G, projection=0), role="text_encoder_2"
    ),
)

T5S: tuple[Component[T5], ...] = (
    Component("T5-XXL text encoder", "sd3/flux", T5_XXL, role="text_encoder_3"),
)

SD3S: tuple[Component[SD3], ...] = (
    Component("SD3 medium transformer", "sd3", SD3_MEDIUM),
    Component("SD3.5 medium transformer", "sd3", SD35_MEDIUM, "3.5-medium"),
    Component("SD3.5 large transformer", "sd3", SD35_LARGE, "3.5-large"),
)

FLUXES: tuple[Component[Flux], ...] = (
    Component("Flux dev transformer", "flux", Flux(), "dev"),
    Component("Flux schnell transformer", "flux", Flux(guidance=False), "schnell"),
    Component("Flux Fill transformer", "flux", Flux(384), "fill"),
    Component("Flux control transformer (canny, depth)", "flux", Flux(128), "control"),
    Component("Flex.2 transformer", "flux", Flux(196), "flex.2"),
    Component("Flux Lite transformer", "flux", Flux(doubles=8), "lite"),
    Component("Chroma transformer", "flux", Flux(guidance=False, distilled=5), "chroma"),
)

VISIONS: tuple[Component[Vision], ...] = (
    Component("CLIP-L vision tower", "sd1", VISION_L),
    Component("CLIP-L vision tower (336 px)", "sd1", VISION_L_336),
    Component("CLIP-H vision tower", "sd2", VISION_H),
    Component("CLIP-bigG vision tower", "sdxl", VISION_G),
)

CONTROLS: tuple[Component[ControlNet], ...] = (
    Component("SD1 ControlNet", "sd1", CONTROL_SD1),
    Component("SD2 ControlNet", "sd2", CONTROL_SD2),
    Component("SDXL ControlNet", "sdxl", CONTROL_SDXL),
)

ADAPTERS: tuple[Component[Adapter], ...] = (
    Component("SD1 T2I-Adapter", "sd1", Adapter(192)),
    Component("SD1 T2I-Adapter, grey", "sd1", Adapter(64)),
    Component("SDXL T2I-Adapter", "sdxl", Adapter(768)),
    Component("SDXL T2I-Adapter, grey", "sdxl", Adapter(256)),
)
