"""The settings of a record, one entry each: A1111's name, our field, and how the text is read."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter

from sfumato.engine.pictures.values import (
    Reader,
    flag,
    named,
    number,
    other,
    show,
    size,
    text,
    whole,
    word,
)
from sfumato.engine.request import UNIPC_ORDERS, Request

ALWAYS = object()
"""stands for the default of what is written into every record"""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: written where it differs from `default`, which is what its absence means."""

    key: str
    path: str
    """the field of a request: "steps", "guidance.scale", "init.inpaint.padding" """
    read: Reader
    default: object
    words: tuple[tuple[object, str], ...] = ()
    """how values are written, where a record has words of its own for them"""

    def text(self, value: object) -> str:
        """A value as a record has it."""
        return dict(self.words).get(value) or show(value)

    def value(self, text: str) -> object:
        """The value of a text; raises ValueError with the clause that says what it is not."""
        found = next((v for v, words in self.words if words.lower() == text.lower()), None)
        return self.read(text) if found is None else found

    @property
    def part(self) -> str:
        """The part of a request that the field belongs to; empty for the request itself."""
        return self.path.rpartition(".")[0]

    @property
    def field(self) -> str:
        """The field's own name."""
        return self.path.rpartition(".")[2]

    def written(self, request: Request) -> object:
        """The value that a record of `request` must tell; None where it goes without saying."""
        if not has_part(request, self.part):
            return None
        value: object = attrgetter(self.path)(request)
        return None if value == self.default else value


def has_part(request: Request, part: str) -> bool:
    """True where a request has a part that it may be without."""
    if part == "hires":
        return request.hires is not None
    if part == "init":
        return request.init is not None
    return part != "init.inpaint" or (request.init is not None and request.init.inpaint is not None)


STEPS = whole(0, 10_000)
POSITIVE = number(0)
EMPHASES = word("Original", "No norm", "Ignore", "None")
CONTENTS = word("fill", "original", "latent noise", "latent nothing")
WEIGHTS = word("live", "ema")
VARIANTS = word("bh1", "bh2", "vary_coeff")
SKIPS = word("time_uniform", "time_quadratic", "logSNR")

SEEDS = whole(-1, 2**64 - 1)
RESIZES = (
    ("stretch", "Just resize"),
    ("crop", "Crop and resize"),
    ("fill", "Resize and fill"),
    ("latent", "Just resize (latent upscale)"),
)
PASSES = word("first", "second", "both")
PASS_WORDS = (("first", "first pass"), ("second", "second pass"), ("both", "both passes"))
MODES = ((True, "Inpaint not masked"), (False, "Inpaint masked"))
AREAS = ((False, "Only masked"), (True, "Whole picture"))
ALPHAS = ((True, "Zero Terminal SNR"), (False, "Default"))

