"""What an axis can vary: every parameter by name, how its values are read, what each changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sfumato.engine.asking.changes import (
    Put,
    add_styles,
    denoise,
    guidance,
    hires,
    init,
    inpaint,
    own,
    size,
    tuning,
    variation,
)
from sfumato.engine.grid import prompts
from sfumato.engine.request import UNIPC_ORDERS, Request

Kind = Literal[
    "int", "float", "choice", "text", "switch", "size", "styles", "tag", "search", "order"
]
Value = int | float | str | bool | tuple[int, int] | tuple[str, ...]
Missing = Callable[[Request], str]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One thing that can differ from picture to picture."""

    name: str
    """as the command takes it"""
    label: str
    """as A1111 writes it beside `X Type`"""
    kind: Kind
    put: Put
    """(request, value) → the request with that value"""
    lowest: float | None = None
    highest: float | None = None
    lookup: str = ""
    """which list of names its values come from; empty where they are numbers or free text"""
    cost: float = 0.0
    """how dear a change is (A1111's figures); the dearest axis changes least often"""
    missing: Missing = lambda _: ""
    """(request) → why this parameter would change nothing there; empty where it does"""
    late: bool = False
    """put after the others: it changes what they put"""
    aliases: tuple[str, ...] = ()


def _no_hires(request: Request) -> str:
    return "" if request.hires else "there is no second pass (--hires)"


def _no_init(request: Request) -> str:
    return "" if request.init else "there is no picture to start from (--init)"


def _no_mask(request: Request) -> str:
    return "" if request.init and request.init.inpaint else "there is no mask (--mask)"


def _no_denoise(request: Request) -> str:
    return "" if request.init or request.hires else "there is neither --init nor --hires"


def _no_refiner(request: Request) -> str:
    return "" if request.refiner else "there is no refiner (--refiner)"


