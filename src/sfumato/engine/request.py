"""All that is asked for when a picture is painted, as one value that can be stored and repeated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from PIL.Image import Image

Rng = Literal["NV", "CPU", "GPU"]
"""NV: CUDA's Philox, computed anywhere · CPU: torch's generator · GPU: the device's own"""
Emphasis = Literal["Original", "No norm", "Ignore", "None"]
Masked = Literal["fill", "original", "latent noise", "latent nothing"]
Resize = Literal["stretch", "crop", "fill", "latent"]
Padding = Literal["none", "empty", "v0"]
"""how a prompt and a negative prompt of different length are brought together (A1111's
`pad_cond_uncond` and `pad_cond_uncond_v0`)"""

UNIPC_ORDERS = 10
"""the highest order of UniPC that may be asked for"""


@dataclass(frozen=True, slots=True)
class Variation:
    """Noise mixed from two seeds, and noise of another size."""

    seed: int = -1
    """seed of the noise that is mixed in; -1 draws one"""
    strength: float = 0.0
    """0: the seed's own noise … 1: the other's"""
    resize_from: tuple[int, int] | None = None
    """width and height at which the seed's noise is drawn before it is pasted into the middle"""


@dataclass(frozen=True, slots=True)
class Tuning:
    """The finer settings of a sampler, under A1111's meaning; None or 0 is the sampler's own."""

    eta: float | None = None
    """share of ancestral noise; 1 for ancestral samplers, 0 for DDIM"""
    churn: float = 0.0
    churn_min: float = 0.0
    churn_max: float | None = None
    noise: float = 1.0
    """factor of every noise that a sampler adds (s_noise)"""
    sigma_min: float = 0.0
    sigma_max: float = 0.0
    rho: float = 0.0
    beta_alpha: float = 0.6
    beta_beta: float = 0.6
    discard_penultimate: bool = False
    """leave the last but one sigma out, also where the sampler does not ask for it"""
    sgm_noise: bool = False
    """start from noise · sqrt(1 + sigma²) (`sgm_noise_multiplier`)"""
    quantize: bool = False
    """round timesteps to whole ones (`enable_quantization`)"""
    old_karras: bool = False
    """Karras from 0.1 to 10 (`use_old_karras_scheduler_sigmas`)"""
    unipc_order: int = 3
    """1 to `UNIPC_ORDERS`"""
    unipc_variant: Literal["bh1", "bh2", "vary_coeff"] = "bh1"
    unipc_skip: Literal["time_uniform", "time_quadratic", "logSNR"] = "time_uniform"
    unipc_lower_order_final: bool = True


@dataclass(frozen=True, slots=True)
class Guidance:
    """How the prompt and the negative prompt are weighed against each other."""

    scale: float = 7.0
    """CFG scale; 1 is the prompt alone"""
    image_scale: float = 1.5
    """weight of the picture in InstructPix2Pix models"""
    rescale: float = 0.0
    """share of CFG rescale (Lin et al., equation 16); 0 for none"""
    skip_below: float = 0.0
    """below this sigma every other call leaves the negative prompt out (NGMS, `s_min_uncond`)"""
    skip_all: bool = False
    """… every call (`s_min_uncond_all`)"""
    skip_early: float = 0.0
    """share of the first calls that leave the negative prompt out (`skip_early_cond`)"""


@dataclass(frozen=True, slots=True)
class Hires:
    """A second pass at a larger size."""

    scale: float = 2.0
    size: tuple[int, int] = (0, 0)
    """width and height; one zero follows the aspect, two zeros use `scale`"""
    steps: int = 0
    """0 takes those of the first pass"""
    denoise: float = 0.75
    upscaler: str = "Latent"
    """a latent mode, "Lanczos", "Nearest", "None" … (`engine.pictures.upscale`)"""
    sampler: str = ""
    schedule: str = ""
    prompt: str = ""
    negative: str = ""
    refiner: Literal["first", "second", "both"] = "second"
    """the pass that a refiner takes part in (`hires_fix_refiner_pass`)"""


@dataclass(frozen=True, slots=True)
class Inpaint:
    """Which part of a picture is painted anew, and from what."""

    mask: Image
    """white is painted; an alpha channel that varies is used in its place"""
    blur: tuple[int, int] = (4, 4)
    """sigma of the Gaussian, across and down, in pixels"""
    invert: bool = False
    fill: Masked = "original"
    whole: bool = True
    """False paints only the masked region, at full size ("Only masked")"""
    padding: int = 32
    """pixels around the region"""
    round: bool = True
    """False keeps grey masks grey in the latent"""
    weight: float = 1.0
    """strength of the picture's condition in inpainting models (`inpainting_mask_weight`)"""
    overlay: bool = True
    """lay the original pixels over what is outside the mask"""


@dataclass(frozen=True, slots=True)
class Init:
    """The picture that painting starts from."""

    image: Image
    denoise: float = 0.75
    resize: Resize = "stretch"
    inpaint: Inpaint | None = None
    noise: float = 1.0
    """factor of the first noise (`initial_noise_multiplier`)"""
    extra_noise: float = 0.0
    exact_steps: bool = False
    """run all the steps asked for, whatever `denoise` (`img2img_fix_steps`)"""
    color_correction: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """One picture, or several that differ in their seeds alone."""

    prompt: str = ""
    negative: str = ""
    styles: tuple[str, ...] = ()
    steps: int = 20
    sampler: str = "DPM++ 2M"
    schedule: str = "Automatic"
    width: int = 0
    """pixels; 0 takes the size the model was made for"""
    height: int = 0
    seed: int = -1
    """-1 draws one"""
    batch: int = 1
    """pictures painted at once, with seeds that count up"""
    count: int = 1
    """batches"""
    clip_skip: int = 1
    skip_sdxl: bool = False
    """let clip skip act on SDXL's first text encoder (`sdxl_clip_l_skip`)"""
    rng: Rng = "NV"
    ensd: int = 0
    """added to the seed of the noise drawn while sampling (eta noise seed delta)"""
    emphasis: Emphasis = "Original"
    comments: bool = True
    """cut from `#` to the end of the line"""
    comma_backtrack: int = 20
    old_schedules: bool = False
    """A1111's rules for `[a:b:when]` before 1.6"""
    pad: Padding = "none"
    tiling: bool = False
    """seamless textures: every convolution wraps around"""
    sdxl_crop: tuple[int, int] = (0, 0)
    """top, left"""
    guidance: Guidance = field(default_factory=Guidance)
    variation: Variation = field(default_factory=Variation)
    tuning: Tuning = field(default_factory=Tuning)
    hires: Hires | None = None
    init: Init | None = None
    model: str = ""
    """names of files, for records that say them (a picture's text, a cell of a grid); the painter
    paints with what it has loaded"""
    vae: str = ""
    weights: Literal["live", "ema"] = "live"
    """which of the checkpoint's weights, for records too"""
    refiner: str = ""
    refiner_switch: float = 0.8
    refiner_by_steps: bool = False
    """the switch counts calls of the UNet and not noise (A1111 before 1.8)"""
    zero_snr: bool = False
    """force zero terminal SNR (`sd_noise_schedule`); models made for it say so themselves"""
    half_alphas: bool = False
    """alphas rounded to half precision, as A1111 had them before 1.7.0-225"""
