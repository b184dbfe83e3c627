"""The sorts of files that are known by a few keys, and their false friends."""

from __future__ import annotations

from pathlib import Path

import pytest
from adapter_files import kohya, model

from sfumato.catalogue.adapters import recognise as recognise_adapter
from sfumato.catalogue.others import recognise
from sfumato.catalogue.signatures import SIGNATURES
from sfumato.catalogue.verdict import Verdict
from sfumato.containers.model_file import SAFETENSORS, TORCH_ZIP, ModelFile

Shapes = dict[str, tuple[int, ...]]

PATCH = "vision_model.embeddings.patch_embedding.weight"
SWIN = "layers.0.residual_group.blocks.0.norm1.weight"
CROSS = "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
CROSS_XL = "input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"
MOTION = "down_blocks.{}.motion_modules.0.temporal_transformer.norm.weight"
PE = "down_blocks.0.motion_modules.0.temporal_transformer.x.pos_encoder.pe"
HINT: Shapes = {
    "zero_convs.0.0.weight": (320, 320, 1, 1),
    "input_hint_block.0.weight": (16, 3, 3, 3),
}
IP: Shapes = {"ip_adapter.1.to_k_ip.weight": (320, 768), "image_proj.norm.weight": (768,)}
IP_XL: Shapes = {"ip_adapter.1.to_k_ip.weight": (640, 2048), "image_proj.norm.weight": (2048,)}
VQ: Shapes = {"encoder.down.0.block.0.norm1.weight": (128,), "quant_conv.weight": (4, 4, 1, 1)}
V1: Shapes = {MOTION.format(n): (size,) for n, size in enumerate((320, 640, 1280, 1280))}
RRDB: Shapes = {"conv_body.weight": (64, 64, 3, 3), "body.0.rdb1.conv1.weight": (32, 64, 3, 3)}

