"""UNets of every form and of no published size."""

from __future__ import annotations

from hypothesis import strategies as st

from sfumato.catalogue.trees.unet import NO_ATTENTION, NO_MIDDLE, UNet, sizes

WIDTHS = st.sampled_from((16, 32, 48))


@st.composite
def small_unets(draw: st.DrawFn) -> UNet:
    """UNets of any form; a width differs from the text's, so that self-attention is plain."""
    widths = tuple(draw(st.lists(WIDTHS, min_size=1, max_size=3)))
    blocks = draw(st.integers(1, 2))
    depth = st.integers(0, 2)
    depths = draw(st.lists(depth, min_size=len(widths), max_size=len(widths)))
    rises = tuple(tuple(draw(depth) for _ in range(blocks + 1)) for _ in widths)
    middle = draw(st.sampled_from((NO_MIDDLE, NO_ATTENTION, 0, 1, 2)))
    attends = middle > 0 or any(depths) or any(map(any, rises))
    return sizes(
        widths,
        depths,
        middle,
        draw(st.sampled_from((24, 40))) if attends else 0,
        rises=rises,
        blocks=blocks,
        inputs=draw(st.sampled_from((4, 5, 8, 9))),
        labels=draw(st.sampled_from((0, 20))),
        linear_projection=draw(st.booleans()) and attends,
    )
