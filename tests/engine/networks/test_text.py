"""The text encoders, in both spellings."""

from __future__ import annotations

import pytest
import torch

from sfumato.catalogue.trees.text import (
    CLIP_G,
    CLIP_H,
    CLIP_L,
    Text,
    clip_shapes,
    openclip_shapes,
)
from sfumato.engine.networks.build import build
from sfumato.engine.networks.clip import CLIPText
from sfumato.engine.networks.openclip import OpenCLIPText

SMALL = Text(128, 3, 256, 32, vocabulary=100)
PLAIN = Text(48, 2, 96, vocabulary=100)
IDS = torch.tensor([[98, 5, 6, 99, 99, 99, 99], [98, 7, 8, 9, 10, 99, 0]])


def both(sizes: Text) -> tuple[CLIPText | OpenCLIPText, ...]:
    torch.manual_seed(0)
    return CLIPText(sizes).eval(), OpenCLIPText(sizes).eval()


@pytest.mark.parametrize("sizes", [CLIP_L, CLIP_H, CLIP_G, SMALL, PLAIN], ids=str)
def test_a_text_encoder_has_the_keys_and_shapes_of_its_files(sizes: Text) -> None:
    for openclip, tree in ((False, clip_shapes), (True, openclip_shapes)):
        state = build(sizes, openclip=openclip).state_dict()
        assert {name: tuple(t.shape) for name, t in state.items()} == dict(tree(sizes))


@pytest.mark.parametrize("sizes", [SMALL, PLAIN], ids=["projected", "plain"])
@torch.inference_mode()
def test_there_is_a_state_before_the_first_layer_and_after_each(sizes: Text) -> None:
    for encoder in both(sizes):
        states = encoder.hidden(encoder.embed(IDS))
        assert len(states) == sizes.layers + 1
        assert {tuple(state.shape) for state in states} == {(2, 7, sizes.width)}
        pooled = encoder.pool(states[-1], IDS)
        assert pooled.shape == (2, sizes.projection or sizes.width)


@torch.inference_mode()
def test_a_token_knows_only_what_stands_before_it() -> None:
    other = IDS.clone()
    other[:, 4:] = 50
    for encoder in both(SMALL):
        here, there = (encoder.hidden(encoder.embed(ids))[-1] for ids in (IDS, other))
        assert torch.allclose(here[:, :4], there[:, :4], atol=1e-6)
        assert not torch.allclose(here[:, 4:], there[:, 4:], atol=1e-3)


@torch.inference_mode()
def test_pooling_takes_the_first_end_of_the_text_and_norms_it() -> None:
    for encoder in both(PLAIN):
        state = encoder.hidden(encoder.embed(IDS))[-1]
        expected = torch.stack([encoder.norm(state)[0, 3], encoder.norm(state)[1, 5]])
        assert torch.allclose(encoder.pool(state, IDS), expected, atol=1e-6)


def test_every_weight_but_the_scale_of_training_has_a_gradient() -> None:
    for encoder in both(SMALL):
        state = encoder.hidden(encoder.embed(IDS))[-1]
        encoder.pool(state, IDS).square().sum().backward()
        without = [name for name, weight in encoder.named_parameters() if weight.grad is None]
        assert without in ([], ["logit_scale"])
