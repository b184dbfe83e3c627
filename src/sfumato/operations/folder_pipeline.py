"""What a diffusers folder says about the whole: which pipeline runs it, with which scheduler."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from sfumato.catalogue.trees.unet import UNet
from sfumato.operations.folder_networks import VERSION, Settings, Whole, text_class
from sfumato.operations.folder_tokenizers import TOKENIZERS


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A pipeline class of diffusers, and the models it is for."""

    name: str
    family: str
    inputs: int
    """channels that the UNet takes"""
    extras: Mapping[str, object] = field(default_factory=dict[str, object])
    """its further settings"""


_UNCHECKED = {"requires_safety_checker": False}
_WIDE = {"force_zeros_for_empty_prompt": True}
_REFINING = {"force_zeros_for_empty_prompt": False, "requires_aesthetics_score": True}

PIPELINES: tuple[Pipeline, ...] = (
    Pipeline("StableDiffusionPipeline", "sd1", 4, _UNCHECKED),
    Pipeline("StableDiffusionInpaintPipeline", "sd1", 9, _UNCHECKED),
    Pipeline("StableDiffusionInstructPix2PixPipeline", "sd1", 8, _UNCHECKED),
    Pipeline("StableDiffusionPipeline", "sd2", 4, _UNCHECKED),
    Pipeline("StableDiffusionInpaintPipeline", "sd2", 9, _UNCHECKED),
    Pipeline("StableDiffusionInstructPix2PixPipeline", "sd2", 8, _UNCHECKED),
    Pipeline("StableDiffusionDepth2ImgPipeline", "sd2", 5),
    Pipeline("StableDiffusionUpscalePipeline", "sd2", 7),
    Pipeline("StableDiffusionXLPipeline", "sdxl", 4, _WIDE),
    Pipeline("StableDiffusionXLInpaintPipeline", "sdxl", 9, _WIDE),
    Pipeline("StableDiffusionXLInstructPix2PixPipeline", "sdxl", 8, _WIDE),
    Pipeline("StableDiffusionXLImg2ImgPipeline", "sdxl-refiner", 4, _REFINING),
)
"""the first one is for models that none is made for"""


def pipeline(unet: UNet, whole: Whole) -> Pipeline:
    """The pipeline that runs `unet`."""
    if unet.class_labels:
        return Pipeline("StableUnCLIPImg2ImgPipeline", whole.family, unet.inputs)
    for row in PIPELINES:
        if (row.family, row.inputs) == (whole.family, unet.inputs):
            return row
    wide = unet.labels and not unet.class_labels
    return next(row for row in PIPELINES if row.family == ("sdxl" if wide else "sd1"))


def index_settings(
    unet: UNet, parts: Collection[str], whole: Whole, *, scheduled: object = None
) -> Settings:
    """`model_index.json` of a folder with `parts`.

    scheduled: class of the scheduler where its settings came with the model.

    Tokenizers that are not among `parts` are null: SDXL's pipelines load all the same, those of SD1
    and SD2 want one passed to `from_pretrained`. Other parts that a pipeline may have and the
    folder has not are left out, which diffusers takes for null.
    """
    chosen = pipeline(unet, whole)
    found: Settings = {
        "_class_name": chosen.name,
        "_diffusers_version": VERSION,
        "tokenizer": NOTHING,
        **{part: kind for part, kind in COMPONENTS.items() if part in parts},
    }
    if unet.labels and not unet.class_labels:
        found |= {part: NOTHING for part in (*TEXTS, "tokenizer_2") if part not in parts}
    if unet.classes:
        found["low_res_scheduler"] = ["diffusers", "DDPMScheduler"]
    name = scheduled if isinstance(scheduled, str) else scheduler(whole).name
    return {**found, "scheduler": ["diffusers", name], **chosen.extras}


NOTHING = [None, None]
"""stands in model_index.json for a part that is not there"""

TEXTS = ("text_encoder", "text_encoder_2")

COMPONENTS: Mapping[str, list[str]] = {
    "vae": ["diffusers", "AutoencoderKL"],
    **{part: ["transformers", text_class(part)] for part in TEXTS},
    **{part: ["transformers", "CLIPTokenizer"] for part in TOKENIZERS.values()},
    "unet": ["diffusers", "UNet2DConditionModel"],
}
"""part → library and class that read it"""


@dataclass(frozen=True, slots=True)
class Scheduler:
    """A scheduler class of diffusers with the settings that are particular to it."""

    name: str
    settings: Mapping[str, object]


BETAS: Settings = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "trained_betas": None,
}
UPSCALING: Settings = {"beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear"}
"""the x4 upscaler was trained on other noise levels"""

SPACED: Settings = {"timestep_spacing": "leading", "steps_offset": 1}
DDIM = Scheduler(
    "DDIMScheduler", {**BETAS, **SPACED, "clip_sample": False, "set_alpha_to_one": False}
)
EULER = Scheduler(
    "EulerDiscreteScheduler",
    {**BETAS, **SPACED, "interpolation_type": "linear", "use_karras_sigmas": False},
)
FLOW = Scheduler(
    "UniPCMultistepScheduler",
    {"num_train_timesteps": 1000, "use_flow_sigmas": True, "flow_shift": 1.0},
)
PLAYGROUND = Scheduler(
    "EDMDPMSolverMultistepScheduler",
    {
        "num_train_timesteps": 1000, "sigma_min": 0.002, "sigma_max": 80.0, "sigma_data": 0.5,
        "rho": 7.0, "solver_order": 2, "solver_type": "midpoint", "algorithm_type": "dpmsolver++",
        "lower_order_final": True, "final_sigmas_type": "zero",
    },
)  # fmt: skip
COSXL = Scheduler(
    "EDMEulerScheduler",
    {
        "num_train_timesteps": 1000, "sigma_min": 0.002, "sigma_max": 120.0, "sigma_data": 1.0,
        "sigma_schedule": "exponential",
    },
)  # fmt: skip

PREDICTIONS: Mapping[str, str] = {"v": "v_prediction", "flow": "flow_prediction"}
"""our word → that of diffusers; everything else is epsilon"""


def scheduler(whole: Whole) -> Scheduler:
    """The scheduler that published models of the kind come with or are loaded with."""
    if whole.prediction == "edm":
        return PLAYGROUND if whole.variant == "playground-2.5" else COSXL
    if whole.prediction == "flow":
        return FLOW
    return EULER if whole.family.startswith("sdxl") else DDIM


def scheduler_settings(whole: Whole, unet: UNet, *, zero_terminal_snr: bool) -> Settings:
    """`scheduler/scheduler_config.json`."""
    chosen = scheduler(whole)
    predicts = PREDICTIONS.get(whole.prediction, "epsilon")
    found: Settings = {
        "_class_name": chosen.name,
        "_diffusers_version": VERSION,
        **chosen.settings,
        "prediction_type": "v_prediction" if chosen == COSXL else predicts,
    }
    if unet.classes and "beta_start" in found:
        found |= UPSCALING
    if zero_terminal_snr and chosen in (DDIM, EULER):
        # A schedule that ends in pure noise has to be entered at its end.
        found |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    return found


def low_res_settings() -> Settings:
    """`low_res_scheduler/scheduler_config.json`: noise on the picture that the x4 upscaler gets."""
    return {
        "_class_name": "DDPMScheduler",
        "_diffusers_version": VERSION,
        **BETAS,
        "beta_start": 0.0001,
        "beta_end": 0.02,
        "clip_sample": True,
        "prediction_type": "epsilon",
        "variance_type": "fixed_small",
    }