SETTINGS: tuple[Setting, ...] = (
    Setting("Steps", "steps", STEPS, ALWAYS),
    Setting("Sampler", "sampler", text, ALWAYS),
    Setting("Schedule type", "schedule", text, "Automatic"),
    Setting("CFG scale", "guidance.scale", number(), ALWAYS),
    Setting("Image CFG scale", "guidance.image_scale", number(), 1.5),
    Setting("Seed", "seed", SEEDS, ALWAYS),
    Setting("Model", "model", named, ""),
    Setting("VAE", "vae", text, ""),
    Setting("Weights", "weights", WEIGHTS, "live"),
    Setting("Variation seed", "variation.seed", SEEDS, ALWAYS),
    Setting("Variation seed strength", "variation.strength", number(0, 1), 0.0),
    Setting("Seed resize from", "variation.resize_from", size, None),
    Setting("Conditional mask weight", "init.inpaint.weight", number(0, 1), 1.0),
    Setting("Clip skip", "clip_skip", whole(1, 64), 1),
    Setting("Clip skip SDXL", "skip_sdxl", flag, False),
    Setting("ENSD", "ensd", whole(-(2**63), 2**64 - 1), 0),
    Setting("Tiling", "tiling", flag, False),
    Setting("Hires upscale", "hires.scale", number(0.01, 64), ALWAYS),
    Setting("Hires resize", "hires.size", size, (0, 0)),
    Setting("Hires steps", "hires.steps", STEPS, 0),
    Setting("Hires upscaler", "hires.upscaler", text, ALWAYS),
    Setting("Hires sampler", "hires.sampler", other, ""),
    Setting("Hires schedule type", "hires.schedule", other, ""),
    Setting("Hires prompt", "hires.prompt", text, ""),
    Setting("Hires negative prompt", "hires.negative", text, ""),
    Setting("Hires refiner", "hires.refiner", PASSES, "second", PASS_WORDS),
    Setting("Refiner", "refiner", named, ""),
    Setting("Refiner switch at", "refiner_switch", number(0, 1), ALWAYS),
    Setting("Refiner switch by sampling steps", "refiner_by_steps", flag, False),
    Setting("Resize mode", "init.resize", word(), "stretch", RESIZES),
    Setting("Mask mode", "init.inpaint.invert", flag, False, MODES),
    Setting("Mask round", "init.inpaint.round", flag, True),
    Setting("Inpaint area", "init.inpaint.whole", flag, True, AREAS),
    Setting("Masked area padding", "init.inpaint.padding", whole(0, 16384), 32),
    Setting("Masked content", "init.inpaint.fill", CONTENTS, "original"),
    Setting("Overlay", "init.inpaint.overlay", flag, True),
    Setting("Noise multiplier", "init.noise", number(), 1.0),
    Setting("Extra noise", "init.extra_noise", number(), 0.0),
    Setting("Exact steps", "init.exact_steps", flag, False),
    Setting("Color correction", "init.color_correction", flag, False),
    Setting("Emphasis", "emphasis", EMPHASES, "Original"),
    Setting("Prompt comments", "comments", flag, True),
    Setting("Comma backtrack", "comma_backtrack", whole(0, 75), 20),
    Setting("SDXL crop", "sdxl_crop", size, (0, 0)),
    Setting("CFG rescale", "guidance.rescale", number(0, 1), 0.0),
    Setting("NGMS", "guidance.skip_below", POSITIVE, 0.0),
    Setting("NGMS all steps", "guidance.skip_all", flag, False),
    Setting("Skip Early CFG", "guidance.skip_early", number(0, 1), 0.0),
    Setting("Sigma churn", "tuning.churn", POSITIVE, 0.0),
    Setting("Sigma tmin", "tuning.churn_min", POSITIVE, 0.0),
    Setting("Sigma tmax", "tuning.churn_max", POSITIVE, None),
    Setting("Sigma noise", "tuning.noise", POSITIVE, 1.0),
    Setting("Schedule max sigma", "tuning.sigma_max", POSITIVE, 0.0),
    Setting("Schedule min sigma", "tuning.sigma_min", POSITIVE, 0.0),
    Setting("Schedule rho", "tuning.rho", POSITIVE, 0.0),
    Setting("Beta schedule alpha", "tuning.beta_alpha", POSITIVE, 0.6),
    Setting("Beta schedule beta", "tuning.beta_beta", POSITIVE, 0.6),
    Setting("Discard penultimate sigma", "tuning.discard_penultimate", flag, False),
    Setting("SGM noise multiplier", "tuning.sgm_noise", flag, False),
    Setting("Quantized timesteps", "tuning.quantize", flag, False),
    Setting("Old Karras sigmas", "tuning.old_karras", flag, False),
    Setting("UniPC order", "tuning.unipc_order", whole(1, UNIPC_ORDERS), 3),
    Setting("UniPC variant", "tuning.unipc_variant", VARIANTS, "bh1"),
    Setting("UniPC skip type", "tuning.unipc_skip", SKIPS, "time_uniform"),
    Setting("UniPC lower order final", "tuning.unipc_lower_order_final", flag, True),
    Setting("Noise Schedule", "zero_snr", flag, False, ALPHAS),
    Setting("Downcast alphas_cumprod", "half_alphas", flag, False),
    Setting("Old prompt editing timelines", "old_schedules", flag, False),
)  # fmt: skip
"""every setting that is one value of one field"""

ORDER: tuple[str, ...] = (
    "Steps", "Sampler", "Schedule type", "CFG scale", "Image CFG scale", "Seed",
    "Face restoration", "Size", "Model hash", "Model", "FP8 weight",
    "Cache FP16 weight for LoRA", "VAE hash", "VAE", "Weights", "Precision", "Variation seed",
    "Variation seed strength", "Seed resize from", "Denoising strength", "Conditional mask weight",
    "Clip skip", "Clip skip SDXL", "ENSD",
    "Token merging ratio", "Token merging ratio hr", "Init image hash", "RNG", "Tiling",
    "Hires upscale", "Hires resize", "Hires steps", "Hires upscaler", "Hires denoising strength",
    "Hires sampler", "Hires schedule type", "Hires prompt", "Hires negative prompt",
    "Hires refiner",
    "Refiner", "Refiner switch at", "Refiner switch by sampling steps",
    "Resize mode", "Mask mode", "Mask blur", "Mask blur x", "Mask blur y", "Mask round",
    "Inpaint area", "Masked area padding", "Masked content", "Overlay", "Noise multiplier",
    "Extra noise", "Exact steps", "Color correction",
    "Lora hashes", "TI hashes", "Hypernet hashes", "Emphasis", "Prompt comments",
    "Comma backtrack", "SDXL crop",
    "CFG rescale", "NGMS", "NGMS all steps", "Skip Early CFG", "Pad conds", "Pad conds v0",
    "Eta", "Eta DDIM", "Sigma churn", "Sigma tmin", "Sigma tmax", "Sigma noise",
    "Schedule max sigma", "Schedule min sigma", "Schedule rho",
    "Beta schedule alpha", "Beta schedule beta", "Discard penultimate sigma",
    "SGM noise multiplier", "Quantized timesteps", "Old Karras sigmas", "UniPC order",
    "UniPC variant", "UniPC skip type", "UniPC lower order final", "Noise Schedule",
    "Downcast alphas_cumprod", "Old prompt editing timelines",
    "Script", "X Type", "X Values", "Fixed X Values", "Y Type", "Y Values", "Fixed Y Values",
    "Z Type", "Z Values", "Fixed Z Values", "Version", "User", "Hashes",
)  # fmt: skip
"""keys in the order in which a record has them; others stand before "Version" """
