"""Sizes are read off shapes: what was built from sizes gives the same sizes back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_unets import WIDTHS, small_unets
from unread import UNET, unread

from sfumato.catalogue.component import Layout, Sizes, numbers
from sfumato.catalogue.identify import identify
from sfumato.catalogue.layouts import LAYOUTS, unet_diffusers_shapes, vae_diffusers_shapes
from sfumato.catalogue.sizes.hyperparameters import (
    read_clip,
    read_openclip,
    read_unet,
    read_unet_diffusers,
    read_vae,
    read_vae_diffusers,
)
from sfumato.catalogue.trees.dit import SD3_MEDIUM, SD35_LARGE, SD35_MEDIUM, Flux
from sfumato.catalogue.trees.text import Text, clip_shapes, openclip_shapes
from sfumato.catalogue.trees.tiny_vae import TinyVAE
from sfumato.catalogue.trees.unet import UNet, sizes, unet_shapes
from sfumato.catalogue.trees.vae import VAE, vae_shapes


@given(small_unets())
@settings(max_examples=60, deadline=None)
def test_a_unet_built_from_sizes_gives_them_back_in_both_spellings(unet: UNet) -> None:
    assert read_unet(unet_shapes(unet)) == unet
    # diffusers has one kind of block per level: attention in all of them or in none
    if all(len({bool(d) for d in unet.rises[i : i + unet.blocks + 1]}) == 1
           for i in range(0, len(unet.rises), unet.blocks + 1)):  # fmt: skip
        assert read_unet_diffusers(unet_diffusers_shapes(unet)) == unet


@given(small_unets())
@settings(max_examples=25, deadline=None)
def test_identifying_a_unet_of_custom_size_gives_the_sizes_it_was_built_from(unet: UNet) -> None:
    verdict = identify(unread(unet_shapes(unet), UNET))
    assert dict(verdict.hyperparameters) == numbers(unet)
    assert verdict.parts[0].custom and verdict.parts[0].complete
    assert verdict.kind == "unet" and not verdict.left_over


@given(
    st.builds(
        VAE,
        WIDTHS,
        st.lists(st.integers(1, 3), min_size=1, max_size=4).map(lambda m: (1, *m)),
        st.integers(1, 2),
        st.sampled_from((4, 8, 16)),
        st.booleans(),
    )
)
@settings(max_examples=30, deadline=None)
def test_a_vae_built_from_sizes_gives_them_back_in_both_spellings(vae: VAE) -> None:
    assert read_vae(vae_shapes(vae)) == vae
    assert read_vae_diffusers(vae_diffusers_shapes(vae)) == vae


@pytest.mark.parametrize("half", ["encoder", "decoder"])
def test_half_a_vae_gives_the_sizes_of_the_whole(half: str) -> None:
    vae = replace(VAE(32, (1, 2, 2)), **{half: False})
    assert read_vae(vae_shapes(vae)) == vae
    assert read_vae_diffusers(vae_diffusers_shapes(vae)) == vae


@given(
    st.builds(
        Text, WIDTHS, st.integers(1, 3), WIDTHS, st.sampled_from((0, 16)), st.just(99), st.just(77)
    )
)
@settings(max_examples=20, deadline=None)
def test_a_text_encoder_built_from_sizes_gives_them_back_in_both_spellings(text: Text) -> None:
    assert read_clip(clip_shapes(text)) == text
    assert read_openclip(openclip_shapes(text)) == text


def has_no_such_file(layout: str, known: Sizes) -> bool:
    """Chroma has other names in diffusers; bare CLIP has no projection; halves are halves."""
    if isinstance(known, Flux):
        return layout == "flux-diffusers" and known.distilled > 0
    if isinstance(known, Text):
        return layout == "clip-bare" and known.projection > 0
    return layout == "taesd-half" and isinstance(known, TinyVAE) and known.encoder is known.decoder


PUBLISHED = [
    (layout, component.sizes)
    for layout in LAYOUTS
    for component in layout.published
    if not has_no_such_file(layout.name, component.sizes)
]


@pytest.mark.parametrize(
    ("layout", "known"), PUBLISHED, ids=lambda value: getattr(value, "name", "")
)
def test_every_published_network_gives_its_own_sizes_in_every_layout(
    layout: Layout[Sizes], known: Sizes
) -> None:
    match = layout.measure(layout.build(known))
    assert match is not None and match.sizes == known and not match.faults


def test_shapes_of_the_wrong_rank_are_not_sizes() -> None:
    tree = dict(unet_shapes(sizes((32,), (1,), 1, 24)))
    assert read_unet({**tree, "input_blocks.0.0.weight": (32, 4)}) is None
    assert read_unet({}) is None
    assert read_vae({"encoder.conv_in.weight": (1,)}) is None


def test_sizes_that_would_make_a_huge_tree_are_not_believed() -> None:
    levels = {f"down_blocks.{i}.resnets.0.conv1.weight": (8, 8, 3, 3) for i in range(3000)}
    blocks = {f"down_blocks.0.resnets.{i}.conv1.weight": (8, 8, 3, 3) for i in range(3000)}
    hostile = {**levels, **blocks, "time_embedding.linear_1.weight": (8, 8)}
    assert read_unet_diffusers(hostile) is None
    assert identify(unread(hostile)).kind == "unknown"


def test_the_three_sd3_transformers_differ_in_what_is_read() -> None:
    assert len({numbers(s)["width"] for s in (SD3_MEDIUM, SD35_LARGE)}) == 2
    assert numbers(SD35_MEDIUM)["dual"] == 13
