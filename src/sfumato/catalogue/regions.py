"""The prefixes under which the parts of a model stand in its file."""

from __future__ import annotations

from dataclasses import dataclass

PREFIXES: tuple[str, ...] = (
    "",
    "model.diffusion_model.",
    "first_stage_model.",
    "cond_stage_model.transformer.",
    "cond_stage_model.model.",
    "conditioner.embedders.0.transformer.",
    "conditioner.embedders.0.model.",
    "conditioner.embedders.1.model.",
    "text_encoders.clip_l.transformer.",
    "text_encoders.clip_g.transformer.",
    "text_encoders.t5xxl.transformer.",
    "unet.",
    "transformer.",
    "vae.",
    "text_encoder.",
    "text_encoder_2.",
    "text_encoder_3.",
    "image_encoder.",
    "control_model.",
    "controlnet.",
    "embedder.model.",
    "diffusion_model.",
    "model.model.",
    "model.",
    "net.",
    "module.",
    "taesd.",
    "taesd_encoder.",
    "taesd_decoder.",
    "model_ema.diffusion_model.",
)
"""where networks are looked for first; any other prefix is found by searching for their keys"""


@dataclass(frozen=True, slots=True)
class Region:
    """What stands under a prefix whoever wrote it, beside the networks known by their shapes."""

    prefix: str
    role: str
    title: str
    expected: int = 0
    """tensors of a complete one, where that is known"""


REGIONS: tuple[Region, ...] = (
    Region("model_ema.", "ema", "averaged (EMA) weights"),
    Region("optimizer_states.", "optimizer", "optimizer state"),
    Region("optimizer.", "optimizer", "optimizer state"),
    Region("optimizer_state_dict.", "optimizer", "optimizer state"),
    Region("callbacks.", "training", "training callbacks"),
    Region("loops.", "training", "training loops"),
    Region("lr_schedulers.", "training", "learning rate schedulers"),
    Region("native_amp_scaling_state.", "training", "loss scaling"),
    Region("hyper_parameters.", "training", "training settings"),
    Region("loss.", "loss", "training losses and discriminator"),
    Region("first_stage_model.loss.", "loss", "training losses and discriminator"),
    Region("depth_model.", "depth", "MiDaS depth estimator", 368),
    Region("embedder.", "vision", "picture encoder"),
    Region("noise_augmentor.", "vision", "noise augmentor of the picture embedding"),
    Region("cc_projection.", "conditioner", "camera projection"),
    Region("conditioner.", "conditioner", "conditioner"),
    Region("cond_stage_model.roberta.", "text_encoder", "XLM-R text encoder"),
    Region("cond_stage_model.transformation", "text_encoder", "XLM-R projection"),
    Region("cond_stage_model.pre_LN.", "text_encoder", "XLM-R projection"),
    Region("safety_checker.", "safety", "safety checker"),
    Region("embedding_manager.", "unknown", "leftovers of textual inversion"),
)

LOOSE: tuple[tuple[str, Region, str], ...] = (
    (
        "input_blocks.1.0.time_stack.in_layers.2.weight",
        Region("", "unet", "Stable Video Diffusion UNet"),
        "svd",
    ),
    (
        "decoder.mid.block_1.mix_factor",
        Region("", "vae", "Stable Video Diffusion VAE"),
        "svd",
    ),
    (
        "double_stream_modulation_img.lin.weight",
        Region("", "dit", "Flux 2 transformer"),
        "flux2",
    ),
)
"""networks that are recognised by one key and not compared key by key: key, region, family"""

BUFFERS: frozenset[str] = frozenset({
    "betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod", "log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod", "posterior_variance", "posterior_log_variance_clipped",
    "posterior_mean_coef1", "posterior_mean_coef2", "logvar", "scale_factor", "lvlb_weights",
})  # fmt: skip
"""the noise schedule's tables, all of which can be computed (ldm/models/diffusion/ddpm.py)"""

MARKERS: frozenset[str] = frozenset({
    "v_pred", "ztsnr", "edm_mean", "edm_std", "edm_vpred.sigma_max", "edm_vpred.sigma_min",
    "denoiser.sigmas", "scaled_fp8", "difference", "lora_controlnet",
})  # fmt: skip
"""tensors that say something by being there"""

SCALES: tuple[str, ...] = (
    ".scale_weight", ".scale_input", ".comfy_quant", ".weight_scale", ".input_scale", ".scaled_fp8",
)  # fmt: skip
"""endings of the numbers that belong to a quantised weight"""

TEXT_ROLES: tuple[tuple[str, str], ...] = (
    ("text_encoder.", "text_encoder"),
    ("text_encoder_2.", "text_encoder_2"),
    ("text_encoder_3.", "text_encoder_3"),
    ("conditioner.embedders.1.model.", "text_encoder_2"),
    ("text_encoders.clip_l.transformer.", "text_encoder"),
    ("text_encoders.clip_g.transformer.", "text_encoder_2"),
    ("text_encoders.t5xxl.transformer.", "text_encoder_3"),
)
"""prefixes that say themselves which text encoder stands under them"""
