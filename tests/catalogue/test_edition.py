"""How much training a checkpoint still carries, and what its keys cannot tell."""

from __future__ import annotations

import pytest
from unread import UNET, averages, sd1, unread

from sfumato.catalogue.identify import identify
from sfumato.catalogue.trees.unet import SD1, unet_shapes
from sfumato.catalogue.trees.vae import vae
from sfumato.containers.dtype import F16, F32
from sfumato.containers.tensor import Tensor

OPTIMIZER = unread({"optimizer_states.0.state.0.exp_avg": (320,)})

EDITIONS = [
    (sd1() | averages() | OPTIMIZER, "full training state (live + EMA weights, optimizer), fp16"),
    (sd1() | OPTIMIZER, "full training state (live weights, optimizer), fp16"),
    (sd1() | averages(), "live + EMA, fp16"),
    (sd1(), "single set, fp16"),
    (averages(), "EMA only, fp16"),
    (unread(unet_shapes(SD1), UNET, F32), "single set, fp32"),
]


@pytest.mark.parametrize(
    ("model", "words"), EDITIONS, ids=lambda v: v if isinstance(v, str) else ""
)
def test_the_edition_follows_from_which_sets_are_inside(
    model: dict[str, Tensor], words: str
) -> None:
    assert identify(model).edition == words


def test_it_is_said_that_averaged_and_trained_weights_look_alike() -> None:
    assert "cannot be told" in identify(sd1()).edition_note


def test_two_counters_alone_are_no_averages() -> None:
    counters = {n: t for n, t in averages().items() if n.endswith(("decay", "num_updates"))}
    assert identify(sd1() | counters).edition == "single set, fp16"
    assert identify(unread(vae()) | counters).kind == "vae"


def test_mixed_precision_is_named() -> None:
    half = unread(unet_shapes(SD1), UNET, F16)
    name = UNET + "out.0.weight"
    assert identify(half | unread({name: (320,)}, dtype=F32)).edition.endswith("fp16 and fp32")
