"""The signatures of files that steer a checkpoint (ControlNets, IP-Adapters …)."""

from __future__ import annotations

from sfumato.catalogue.signatures.signature import Signature, Size

_CROSS = Size(
    (
        "label_emb.0.0.weight",
        "input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight",
        "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight",
        "add_embedding.linear_1.weight",
        "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight",
        "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight",
    ),
    1,
    {768: "sd1", 1024: "sd2", 2048: "sdxl", 2816: "sdxl"},
)
"""the width of the cross-attention, or of the vector beside the time embedding"""

_IP = Size(("*to_k_ip.weight",), 1)
"""the width of the text encoding, which the picture's tokens share"""
_LDM_PREFIXES = ("", "control_model.", "module.control_model.")

_IMAGE = "image_proj.*"

CONTROL_LORAS = (
    Signature(
        "controlnet", "Control-LoRA", ("lora_controlnet", "input_blocks.11.0.in_layers.0.weight"),
        family="sd1", variant="control-lora",
    ),
    Signature(
        "controlnet", "Control-LoRA", ("lora_controlnet",), family="sdxl", variant="control-lora"
    ),
    Signature(
        "controlnet", "ControlNet-LLLite", ("lllite_unet_input_blocks_1_1_*",), family="sd1",
        variant="lllite",
    ),
    Signature("controlnet", "ControlNet-LLLite", ("lllite_*",), family="sdxl", variant="lllite"),
)  # fmt: skip

IMAGE_PROMPTS = (
    Signature("photomaker", "PhotoMaker", ("id_encoder.*",), family="sdxl"),
    Signature(
        "ip-adapter", "PuLID", any_of=("pulid_ca.*", "pulid_encoder.*"), family="flux",
        variant="pulid",
    ),
    Signature(
        "ip-adapter", "PuLID", any_of=("id_adapter.*", "id_adapter_attn_layers.*"), family="sdxl",
        variant="pulid",
    ),
    Signature(
        "ip-adapter", "InstantID IP-Adapter", ("image_proj.latents", "*to_k_ip.weight"),
        family="sdxl", tells=_IP, variant="instantid",
        wants=(("image_proj.proj_in.weight", 1, 512),),
    ),
    Signature(
        "ip-adapter", "IP-Adapter FaceID plus",
        (_IMAGE, "*to_q_lora.down.weight", "*perceiver_resampler.proj_in.weight"),
        tells=_IP, variant="faceid-plus",
    ),
    Signature(
        "ip-adapter", "IP-Adapter FaceID", (_IMAGE, "*to_q_lora.down.weight"), tells=_IP,
        variant="faceid",
    ),
    Signature(
        "ip-adapter", "IP-Adapter FaceID plus",
        (_IMAGE, "*perceiver_resampler.proj_in.weight", "*to_k_ip.weight"),
        tells=_IP, variant="faceid-plus",
    ),
    Signature(
        "ip-adapter", "IP-Adapter plus", ("image_proj.latents", "*to_k_ip.weight"),
        tells=_IP, variant="plus",
    ),
    Signature(
        "ip-adapter", "IP-Adapter full-face", ("image_proj.proj.3.weight", "*to_k_ip.weight"),
        tells=_IP, variant="full-face",
    ),
    Signature(
        "ip-adapter", "IP-Adapter portrait", ("image_proj.proj.2.weight", "*to_k_ip.weight"),
        tells=_IP, variant="portrait",
    ),
    Signature("ip-adapter", "IP-Adapter", (_IMAGE, "*to_k_ip.weight"), tells=_IP),
    Signature(
        "ip-adapter", "IP-Adapter", ("ip_adapter_proj_model.*",), ("double_blocks.*",),
        family="flux",
    ),
)  # fmt: skip

_DEPTH = Size(
    (
        "*down_blocks.3.motion_modules.0.temporal_transformer.norm.weight",
        "*down_blocks.3.motion_modules.0.norm.weight",
    ),
    0,
    {1280: "sd1"},
)
"""SD1's UNet has four levels, SDXL's three"""

_PE = "*pos_encoder.pe"
_PE_DIFFUSERS = "*pos_embed.pe"
"""diffusers' MotionAdapter; HelloMeme's motion modules are files of the same class"""
_MOTION = "*motion_modules.*"

