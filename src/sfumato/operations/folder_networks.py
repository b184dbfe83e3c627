"""The settings of each network in a diffusers folder, read off the sizes of its tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sfumato.catalogue.trees.shapes import Shape
from sfumato.catalogue.trees.text import Text
from sfumato.catalogue.trees.unet import NO_ATTENTION, NO_MIDDLE, UNet
from sfumato.catalogue.trees.vae import VAE
from sfumato.errors import Refused

Settings = dict[str, object]
"""what becomes one JSON file"""

VERSION = "0.32.0"
"""the oldest diffusers that knows every setting written here"""


@dataclass(frozen=True, slots=True)
class Whole:
    """What the settings of a network depend on beside its own sizes."""

    family: str
    variant: str
    prediction: str
    """epsilon | v | flow | edm | unknown"""
    pooled: int
    """width of the second text encoder's pooled output; 0 where there is none"""
    shapes: Mapping[str, Shape]
    """every tensor of the model"""

    @property
    def sample_size(self) -> int:
        """Latent pixels along a side of the pictures it was trained on."""
        if self.family in ("sdxl", "sdxl-refiner") or self.variant == "upscaler-x4":
            return 128
        return 96 if (self.family, self.prediction) == ("sd2", "v") else 64


def groups(width: int) -> int:
    """Groups of a GroupNorm: 32, and fewer in small networks."""
    return max(1, min(32, width // 4))


def unet_settings(unet: UNet, whole: Whole) -> Settings:
    """`unet/config.json`; raises Refused for a UNet that diffusers' class cannot build."""
    down, up = _levels(unet.depths, unet.blocks), _levels(unet.rises, unet.blocks + 1)
    cross = list(map(bool, unet.cross_only)) if any(unet.cross_only) else False
    return {
        "_class_name": "UNet2DConditionModel",
        "_diffusers_version": VERSION,
        "sample_size": whole.sample_size,
        "in_channels": unet.inputs,
        "out_channels": unet.outputs,
        "center_input_sample": False,
        "flip_sin_to_cos": True,
        "freq_shift": 0,
        "down_block_types": ["CrossAttnDownBlock2D" if level else "DownBlock2D" for level in down],
        "mid_block_type": MIDDLES.get(unet.middle, "UNetMidBlock2DCrossAttn"),
        "up_block_types": ["CrossAttnUpBlock2D" if level else "UpBlock2D" for level in up],
        "only_cross_attention": cross,
        "block_out_channels": list(unet.widths),
        "layers_per_block": unet.blocks,
        "downsample_padding": 1,
        "mid_block_scale_factor": 1,
        "act_fn": "silu",
        "norm_num_groups": groups(unet.widths[0]),
        "norm_eps": 1e-05,
        "cross_attention_dim": unet.context or 1280,
        "attention_head_dim": _heads(unet),
        "dual_cross_attention": False,
        "use_linear_projection": unet.linear_projection,
        # SD 2.1 overflows in F16 unless attention is computed in F32.
        "upcast_attention": (whole.family, whole.prediction) == ("sd2", "v"),
        "resnet_time_scale_shift": "default",
        **_depths(unet, down, up),
        **_labels(unet, whole),
        **_guidance(whole),
    }


MIDDLES: Mapping[int, str | None] = {NO_ATTENTION: "UNetMidBlock2D", NO_MIDDLE: None}
"""transformer blocks in the middle → its class, where that is not the usual one"""

Level = list[int]
"""transformer blocks of each residual block of a level; empty where it has no attention"""


def _levels(depths: Sequence[int], blocks: int) -> list[Level]:
    levels = [list(depths[i : i + blocks]) for i in range(0, len(depths), blocks)]
    for level in levels:
        if any(level) and not all(level):
            raise Refused(
                "diffusers has no UNet in which some residual blocks of a level attend "
                f"and others do not; their transformer blocks: {level}"
            )
    return [level if any(level) else [] for level in levels]


def _depths(unet: UNet, down: list[Level], up: list[Level]) -> Settings:
    """How many transformer blocks stand where.

    The middle takes the number of the coarsest level; the way up repeats the way down, unless
    `reverse_transformer_layers_per_block` says otherwise.
    """
    if unet.middle == 0 or (unet.middle > 0 and down[-1] and down[-1][0] != unet.middle):
        raise Refused(
            f"diffusers has no UNet with {unet.middle} transformer blocks in the middle after "
            f"{down[-1] or 'none'} at the coarsest level"
        )
    falling = [_number(level) for level in down]
    rising = [_number(level) for level in up]
    if unet.middle > 0 and not down[-1]:
        falling[-1] = unet.middle
    used = [number for number in (*falling, *rising) if number]
    if not used or all(number == used[0] and isinstance(number, int) for number in used):
        return {"transformer_layers_per_block": used[0] if used else 1}
    filled = [a or b or 1 for a, b in zip(falling, reversed(rising), strict=True)]
    mirrored = all(
        not number or number == other
        for number, other in zip(rising, reversed(filled), strict=True)
    )
    if mirrored and all(isinstance(number, int) for number in filled):
        return {"transformer_layers_per_block": filled}
    return {
        "transformer_layers_per_block": filled,
        "reverse_transformer_layers_per_block": [number or 1 for number in rising],
    }


def _number(level: Level) -> int | Level:
    """One number where all blocks of a level agree; 0 for a level without attention."""
    if not level:
        return 0
    return level[0] if len(set(level)) == 1 else level


def _heads(unet: UNet) -> int | list[int]:
    """Attention heads, which the setting is about whatever its name says.

    Weights do not tell: SD1 and the x4 upscaler have 8 heads everywhere, the others heads of 64.
    """
    if unet.linear_projection and not unet.classes:
        return [dividing(width, width // 64) for width in unet.widths]
    found = [dividing(width, 8) for width in unet.widths]
    return 8 if set(found) == {8} else found


def dividing(width: int, most: int) -> int:
    """The largest number of heads up to `most` that `width` can be split into."""
    return next((n for n in range(min(most, width), 1, -1) if width % n == 0), 1)


def _labels(unet: UNet, whole: Whole) -> Settings:
    """What is added to the time embedding beside the time."""
    if unet.classes:
        return {"num_class_embeds": unet.classes}
    if not unet.labels:
        return {}
    width: Settings = {"projection_class_embeddings_input_dim": unet.labels}
    if unet.class_labels:
        return {"class_embed_type": "projection", **width}
    return {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": _place(unet.labels - whole.pooled if whole.pooled else 0),
        **width,
    }


def _place(numbers: int) -> int:
    """Width of each of the 6 (refiner: 5) numbers that follow the pooled text; usually 256."""
    if numbers in (6 * 256, 5 * 256):
        return 256
    return next((numbers // n for n in (6, 5) if numbers > 0 and numbers % n == 0), 256)


def _guidance(whole: Whole) -> Settings:
    """LCM feeds the guidance scale into the time embedding."""
    shape = whole.shapes.get("unet.time_embedding.cond_proj.weight", ())
    return {"time_cond_proj_dim": shape[1]} if len(shape) == 2 else {}


@dataclass(frozen=True, slots=True)
class Scale:
    """How a family brings latents to about unit variance."""

    family: str
    factor: float
    shift: float | None = None
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    variant: str = ""
    """the one variant this holds for; empty for all others"""


SCALES: tuple[Scale, ...] = (
    Scale(
        "sdxl",
        0.5,
        mean=(-1.6574, 1.886, -1.383, 2.5155),
        deviation=(8.4927, 5.9022, 6.5498, 5.2299),
        variant="playground-2.5",
    ),
    Scale("sd2", 0.08333, variant="upscaler-x4"),
    Scale("sd1", 0.18215),
    Scale("sd2", 0.18215),
    Scale("sdxl", 0.13025),
    Scale("sdxl-refiner", 0.13025),
    Scale("sd3", 1.5305, 0.0609),
    Scale("flux", 0.3611, 0.1159),
)
"""rows for one variant stand before those for all"""


def _scale(whole: Whole) -> Scale:
    """The row of the family; SD1's where only a VAE is there, whose shapes tell nothing."""
    for row in SCALES:
        if row.family == whole.family and row.variant in ("", whole.variant):
            return row
    return Scale("sd1", 0.18215)


def vae_settings(vae: VAE, whole: Whole) -> Settings:
    """`vae/config.json`."""
    levels, scale = len(vae.multipliers), _scale(whole)
    found: Settings = {
        "_class_name": "AutoencoderKL",
        "_diffusers_version": VERSION,
        "in_channels": 3,
        "out_channels": 3,
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "block_out_channels": [vae.width * multiplier for multiplier in vae.multipliers],
        "layers_per_block": vae.blocks,
        "act_fn": "silu",
        "latent_channels": vae.latent,
        "norm_num_groups": groups(vae.width),
        "sample_size": whole.sample_size * vae.factor,
        "scaling_factor": scale.factor,
        "force_upcast": True,
    }
    if scale.shift is not None:
        found["shift_factor"] = scale.shift
    if scale.mean:
        found |= {"latents_mean": list(scale.mean), "latents_std": list(scale.deviation)}
    if not vae.quant:
        found |= {"use_quant_conv": False, "use_post_quant_conv": False}
    return found


def text_settings(text: Text, part: str, whole: Whole) -> Settings:
    """`text_encoder/config.json` or `text_encoder_2/config.json`."""
    second = part == "text_encoder_2"
    # CLIP's own encoder has a faster GELU than OpenCLIP's, of which SD2 and SDXL's second are.
    act = "gelu" if second or whole.family == "sd2" else "quick_gelu"
    end = min(text.vocabulary, 49408) - 1
    return {
        "architectures": [text_class(part)],
        "model_type": "clip_text_model",
        "hidden_size": text.width,
        "intermediate_size": text.inner,
        "num_hidden_layers": text.layers,
        "num_attention_heads": dividing(text.width, text.width // 64),
        "hidden_act": act,
        "layer_norm_eps": 1e-05,
        "attention_dropout": 0.0,
        "initializer_factor": 1.0,
        "initializer_range": 0.02,
        "max_position_embeddings": text.positions,
        "vocab_size": text.vocabulary,
        "projection_dim": text.projection or (512 if whole.family == "sd2" else text.width),
        "bos_token_id": max(0, end - 1),
        "eos_token_id": end,
        "pad_token_id": 1,
    }


def text_class(part: str) -> str:
    """Class of transformers: pipelines ask only the second encoder for its projected output."""
    return "CLIPTextModelWithProjection" if part == "text_encoder_2" else "CLIPTextModel"
