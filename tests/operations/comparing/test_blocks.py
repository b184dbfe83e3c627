"""Blocks are named as people name them, and stand in the order of the network."""

from __future__ import annotations

import pytest

from sfumato.catalogue.trees.unet import SD1, unet_shapes
from sfumato.operations.comparing.blocks import block, ordered


@pytest.mark.parametrize(
    ("network", "name", "expected"),
    [
        ("unet", "input_blocks.4.1.proj_in.weight", "input_blocks.4"),
        ("unet", "middle_block.1.norm.weight", "middle_block"),
        ("unet", "out.2.bias", "out"),
        ("vae", "encoder.down.0.block.1.conv1.weight", "encoder.down.0"),
        ("vae", "decoder.mid.attn_1.q.weight", "decoder.mid"),
        ("vae", "quant_conv.weight", "quant_conv"),
        ("text", "text_model.encoder.layers.11.mlp.fc1.weight", "layers.11"),
        ("text", "text_model.embeddings.token_embedding.weight", "embeddings"),
        ("flux", "double_blocks.7.img_attn.qkv.weight", "double_blocks.7"),
        ("", "emb_params", "emb_params"),
    ],
)
def test_a_tensor_belongs_to_its_block(network: str, name: str, expected: str) -> None:
    assert block(name, network) == expected


def test_blocks_of_a_unet_stand_in_the_order_of_the_numbers_that_pass() -> None:
    names = ordered({block(name, "unet") for name in sorted(unet_shapes(SD1))}, "unet")
    inner = [f"input_blocks.{i}" for i in range(12)]
    outer = [f"output_blocks.{i}" for i in range(12)]
    assert names == ["time_embed", *inner, "middle_block", *outer, "out"]


def test_blocks_of_a_network_without_an_order_stand_by_their_numbers() -> None:
    given = ["double_blocks.10", "double_blocks.9", "single_blocks.0", "double_blocks.0"]
    found = ordered(given)
    assert found == ["double_blocks.0", "double_blocks.9", "double_blocks.10", "single_blocks.0"]
