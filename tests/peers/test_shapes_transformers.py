"""Our trees are the networks of transformers: built without memory, key by key."""

from __future__ import annotations

import pytest
import torch
import transformers

from sfumato.catalogue.trees.shapes import Shapes
from sfumato.catalogue.trees.text import (
    CLIP_G,
    CLIP_H,
    CLIP_L,
    T5_XXL,
    Text,
    clip_shapes,
    t5_shapes,
)
from sfumato.catalogue.trees.vision import VISION_G, VISION_H, VISION_L, Vision, vision_shapes

POSITIONS = ("position_ids", "encoder.embed_tokens.weight")
"""stored by some versions and not by others; neither is part of a tree"""


def weightless(
    model: str, config: transformers.PretrainedConfig, head: str
) -> dict[str, tuple[int, ...]]:
    """Keys and shapes as files have them: new versions leave `head` out of their modules' names."""
    with torch.device("meta"):
        state = getattr(transformers, model)(config).state_dict()
    found = {n: tuple(t.shape) for n, t in state.items() if not n.endswith(POSITIONS)}
    if head and not any(name.startswith(head) for name in found):
        found = {
            name if "_projection" in name else head + name: shape for name, shape in found.items()
        }
    return found


@pytest.mark.parametrize("text", [CLIP_L, CLIP_H, CLIP_G], ids=["L", "H", "bigG"])
def test_a_text_encoder_has_the_keys_and_shapes_of_transformers(text: Text) -> None:
    config = transformers.CLIPTextConfig(
        hidden_size=text.width,
        intermediate_size=text.inner,
        num_hidden_layers=text.layers,
        num_attention_heads=text.width // 64,
        projection_dim=text.projection or text.width,
    )
    model = "CLIPTextModelWithProjection" if text.projection else "CLIPTextModel"
    assert clip_shapes(text) == weightless(model, config, "text_model.")


@pytest.mark.parametrize(
    ("vision", "heads"), [(VISION_L, 16), (VISION_H, 16), (VISION_G, 16)], ids=["L", "H", "bigG"]
)
def test_a_vision_tower_has_the_keys_and_shapes_of_transformers(vision: Vision, heads: int) -> None:
    config = transformers.CLIPVisionConfig(
        hidden_size=vision.width,
        intermediate_size=vision.inner,
        num_hidden_layers=vision.layers,
        num_attention_heads=heads,
        projection_dim=vision.projection,
        patch_size=vision.patch,
        image_size=224,
    )
    theirs = weightless("CLIPVisionModelWithProjection", config, "vision_model.")
    assert vision_shapes(vision) == theirs


def test_t5_has_the_keys_and_shapes_of_transformers() -> None:
    config = transformers.T5Config(
        d_model=4096,
        d_ff=10240,
        d_kv=64,
        num_heads=64,
        num_layers=24,
        vocab_size=32128,
        feed_forward_proj="gated-gelu",
    )
    theirs: Shapes = weightless("T5EncoderModel", config, "")
    assert t5_shapes(T5_XXL) == theirs
