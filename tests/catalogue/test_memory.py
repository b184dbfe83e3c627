"""The memory that painting takes follows from the shapes."""

from __future__ import annotations

from sfumato.catalogue.cards.memory import needs
from sfumato.catalogue.verdict import Part, Verdict
from toys import random_tensor

UNET = Part("unet", "UNet", "", 1, 1000, 4000, {})
VAE = Part("vae", "VAE", "", 1, 500, 2000, {})


def test_a_file_that_cannot_paint_needs_nothing() -> None:
    assert needs({}, Verdict("vae", parts=(VAE,))) == ()


def test_weights_are_parameters_times_the_size_of_a_number() -> None:
    full, half, brain = needs({}, Verdict("checkpoint", parts=(UNET, VAE)))
    assert (full.weights, half.weights, brain.weights) == (6000, 3000, 3000)


def test_averages_and_optimizer_state_do_not_count() -> None:
    ema = Part("ema", "EMA", "", 1, 9999, 9999, {})
    with_ema = needs({}, Verdict("checkpoint", parts=(UNET, ema)))
    assert with_ema == needs({}, Verdict("checkpoint", parts=(UNET,)))


def test_working_memory_follows_the_widest_layer_of_the_decoder() -> None:
    name = "first_stage_model.decoder.up.0.block.0.conv1.weight"
    model = {name: random_tensor((4, 8, 3, 3))}
    (full, *_) = needs(model, Verdict("checkpoint", parts=(UNET, VAE)), pixels=100)
    assert full.working == 3 * 8 * 100 * 4
    assert full.total == full.weights + full.working
