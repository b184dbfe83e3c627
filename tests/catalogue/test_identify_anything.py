"""Identification never fails, whatever names and shapes a file has."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st
from unread import CLIP, OPENCLIP, UNET, unread

from sfumato.catalogue.identify import identify
from sfumato.catalogue.layouts import unet_diffusers_shapes, vae_diffusers_shapes
from sfumato.catalogue.spelling.translation import to_diffusers, to_ldm
from sfumato.catalogue.trees.control import Adapter, ControlNet, adapter_shapes, control_shapes
from sfumato.catalogue.trees.dit import SD3, Flux, flux_shapes, sd3_shapes
from sfumato.catalogue.trees.text import T5, Text, clip_shapes, openclip_shapes, t5_shapes
from sfumato.catalogue.trees.tiny_vae import TinyVAE, tiny_half_shapes, tiny_shapes
from sfumato.catalogue.trees.unet import sizes, unet_shapes
from sfumato.catalogue.trees.vae import VAE, vae_shapes
from sfumato.catalogue.trees.vision import Vision, vision_shapes, visual_shapes
from sfumato.errors import Refused

Shapes = dict[str, tuple[int, ...]]

UNET_SIZES = sizes((16, 32), (1, 0), 1, 24)
TEXT = Text(16, 2, 32, 8, vocabulary=20)
NETWORKS = [
    (UNET, unet_shapes(UNET_SIZES)),
    ("unet.", unet_diffusers_shapes(UNET_SIZES)),
    ("first_stage_model.", vae_shapes(VAE(16, (1, 2), 1))),
    ("", vae_diffusers_shapes(VAE(16, (1, 2), 1))),
    ("", tiny_shapes(TinyVAE(width=8))),
    ("", tiny_half_shapes(TinyVAE(width=8, encoder=False))),
    (CLIP, clip_shapes(TEXT)),
    (OPENCLIP, openclip_shapes(TEXT)),
    ("text_encoder_3.", t5_shapes(T5(16, 2, 2, 32, 16, 20))),
    ("text_encoder_3.", clip_shapes(TEXT)),
    ("", sd3_shapes(SD3(2, 16, 64))),
    ("", flux_shapes(Flux(width=32, doubles=2, singles=2, head=8))),
    ("control_model.", control_shapes(ControlNet(UNET_SIZES))),
    ("", adapter_shapes(Adapter(64, (8, 16)))),
    ("", vision_shapes(Vision(16, 2, 32, 8))),
    ("embedder.model.", visual_shapes(Vision(16, 2, 32, 8))),
]

ODD_SHAPES = st.lists(st.sampled_from((0, 1, 2, 3, 7, 16, 1 << 62)), max_size=6).map(tuple)
ODD_NAMES = st.sampled_from(("", ".", "model_ema.", "model_ema.x", "a" * 99, "\x1b[31m", "..", "0"))


@st.composite
def wrecks(draw: st.DrawFn) -> Shapes:
    """One to three networks of which some tensors were lost, bent or renamed."""
    chosen = draw(st.lists(st.sampled_from(NETWORKS), min_size=1, max_size=3))
    shapes: Shapes = {prefix + n: s for prefix, tree in chosen for n, s in tree.items()}
    names = draw(st.lists(st.sampled_from(list(shapes)), max_size=12))
    for name in names:
        match draw(st.integers(0, 2)):
            case 0:
                shapes.pop(name, None)
            case 1:
                shapes[name] = draw(ODD_SHAPES)
            case _:
                shapes[draw(ODD_NAMES) + name] = draw(ODD_SHAPES)
    return shapes


@given(wrecks())
@settings(max_examples=150, deadline=None)
def test_a_wrecked_model_is_still_described_and_every_tensor_is_in_one_part(shapes: Shapes) -> None:
    verdict = identify(unread(shapes))
    held = Counter(name for part in verdict.parts for name in part.names)
    assert held == Counter(dict.fromkeys(shapes, 1))
    assert set(verdict.left_over) <= shapes.keys()


@given(wrecks())
@settings(max_examples=60, deadline=None)
def test_a_wrecked_model_is_translated_as_far_as_it_goes(shapes: Shapes) -> None:
    for translation in (to_diffusers(shapes), to_ldm(shapes)):
        moved = {source for move in translation.moves for source in move.sources}
        assert moved <= shapes.keys()
        assert moved | translation.dropped.keys() == shapes.keys()
        with suppress(Refused):  # a packed tensor that has no three parts
            translation.apply(unread(shapes))