PARAMETERS: tuple[Parameter, ...] = (
    # files
    Parameter("checkpoint", "Checkpoint name", "choice", own("model"), lookup="checkpoint",
              cost=1.0, aliases=("model",)),
    Parameter("refiner", "Refiner checkpoint", "choice", own("refiner"), lookup="refiner",
              cost=0.9),
    Parameter("vae", "VAE", "choice", own("vae"), lookup="vae", cost=0.7),
    Parameter("lora", "LoRA", "tag", prompts.add_lora, lookup="lora", cost=0.4),
    Parameter("lora weight", "LoRA weight", "float", prompts.weigh_loras, cost=0.3,
              missing=prompts.no_lora, late=True, aliases=("lora strength",)),
    Parameter("hypernetwork", "Hypernetwork", "tag", prompts.add_hypernetwork,
              lookup="hypernetwork", cost=0.2, aliases=("hypernet",)),
    Parameter("hypernetwork strength", "Hypernet str.", "float", prompts.weigh_hypernetworks,
              cost=0.1, missing=prompts.no_hypernetwork, late=True,
              aliases=("hypernetwork weight", "hypernet strength")),
    Parameter("embedding", "Embedding", "tag", prompts.add_embedding, lookup="embedding"),
    # the text
    Parameter("prompt s/r", "Prompt S/R", "search", prompts.search_and_replace,
              aliases=("s/r", "sr", "replace")),
    Parameter("prompt order", "Prompt order", "order", prompts.order, aliases=("order",)),
    Parameter("prompt", "Prompt", "text", own("prompt")),
    Parameter("negative", "Negative prompt", "text", own("negative")),
    Parameter("styles", "Styles", "styles", add_styles, lookup="styles", aliases=("style",)),
    Parameter("emphasis", "Emphasis", "choice", own("emphasis"), lookup="emphasis"),
    Parameter("clip skip", "Clip skip", "int", own("clip_skip"), 1, 12),
    # noise
    Parameter("seed", "Seed", "int", own("seed"), -1, 2**64 - 1),
    Parameter("variation seed", "Var. seed", "int", variation("seed"), -1, 2**64 - 1,
              aliases=("var seed", "subseed")),
    Parameter("variation strength", "Var. strength", "float", variation("strength"), 0, 1,
              aliases=("var strength", "subseed strength")),
    Parameter("rng", "RNG source", "choice", own("rng"), lookup="rng"),
    Parameter("ensd", "ENSD", "int", own("ensd")),
    # sampling
    Parameter("sampler", "Sampler", "choice", own("sampler"), lookup="sampler"),
    Parameter("schedule", "Schedule type", "choice", own("schedule"), lookup="schedule",
              aliases=("scheduler",)),
    Parameter("steps", "Steps", "int", own("steps"), 1, 1000),
    Parameter("cfg", "CFG Scale", "float", guidance("scale"), aliases=("cfg scale", "guidance")),
    Parameter("image cfg", "Image CFG Scale", "float", guidance("image_scale")),
    Parameter("cfg rescale", "CFG Rescale", "float", guidance("rescale"), 0, 1),
    Parameter("ngms", "Negative Guidance minimum sigma", "float", guidance("skip_below"), 0,
              aliases=("skip below",)),
    Parameter("skip early", "Skip Early CFG", "float", guidance("skip_early"), 0, 1),
    Parameter("eta", "Eta", "float", tuning("eta"), 0),
    Parameter("churn", "Sigma Churn", "float", tuning("churn"), 0),
    Parameter("churn min", "Sigma min", "float", tuning("churn_min"), 0, aliases=("tmin",)),
    Parameter("churn max", "Sigma max", "float", tuning("churn_max"), 0, aliases=("tmax",)),
    Parameter("noise", "Sigma noise", "float", tuning("noise"), 0, aliases=("s noise",)),
    Parameter("sigma min", "Schedule min sigma", "float", tuning("sigma_min"), 0),
    Parameter("sigma max", "Schedule max sigma", "float", tuning("sigma_max"), 0),
    Parameter("rho", "Schedule rho", "float", tuning("rho"), 0),
    Parameter("beta alpha", "Beta schedule alpha", "float", tuning("beta_alpha"), 0),
    Parameter("beta beta", "Beta schedule beta", "float", tuning("beta_beta"), 0),
    Parameter("unipc order", "UniPC Order", "int", tuning("unipc_order"), 1,
              UNIPC_ORDERS, cost=0.5),
    Parameter("discard penultimate", "Always discard next-to-last sigma", "switch",
              tuning("discard_penultimate")),
    Parameter("sgm noise", "SGM noise multiplier", "switch", tuning("sgm_noise")),
    Parameter("refiner switch", "Refiner switch at", "float", own("refiner_switch"), 0, 1,
              missing=_no_refiner),
    # sizes, and the second pass
    Parameter("size", "Size", "size", size),
    Parameter("tiling", "Tiling", "switch", own("tiling"), cost=0.2),
    Parameter("hires steps", "Hires steps", "int", hires("steps"), 0, 1000, missing=_no_hires),
    Parameter("hires scale", "Hires upscale", "float", hires("scale"), 0.1, 8, missing=_no_hires),
    Parameter("hires sampler", "Hires sampler", "choice", hires("sampler"), lookup="sampler",
              missing=_no_hires),
    Parameter("hires upscaler", "Hires upscaler", "choice", hires("upscaler"), lookup="upscaler",
              missing=_no_hires),
    # another picture to start from
    Parameter("denoise", "Denoising", "float", denoise, 0, 1, missing=_no_denoise,
              aliases=("denoising", "denoising strength")),
    Parameter("noise multiplier", "Initial noise multiplier", "float", init("noise"), 0,
              missing=_no_init, aliases=("initial noise multiplier",)),
    Parameter("extra noise", "Extra noise", "float", init("extra_noise"), 0, missing=_no_init),
    Parameter("mask weight", "Cond. Image Mask Weight", "float", inpaint("weight"), 0, 1,
              missing=_no_mask),
)  # fmt: skip
"""every parameter, in the order of the help page"""

UNKNOWN_HERE: dict[str, str] = {
    "face restore": "faces are not restored here",
    "token merging ratio": "tokens are never merged here",
    "token merging ratio high-res": "tokens are never merged here",
    "fp8 mode": "weights are cast once, when the model is loaded (--dtype)",
    "nothing": "leave the axis out",
}
"""axes of A1111 that have no meaning here, and why"""