CASES: dict[str, tuple[Shapes, str, str, str]] = {
    "Control-LoRA XL": ({"lora_controlnet": (0,)}, "controlnet", "sdxl", "Control-LoRA"),
    "Control-LoRA 1": (
        {"lora_controlnet": (0,), "input_blocks.11.0.in_layers.0.weight": (1280,)},
        "controlnet",
        "sd1",
        "Control-LoRA",
    ),
    "LLLite": (
        {"lllite_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q.down.0.weight": (4, 640)},
        "controlnet",
        "sdxl",
        "LLLite",
    ),
    "ControlNet": (HINT | {CROSS: (320, 768)}, "controlnet", "sd1", "ControlNet"),
    "ControlNet 2": (HINT | {CROSS: (320, 1024)}, "controlnet", "sd2", "ControlNet"),
    "ControlNet with prefix": (
        {f"control_model.{k}": v for k, v in (HINT | {CROSS: (320, 768)}).items()},
        "controlnet",
        "sd1",
        "ControlNet",
    ),
    "ControlNet XL": (
        HINT
        | {
            "label_emb.0.0.bias": (1280,),
            "label_emb.0.0.weight": (1280, 2816),
            CROSS_XL: (640, 2048),
            "input_blocks.8.1.transformer_blocks.0.norm3.weight": (1280,),
            "input_blocks.8.1.transformer_blocks.9.norm3.weight": (1280,),
        },
        "controlnet",
        "sdxl",
        "SDXL ControlNet",
    ),
    "ControlNet XL small": (
        HINT | {"label_emb.0.0.bias": (1280,)},
        "controlnet",
        "sdxl",
        "small",
    ),
    "ControlNet difference": (
        HINT | {"difference": (0,), CROSS: (320, 768)},
        "controlnet",
        "sd1",
        "difference",
    ),
    "ControlNet diffusers": (
        {
            "controlnet_cond_embedding.conv_in.weight": (16, 3, 3, 3),
            "controlnet_down_blocks.0.weight": (320, 320, 1, 1),
            "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight": (320, 768),
        },
        "controlnet",
        "sd1",
        "ControlNet",
    ),
    "ControlNet union": (
        {"task_embedding": (6, 320), "control_add_embedding.linear_1.bias": (1280,)},
        "controlnet",
        "sdxl",
        "Union",
    ),
    "ControlNet Flux": (
        {"controlnet_blocks.0.weight": (3072, 3072), "controlnet_x_embedder.weight": (3072, 64)},
        "controlnet",
        "flux",
        "ControlNet",
    ),
    "ControlNet SD3": (
        {
            "controlnet_blocks.0.weight": (1536, 1536),
            "pos_embed_input.proj.weight": (1536, 16, 2, 2),
        },
        "controlnet",
        "sd3",
        "ControlNet",
    ),
    "SparseCtrl": (
        V1 | {"input_hint_block.0.weight": (16, 5, 3, 3)},
        "controlnet",
        "sd1",
        "SparseCtrl",
    ),
    "T2I": (
        {"conv_in.weight": (320, 192, 3, 3), "body.0.block1.weight": (320, 320, 3, 3)},
        "t2i-adapter",
        "sd1",
        "T2I-Adapter",
    ),
    "T2I XL": (
        {
            "adapter.conv_in.weight": (320, 768, 3, 3),
            "adapter.body.0.resnets.0.block1.weight": (320, 320, 3, 3),
        },
        "t2i-adapter",
        "sdxl",
        "T2I-Adapter",
    ),
    "T2I light": (
        {"body.0.in_conv.weight": (160, 192, 1, 1), "body.0.body.0.block1.weight": (1, 1, 1, 1)},
        "t2i-adapter",
        "sd1",
        "light",
    ),
    "T2I style": ({"style_embedding": (1, 8, 1024)}, "t2i-adapter", "sd1", "style"),
    "IP-Adapter": (
        IP | {"image_proj.proj.weight": (3072, 1024)},
        "ip-adapter",
        "sd1",
        "IP-Adapter",
    ),
    "IP-Adapter plus": (
        IP_XL | {"image_proj.latents": (1, 16, 1280)},
        "ip-adapter",
        "sdxl",
        "IP-Adapter plus",
    ),
    "IP-Adapter full-face": (
        IP | {"image_proj.proj.3.weight": (768,)},
        "ip-adapter",
        "sd1",
        "full-face",
    ),
    "IP-Adapter portrait": (
        IP | {"image_proj.proj.2.weight": (768, 4)},
        "ip-adapter",
        "sd1",
        "portrait",
    ),
    "FaceID": (
        IP | {"ip_adapter.0.to_q_lora.down.weight": (128, 320)},
        "ip-adapter",
        "sd1",
        "FaceID",
    ),
    "FaceID plus": (
        IP
        | {
            "ip_adapter.0.to_q_lora.down.weight": (128, 320),
            "image_proj.perceiver_resampler.proj_in.weight": (768, 1280),
        },
        "ip-adapter",
        "sd1",
        "FaceID plus",
    ),
    "InstantID": (
        IP_XL | {"image_proj.latents": (1, 16, 1280), "image_proj.proj_in.weight": (1280, 512)},
        "ip-adapter",
        "sdxl",
        "InstantID",
    ),
    "PuLID": ({"id_adapter.body.0.weight": (1, 1)}, "ip-adapter", "sdxl", "PuLID"),
    "PhotoMaker": (
        {"id_encoder.fuse_module.mlp1.fc1.weight": (1, 1)},
        "photomaker",
        "sdxl",
        "Photo",
    ),
    "CLIP-H vision": ({PATCH: (1280, 3, 14, 14)}, "clip-vision", "unknown", "CLIP-H"),
    "CLIP-bigG vision": ({PATCH: (1664, 3, 14, 14)}, "clip-vision", "unknown", "bigG"),
    "SigLIP": ({PATCH: (1152, 3, 14, 14)}, "clip-vision", "unknown", "SigLIP"),
    "CLIP-L vision, 336": (
        {
            PATCH: (1024, 3, 14, 14),
            "vision_model.embeddings.position_embedding.weight": (577, 1024),
        },
        "clip-vision",
        "unknown",
        "336",
    ),
    "OpenCLIP vision": (
        {
            "visual.conv1.weight": (1280, 3, 14, 14),
            "visual.transformer.resblocks.0.ln_1.weight": (1280,),
        },
        "clip-vision",
        "unknown",
        "CLIP-H",
    ),
    "T5-XXL": (
        {
            "encoder.block.0.layer.0.SelfAttention.k.weight": (4096, 4096),
            "encoder.block.0.layer.1.DenseReluDense.wi_1.weight": (10240, 4096),
        },
        "text-encoder",
        "sd3/flux",
        "XXL",
    ),
    "GLIGEN": (
        {
            "position_net.null_positive_feature": (768,),
            "input_blocks.1.1.transformer_blocks.0.fuser.linear.weight": (320, 768),
        },
        "gligen",
        "sd1",
        "GLIGEN",
    ),
    "AnimateDiff v1": (V1 | {PE: (1, 24, 320)}, "motion-module", "sd1", "v1"),
    "AnimateDiff v2": (
        V1 | {PE: (1, 32, 320), "mid_block.motion_modules.0.x": (1,)},
        "motion-module",
        "sd1",
        "v2",
    ),
    "AnimateDiff v3": (V1 | {PE: (1, 32, 320)}, "motion-module", "sd1", "v3"),
    "AnimateDiff of diffusers": (
        {
            "down_blocks.3.motion_modules.0.norm.weight": (1280,),
            "down_blocks.0.motion_modules.0.transformer_blocks.0.pos_embed.pe": (1, 32, 320),
        },
        "motion-module",
        "sd1",
        "AnimateDiff v3",
    ),
    "AnimateDiff XL of diffusers": (
        {
            "down_blocks.0.motion_modules.0.norm.weight": (320,),
            "down_blocks.0.motion_modules.0.transformer_blocks.0.pos_embed.pe": (1, 16, 320),
        },
        "motion-module",
        "sdxl",
        "AnimateDiff",
    ),
    "AnimateDiff XL": (
        {MOTION.format(0): (320,), PE: (1, 32, 320)},
        "motion-module",
        "sdxl",
        "AnimateDiff",
    ),
    "AnimateLCM": (V1, "motion-module", "sd1", "AnimateLCM"),
    "motion LoRA": (
        {f"{MOTION.format(0)}.processor.to_q_lora.down.weight": (4, 320)},
        "motion-lora",
        "sd1",
        "motion LoRA",
    ),
    "ESRGAN ×4": (
        {
            "model.0.weight": (64, 3, 3, 3),
            "model.1.sub.0.RDB1.conv1.0.weight": (32, 64, 3, 3),
            "model.10.weight": (3, 64, 3, 3),
        },
        "upscaler",
        "unknown",
        "ESRGAN upscaler ×4",
    ),
    "Real-ESRGAN ×2": (
        RRDB | {"conv_first.weight": (64, 12, 3, 3)},
        "upscaler",
        "unknown",
        "×2",
    ),
    "Real-ESRGAN anime": (
        {f"params_ema.{k}": v for k, v in RRDB.items()}
        | {
            "params_ema.conv_first.weight": (64, 3, 3, 3),
            "params_ema.body.5.rdb1.conv1.weight": (32, 64, 3, 3),
        },
        "upscaler",
        "unknown",
        "6 blocks) ×4",
    ),
    "SRVGG": (
        {"body.0.weight": (64, 3, 3, 3), "body.1.weight": (64,), "body.34.weight": (48, 64, 3, 3)},
        "upscaler",
        "unknown",
        "SRVGG, Real-ESRGAN general) ×4",
    ),
    "SwinIR": (
        {SWIN: (180,), "conv_first.weight": (180, 3, 3, 3), "upsample.2.weight": (256, 64, 3, 3)},
        "upscaler",
        "unknown",
        "SwinIR upscaler ×4",
    ),
    "Swin2SR": (
        {
            SWIN: (180,),
            "conv_first.weight": (180, 3, 3, 3),
            "patch_embed.proj.weight": (180, 180, 1, 1),
        },
        "upscaler",
        "unknown",
        "Swin2SR",
    ),
    "HAT": (
        {
            SWIN: (180,),
            "conv_first.weight": (180, 3, 3, 3),
            "relative_position_index_SA": (256, 256),
        },
        "upscaler",
        "unknown",
        "HAT",
    ),
    "DAT": (
        {"before_RG.1.weight": (180,), "layers.0.blocks.0.attn.attns.0.rpe_biases": (1, 2)},
        "upscaler",
        "unknown",
        "DAT",
    ),
    "SPAN": ({"block_1.c1_r.eval_conv.weight": (48, 48, 3, 3)}, "upscaler", "unknown", "SPAN"),
    "GFPGAN": (
        {"stylegan_decoder.style_mlp.1.weight": (512, 512), "toRGB.0.weight": (3, 256, 1, 1)},
        "face-restorer",
        "unknown",
        "GFPGAN",
    ),
    "CodeFormer": (
        {
            "position_emb": (256, 512),
            "quantize.embedding.weight": (1024, 256),
            "idx_pred_layer.1.weight": (1024, 512),
            "encoder.blocks.0.weight": (64, 3, 3, 3),
        },
        "face-restorer",
        "unknown",
        "CodeFormer",
    ),
    "RestoreFormer": (
        VQ | {"quantize.embedding.weight": (1024, 256)},
        "face-restorer",
        "unknown",
        "RestoreFormer",
    ),
    "VQ": (VQ | {"quantize.embedding.weight": (8192, 3)}, "vae", "unknown", "VQ"),
    "aesthetic predictor": (
        {"layers.0.weight": (1024, 768), "layers.0.bias": (1024,)},
        "aesthetic-predictor",
        "unknown",
        "LAION",
    ),
    "TAESD decoder": (
        {
            "1.weight": (64, 4, 3, 3),
            "3.conv.0.weight": (64, 64, 3, 3),
            "19.weight": (3, 64, 3, 3),
        },
        "vae",
        "sd1/sdxl",
        "TAESD decoder",
    ),
    "TAESD encoder, 16": (
        {
            "0.weight": (64, 3, 3, 3),
            "1.conv.0.weight": (64, 64, 3, 3),
            "14.weight": (16, 64, 3, 3),
        },
        "vae",
        "sd3/flux",
        "TAESD encoder",
    ),
    "Cascade C": ({"clip_txt_mapper.weight": (2048, 1280)}, "unet", "cascade", "stage C"),
    "Redux": ({"redux_down.weight": (4096, 12288)}, "style-model", "flux", "Redux"),
}
"""test name → keys and shapes, kind, family, part of the title"""


