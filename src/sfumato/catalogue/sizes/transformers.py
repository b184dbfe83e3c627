"""Sizes of transformers read off the shapes of their tensors: SD3, Flux, T5, CLIP vision."""

from __future__ import annotations

from sfumato.catalogue.sizes.hyperparameters import axis, count
from sfumato.catalogue.trees.dit import SD3, Flux
from sfumato.catalogue.trees.shapes import Shapes
from sfumato.catalogue.trees.text import T5
from sfumato.catalogue.trees.vision import Vision


def read_sd3(shapes: Shapes) -> SD3 | None:
    """Sizes of an SD3 transformer in the original spelling."""
    patches = shapes.get("x_embedder.proj.weight")
    depth = count(lambda i: f"joint_blocks.{i}.x_block.attn.qkv.weight" in shapes)
    if not depth or not axis(patches, 0, 4):
        return None
    scale = axis(shapes.get("joint_blocks.0.x_block.attn.ln_q.weight"), 0, 1)
    return SD3(
        depth,
        axis(shapes.get("pos_embed"), 1, 3),
        axis(patches, 0, 4),
        dual=count(lambda i: f"joint_blocks.{i}.x_block.attn2.qkv.weight" in shapes),
        normed=bool(scale),
        channels=axis(patches, 1, 4),
        patch=axis(patches, 2, 4),
        context=axis(shapes.get("context_embedder.weight"), 1, 2),
        pooled=axis(shapes.get("y_embedder.mlp.0.weight"), 1, 2),
        head=scale or 64,
    )


def read_sd3_diffusers(shapes: Shapes) -> SD3 | None:
    """Sizes of an SD3 transformer in the spelling of diffusers."""
    patches = shapes.get("pos_embed.proj.weight")
    depth = count(lambda i: f"transformer_blocks.{i}.attn.to_q.weight" in shapes)
    if not depth or not axis(patches, 0, 4):
        return None
    scale = axis(shapes.get("transformer_blocks.0.attn.norm_q.weight"), 0, 1)
    pooled = shapes.get("time_text_embed.text_embedder.linear_1.weight")
    return SD3(
        depth,
        axis(shapes.get("pos_embed.pos_embed"), 1, 3),
        axis(patches, 0, 4),
        dual=count(lambda i: f"transformer_blocks.{i}.attn2.to_q.weight" in shapes),
        normed=bool(scale),
        channels=axis(patches, 1, 4),
        patch=axis(patches, 2, 4),
        context=axis(shapes.get("context_embedder.weight"), 1, 2),
        pooled=axis(pooled, 1, 2),
        head=scale or 64,
    )


def read_flux(shapes: Shapes) -> Flux | None:
    """Sizes of a Flux transformer in the original spelling."""
    doubles = count(lambda i: f"double_blocks.{i}.img_attn.qkv.weight" in shapes)
    width = axis(shapes.get("img_in.weight"), 0, 2)
    if not doubles or not width:
        return None
    inner = axis(shapes.get("distilled_guidance_layer.in_proj.weight"), 0, 2)
    distilled = count(lambda i: f"distilled_guidance_layer.norms.{i}.scale" in shapes)
    scale = shapes.get("double_blocks.0.img_attn.norm.query_norm.scale")
    return Flux(
        axis(shapes.get("img_in.weight"), 1, 2),
        guidance="guidance_in.in_layer.weight" in shapes,
        doubles=doubles,
        singles=count(lambda i: f"single_blocks.{i}.linear1.weight" in shapes),
        width=width,
        outputs=axis(shapes.get("final_layer.linear.weight"), 0, 2),
        context=axis(shapes.get("txt_in.weight"), 1, 2),
        pooled=axis(shapes.get("vector_in.in_layer.weight"), 1, 2) or 768,
        head=axis(scale, 0, 1),
        distilled=distilled,
        distilled_width=inner or 5120,
    )


def read_flux_diffusers(shapes: Shapes) -> Flux | None:
    """Sizes of a Flux transformer in the spelling of diffusers."""
    doubles = count(lambda i: f"transformer_blocks.{i}.attn.to_q.weight" in shapes)
    width = axis(shapes.get("x_embedder.weight"), 0, 2)
    if not doubles or not width:
        return None
    pooled = shapes.get("time_text_embed.text_embedder.linear_1.weight")
    return Flux(
        axis(shapes.get("x_embedder.weight"), 1, 2),
        guidance="time_text_embed.guidance_embedder.linear_1.weight" in shapes,
        doubles=doubles,
        singles=count(lambda i: f"single_transformer_blocks.{i}.proj_mlp.weight" in shapes),
        width=width,
        outputs=axis(shapes.get("proj_out.weight"), 0, 2),
        context=axis(shapes.get("context_embedder.weight"), 1, 2),
        pooled=axis(pooled, 1, 2) or 768,
        head=axis(shapes.get("transformer_blocks.0.attn.norm_q.weight"), 0, 1),
    )


def read_t5(shapes: Shapes) -> T5 | None:
    """Sizes of a T5 1.1 encoder."""
    layers = count(lambda i: f"encoder.block.{i}.layer.0.SelfAttention.q.weight" in shapes)
    query = shapes.get("encoder.block.0.layer.0.SelfAttention.q.weight")
    inner = shapes.get("encoder.block.0.layer.1.DenseReluDense.wi_0.weight")
    tokens = shapes.get("shared.weight") or shapes.get("encoder.embed_tokens.weight")
    bias = shapes.get("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight")
    if not layers or not axis(query, 1, 2):
        return None
    return T5(
        axis(query, 1, 2),
        layers,
        axis(bias, 1, 2),
        axis(inner, 0, 2),
        axis(query, 0, 2),
        axis(tokens, 0, 2),
        axis(bias, 0, 2),
    )


def read_vision(shapes: Shapes) -> Vision | None:
    """Sizes of a CLIP vision tower in the spelling of transformers."""
    layer = "vision_model.encoder.layers.{}.mlp.fc1.weight"
    patches = shapes.get("vision_model.embeddings.patch_embedding.weight")
    if not axis(patches, 0, 4):
        return None
    return Vision(
        axis(patches, 0, 4),
        count(lambda i: layer.format(i) in shapes),
        axis(shapes.get(layer.format(0)), 0, 2),
        axis(shapes.get("visual_projection.weight"), 0, 2),
        axis(patches, 2, 4),
        axis(shapes.get("vision_model.embeddings.position_embedding.weight"), 0, 2),
    )


def read_visual(shapes: Shapes) -> Vision | None:
    """Sizes of a CLIP vision tower in the spelling of OpenCLIP."""
    layer = "visual.transformer.resblocks.{}.mlp.c_fc.weight"
    patches = shapes.get("visual.conv1.weight")
    if not axis(patches, 0, 4):
        return None
    return Vision(
        axis(patches, 0, 4),
        count(lambda i: layer.format(i) in shapes),
        axis(shapes.get(layer.format(0)), 0, 2),
        axis(shapes.get("visual.proj"), 1, 2),
        axis(patches, 2, 4),
        axis(shapes.get("visual.positional_embedding"), 0, 2),
    )
