"""Optimisers: taken apart and put together again bit for bit, and politely missing."""

from __future__ import annotations

import sys
from typing import get_args, get_type_hints

import pytest
import torch
from torch import nn

from sfumato.errors import Damaged, MissingExtra
from sfumato.training.optimizers import CHOICES, build, inner_state, restore
from sfumato.training.settings import Optimizer
from sfumato.training.trainee import Group


def network() -> nn.Linear:
    torch.manual_seed(1)
    return nn.Linear(3, 2)


def groups(net: nn.Module) -> list[Group]:
    named = dict(net.named_parameters())
    return [
        Group("wide", {"weight": named["weight"]}, 0.1),
        Group("flat", {"bias": named["bias"]}, 0.05, decays=False),
        Group("none", {}, 1.0),
    ]


def step(net: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(seed))
    net(x).square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()


@pytest.mark.parametrize("name", ["adamw", "adafactor"])
def test_a_state_that_is_put_back_goes_on_exactly(name: str) -> None:
    settings = Optimizer(name=name)  # pyright: ignore
    net, other = network(), network()
    optimizer, again = build(groups(net), settings), build(groups(other), settings)
    for seed in range(3):
        step(net, optimizer, seed)
    other.load_state_dict(net.state_dict())
    tensors, numbers = inner_state(optimizer, dict(net.named_parameters()))
    copies = {name: tensor.clone() for name, tensor in tensors.items()}
    restore(again, dict(other.named_parameters()), copies, numbers)
    for seed in range(3, 6):
        step(net, optimizer, seed)
        step(other, again, seed)
    pairs = zip(net.parameters(), other.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_settings_of_the_run_win_over_those_of_the_state() -> None:
    net = network()
    first = build(groups(net), Optimizer(weight_decay=0.5))
    step(net, first, 0)
    second = build(groups(net), Optimizer(weight_decay=0.25))
    restore(second, dict(net.named_parameters()), *inner_state(first, dict(net.named_parameters())))
    assert [group["weight_decay"] for group in second.param_groups] == [0.25, 0.0]


def test_a_state_of_other_weights_is_damaged() -> None:
    net = network()
    optimizer = build(groups(net), Optimizer())
    with pytest.raises(Damaged, match="holds x, which this run does not train"):
        restore(optimizer, {}, {"x|exp_avg": torch.zeros(1)}, [])
    with pytest.raises(Damaged, match="other groups"):
        restore(optimizer, {}, {}, [{}])


@pytest.mark.parametrize(
    ("name", "module"), [("adamw8bit", "bitsandbytes.optim"), ("prodigy", "prodigyopt")]
)
def test_what_is_not_installed_is_named(
    name: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=f"pip install {module.partition('.')[0]}"):
        build(groups(network()), Optimizer(name=name))  # pyright: ignore


def test_every_choice_is_a_setting_and_the_other_way_round() -> None:
    named = get_args(get_type_hints(Optimizer)["name"])
    assert {choice.name for choice in CHOICES} == set(named)


def test_every_course_is_a_setting_and_the_other_way_round() -> None:
    from sfumato.training.rates import RATES

    assert {rate.name for rate in RATES} == set(get_args(get_type_hints(Optimizer)["course"]))