def said(shapes: Shapes) -> Verdict:
    verdict = recognise(model(shapes), {})
    assert verdict is not None
    return verdict


@pytest.mark.parametrize("case", CASES)
def test_every_sort_is_known_by_its_keys(case: str) -> None:
    shapes, kind, family, title = CASES[case]
    verdict = said(shapes)
    assert (verdict.kind, verdict.family) == (kind, family)
    assert title in verdict.title and verdict.evidence
    assert sum(part.tensors for part in verdict.parts) == len(shapes)


@pytest.mark.parametrize("case", CASES)
def test_no_sort_is_taken_for_a_lora_or_an_embedding(case: str) -> None:
    assert recognise_adapter(model(CASES[case][0]), {}, {}, "file") is None


def test_a_checkpoint_that_embeds_a_controlnet_stays_a_checkpoint() -> None:
    shapes = {f"control_model.{key}": shape for key, shape in HINT.items()}
    shapes |= {"model.diffusion_model.out.0.weight": (320,), "first_stage_model.x": (1,)}
    assert recognise(model(shapes), {}) is None


@pytest.mark.parametrize(
    "shapes",
    [
        {"conv_in.weight": (320, 4, 3, 3), "down_blocks.0.resnets.0.conv1.weight": (1, 1, 3, 3)},
        {"encoder.conv_in.weight": (128, 3, 3, 3), "decoder.conv_in.weight": (512, 4, 3, 3)},
        {"input_blocks.0.0.weight": (320, 4, 3, 3)},
        {"text_model.embeddings.token_embedding.weight": (49408, 768)},
        {"something.else": (3,)},
    ],
)
def test_what_belongs_to_a_checkpoint_is_left_alone(shapes: Shapes) -> None:
    assert recognise(model(shapes), {}) is None


def test_a_lora_is_none_of_these() -> None:
    assert recognise(kohya("sd1"), {}) is None


def test_an_empty_file_is_said_to_be_empty(tmp_path: Path) -> None:
    pickled = recognise(ModelFile(tmp_path / "a.pt", TORCH_ZIP, {}, 1), {})
    plain = recognise(ModelFile(tmp_path / "a.safetensors", SAFETENSORS, {}, 1), {})
    assert pickled is not None and pickled.title == "no tensors: an empty dictionary"
    assert plain is not None and (plain.kind, plain.confidence) == ("unknown", "none")


def test_the_table_names_every_sort_by_kind_and_title_and_asks_for_something() -> None:
    for signature in SIGNATURES:
        assert signature.kind and signature.title and (signature.all_of or signature.any_of)


def test_real_small_decoders_are_named(real: Path) -> None:
    torch = pytest.importorskip("torch")
    for name, kind, family in (
        ("taef2_decoder.pth", "vae", "flux2"),
        ("vae-approx.pt", "vae", "sd1/sdxl"),
    ):
        state = torch.load(real / name, map_location="cpu", weights_only=True)
        verdict = said({key: tuple(value.shape) for key, value in state.items()})
        assert (verdict.kind, verdict.family) == (kind, family)
