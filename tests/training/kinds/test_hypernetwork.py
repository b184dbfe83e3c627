"""Hypernetworks while they learn, and the same hypernetworks as painters read them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from sfumato.engine.adapters.hypernetworks import attach, read_hypernetwork
from sfumato.errors import Refused, UsageError
from sfumato.training.kinds.hypernetwork import Branch, HypernetworkPart
from sfumato.training.settings import HypernetworkShape, Run
from taught import answer, apart, identified, opened, run_of, taught

pytestmark = pytest.mark.slow

Small = Callable[[str], Path]

PLAIN = HypernetworkShape()
DEEP = HypernetworkShape(
    structure=(1, 2, 1.5, 1),
    activation="relu",
    layer_norm=True,
    dropout=(0, 0.3, 0.2, 0),
    start="XavierNormal",
)
SWISH = HypernetworkShape(activation="swish", start="KaimingUniform")


@pytest.fixture
def wish(small: Small, pictures: Path, tmp_path: Path) -> Callable[..., Run]:
    def run(family: str = "sd1", **changes: object) -> Run:
        return run_of("hypernetwork", small(family), pictures, tmp_path / "hyper.pt", **changes)

    return run


@pytest.mark.parametrize("shape", [PLAIN, DEEP, SWISH])
@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_a_file_acts_in_painting_as_it_did_in_training(
    family: str, shape: HypernetworkShape, wish: Callable[..., Run]
) -> None:
    run = wish(family, hypernetwork=shape)
    course = taught(run)
    course.trainee.part.learning(on=False)
    with opened(run) as model:
        before = answer(model)
        with attach(model, [(read_hypernetwork(Path(run.output)), 1.0)]) as (report,):
            assert apart(answer(model), answer(course.model)) < 1e-5
            assert apart(answer(model), before) > 1e-4
    assert report.applied == report.total


@pytest.mark.parametrize(
    ("shape", "numbers"),
    [
        (PLAIN, {0, 1}),
        (SWISH, {0, 2}),
        (HypernetworkShape(layer_norm=True), {0, 1, 2, 3}),
        (HypernetworkShape(activation="relu", layer_norm=True), {0, 2, 3, 4}),
        (HypernetworkShape(activation="relu", dropout=(0, 0.3, 0)), {0, 3}),
        # linear, relu, norm, dropout · linear, relu, norm, dropout · linear, norm
        (DEEP, {0, 2, 4, 6, 8, 9}),
    ],
)
def test_layers_have_a1111s_numbers(shape: HypernetworkShape, numbers: set[int]) -> None:
    branch = Branch(16, shape, 0, 0)
    assert {int(name.split(".")[1]) for name in branch.state_dict()} == numbers


@pytest.mark.parametrize("start", ["Normal", "XavierUniform", "XavierNormal", "KaimingUniform"])
def test_weights_start_as_a1111_has_them(start: str) -> None:
    shape = HypernetworkShape(start=start, layer_norm=True, activation="relu")  # pyright: ignore
    branch = Branch(256, shape, 0, 0)
    first, norm = branch.linear[0], branch.linear[2]
    assert isinstance(first, nn.Linear)
    assert isinstance(norm, nn.LayerNorm)
    usual = {
        "Normal": 0.01,
        "XavierUniform": (2 / (256 + 512)) ** 0.5,
        "XavierNormal": (2 / (256 + 512)) ** 0.5,
        "KaimingUniform": (2 / 256) ** 0.5,
    }
    assert first.weight.std().item() == pytest.approx(usual[start], rel=0.02)
    assert norm.weight.std().item() == pytest.approx(0.01, rel=0.2)
    assert not first.bias.any()


def test_dropout_acts_only_while_it_learns(wish: Callable[..., Run]) -> None:
    run = wish(hypernetwork=DEEP)
    with opened(run) as model:
        part = HypernetworkPart(run, model)
        part.learning(on=True)
        assert not torch.equal(answer(model), answer(model))
        part.learning(on=False)
        assert torch.equal(answer(model), answer(model))


def test_the_file_says_how_it_is_built(wish: Callable[..., Run]) -> None:
    run = wish(hypernetwork=DEEP, steps=1)
    taught(run)
    said = torch.load(run.output, weights_only=True)
    assert {key for key in said if isinstance(key, int)} == {32, 64, 128}
    assert said["layer_structure"] == [1, 2, 1.5, 1]
    assert said["dropout_structure"] == [0, 0.3, 0.2, 0]
    assert (said["activation_func"], said["activate_output"]) == ("relu", False)
    assert (said["is_layer_norm"], said["use_dropout"]) == (True, True)
    assert (said["step"], said["name"]) == (1, "hyper")
    found = identified(run.output)
    assert (found.kind, found.left_over) == ("hypernetwork", ())


def test_only_the_widths_that_were_asked_for_are_trained(
    wish: Callable[..., Run],
) -> None:
    run = wish(hypernetwork=HypernetworkShape(sizes=(128,)), steps=1)
    taught(run)
    assert set(read_hypernetwork(Path(run.output)).branches) == {128}


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (HypernetworkShape(structure=(1, 2)), "begins and ends with 1"),
        (HypernetworkShape(activation="rulu"), "the nearest is relu"),
        (HypernetworkShape(dropout=(0, 0.5)), "dropout"),
        (HypernetworkShape(dropout=(0, 0.5, 0.5)), "dropout"),
    ],
)
def test_a_senseless_structure_is_refused(
    shape: HypernetworkShape, said: str, wish: Callable[..., Run]
) -> None:
    run = wish(hypernetwork=shape)
    with opened(run) as model, pytest.raises(UsageError, match=said):
        HypernetworkPart(run, model)


def test_a_width_that_the_model_has_not_is_refused(wish: Callable[..., Run]) -> None:
    run = wish(hypernetwork=HypernetworkShape(sizes=(768,)))
    with opened(run) as model, pytest.raises(Refused, match="has no attention of width 768"):
        HypernetworkPart(run, model)