MOTION = (
    Signature(
        "controlnet", "SparseCtrl", ("*down_blocks.0.motion_modules.0.*",),
        ("*input_hint_block.0.weight", "*controlnet_cond_embedding.*"), family="sd1",
        variant="sparsectrl",
    ),
    Signature(
        "motion-lora", "AnimateDiff motion LoRA", (_MOTION, "*lora*"), family="sd1"
    ),
    Signature(
        "motion-module", "Hotshot-XL motion module", (_MOTION, "*pos_encoder.positional_encoding"),
        family="sdxl", variant="hotshot",
    ),
    Signature(
        "motion-module", "PIA motion module", (_MOTION, "*conv_in.weight", "*conv_in.bias"),
        none_of=("*resnets.0.conv1.weight",), family="sd1", variant="pia",
    ),
    Signature(
        "motion-module", "AnimateLCM motion module", (_MOTION,),
        none_of=("*pos_encoder*", "*pos_embed*"),
        family="sdxl", tells=_DEPTH, variant="animatelcm",
    ),
    Signature(
        "motion-module", "AnimateDiff v2 motion module", (_MOTION, "*mid_block.*"),
        family="sdxl", tells=_DEPTH, variant="v2",
    ),
    *(
        Signature(
            "motion-module", f"AnimateDiff {version} motion module", (_MOTION,),
            wants=((table, 1, frames),), family="sdxl", tells=_DEPTH, variant=version,
        )
        for version, frames in (("v3", 32), ("v1", 24))
        for table in (_PE, _PE_DIFFUSERS)
    ),
    Signature(
        "motion-module", "AnimateDiff motion module", (_MOTION,), family="sdxl", tells=_DEPTH
    ),
)  # fmt: skip

_LDM = ("zero_convs.0.0.weight", "input_hint_block.0.weight")
_XL = "label_emb.0.0.bias"

CONTROL_NETS = (
    Signature(
        "controlnet", "ControlNet Union", (),
        ("task_embedding", "control_add_embedding.linear_1.bias"), tells=_CROSS, family="sdxl",
        variant="union",
    ),
    Signature(
        "controlnet", "ControlNet (difference, to be added to its base UNet)",
        ("difference", *_LDM), tells=_CROSS, prefixes=_LDM_PREFIXES, variant="difference",
    ),
    Signature(
        "controlnet", "ControlNet, small", (*_LDM, _XL),
        none_of=("input_blocks.8.1.transformer_blocks.0.norm3.weight", "first_stage_model.*"),
        family="sdxl", variant="small", prefixes=_LDM_PREFIXES,
    ),
    Signature(
        "controlnet", "ControlNet, mid",
        (*_LDM, _XL, "input_blocks.8.1.transformer_blocks.0.norm3.weight"),
        none_of=("input_blocks.8.1.transformer_blocks.9.norm3.weight",),
        family="sdxl", variant="mid", prefixes=_LDM_PREFIXES,
    ),
    Signature("controlnet", "ControlNet", _LDM, tells=_CROSS, prefixes=_LDM_PREFIXES),
    Signature(
        "controlnet", "ControlNet",
        ("controlnet_cond_embedding.conv_in.weight", "controlnet_down_blocks.*"),
        tells=_CROSS, prefixes=("", "controlnet."),
    ),
    Signature(
        "controlnet", "MistoLine ControlNet", ("controlnet_blocks.0.linear.weight",),
        family="flux", variant="mistoline",
    ),
    Signature(
        "controlnet", "Qwen-Image ControlNet",
        ("controlnet_blocks.0.weight", "transformer_blocks.0.img_mlp*"), family="qwen-image",
    ),
    Signature(
        "controlnet", "ControlNet", ("controlnet_blocks.0.weight",),
        ("controlnet_x_embedder.weight", "double_blocks.0.img_attn*",
         "single_transformer_blocks.*"),
        family="flux",
    ),
    Signature(
        "controlnet", "ControlNet", ("controlnet_blocks.0.weight",),
        ("pos_embed_input.proj.weight", "*attn.add_k_proj*", "joint_blocks.*", "*adaLN*"),
        family="sd3",
    ),
    Signature(
        "controlnet", "HunyuanDiT ControlNet", ("after_proj_list.18.bias",), family="hunyuan"
    ),
)  # fmt: skip

_UNSHUFFLED = Size(("conv_in.weight",), 1, {64: "sd1", 192: "sd1", 256: "sdxl", 768: "sdxl"})

ADAPTERS = (
    Signature(
        "t2i-adapter", "T2I-Adapter", ("conv_in.weight", "body.0.block1.weight"),
        tells=_UNSHUFFLED, prefixes=("", "adapter."),
    ),
    Signature(
        "t2i-adapter", "T2I-Adapter", ("conv_in.weight", "body.0.resnets.0.block1.weight"),
        tells=_UNSHUFFLED, prefixes=("adapter.", ""),
    ),
    Signature(
        "t2i-adapter", "T2I-Adapter, light", ("body.0.in_conv.weight",), family="sd1",
        variant="light", prefixes=("", "adapter."),
    ),
    Signature(
        "t2i-adapter", "T2I style adapter", ("style_embedding",), family="sd1", variant="style",
        prefixes=("", "adapter."),
    ),
    Signature(
        "gligen", "GLIGEN", ("position_net.null_positive_feature",), family="sd1",
        any_of=("position_net.linears.4.weight", "*.fuser.*"),
        tells=Size(("*.fuser.linear.weight",), 1), prefixes=("", "model.diffusion_model."),
    ),
    Signature("style-model", "Redux style model", ("redux_down.weight",), family="flux"),
)  # fmt: skip

CONTROL: tuple[Signature, ...] = (
    *CONTROL_LORAS,
    *IMAGE_PROMPTS,
    *MOTION,
    *CONTROL_NETS,
    *ADAPTERS,
)
"""in the order in which they are asked: those with LoRA tensors inside come first"""
