"""The optimisers a run can choose from, and their inner state by the names of the weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from torch.nn import Parameter

from sfumato.errors import Damaged, MissingExtra
from sfumato.training.settings import Optimizer as Settings
from sfumato.training.trainee import Group

Scalars = Mapping[str, float | int | bool]
Groups = list[dict[str, object]]
Build = Callable[..., torch.optim.Optimizer]


@dataclass(frozen=True, slots=True)
class Choice:
    """One optimiser."""

    name: str
    summary: str
    build: Callable[[Groups, Settings], torch.optim.Optimizer]


def _adamw(groups: Groups, settings: Settings) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, betas=settings.betas, foreach=True)


def _adamw8bit(groups: Groups, settings: Settings) -> torch.optim.Optimizer:
    try:
        from bitsandbytes.optim import AdamW8bit  # pyright: ignore
    except ImportError as error:
        raise MissingExtra("adamw8bit needs: pip install bitsandbytes") from error
    build = cast("Build", AdamW8bit)
    return build(groups, betas=settings.betas)


def _adafactor(groups: Groups, _settings: Settings) -> torch.optim.Optimizer:
    return torch.optim.Adafactor(groups)


def _prodigy(groups: Groups, settings: Settings) -> torch.optim.Optimizer:
    try:
        from prodigyopt import Prodigy  # pyright: ignore
    except ImportError as error:
        raise MissingExtra("prodigy needs: pip install prodigyopt") from error
    build = cast("Build", Prodigy)
    return build(groups, betas=settings.betas, safeguard_warmup=True, use_bias_correction=True)


CHOICES: tuple[Choice, ...] = (
    Choice("adamw", "Adam with decoupled weight decay (torch)", _adamw),
    Choice("adamw8bit", "the same with states of 8 bits (bitsandbytes, CUDA)", _adamw8bit),
    Choice("adafactor", "factored second moments: little memory (torch)", _adafactor),
    Choice("prodigy", "finds its own rate; give rate 1 (prodigyopt)", _prodigy),
)


def build(groups: Sequence[Group], settings: Settings) -> torch.optim.Optimizer:
    """The optimiser of a run; each group keeps its own rate as `initial_lr`."""
    choice = next(choice for choice in CHOICES if choice.name == settings.name)
    made: Groups = [
        {
            "params": list(group.parameters.values()),
            "lr": group.rate,
            "initial_lr": group.rate,
            "weight_decay": settings.weight_decay if group.decays else 0.0,
        }
        for group in groups
        if group.parameters
    ]
    return choice.build(made, settings)


def inner_state(
    optimizer: torch.optim.Optimizer, names: Mapping[str, Parameter]
) -> tuple[dict[str, Tensor], list[dict[str, float | int | bool]]]:
    """The optimiser's tensors as `name|slot`, and the numbers of its groups but for its settings.

    A number kept per weight becomes a tensor of no axes.
    """
    tensors: dict[str, Tensor] = {}
    for name, parameter in names.items():
        kept = cast("dict[str, object]", optimizer.state.get(parameter, {}))
        for slot, value in kept.items():
            if isinstance(value, Tensor):
                tensors[f"{name}|{slot}"] = value.detach()
            elif isinstance(value, int | float):
                tensors[f"{name}|{slot}"] = torch.tensor(value, dtype=torch.float64)
    return tensors, [_numbers(group) for group in _groups(optimizer)]


def _groups(optimizer: torch.optim.Optimizer) -> Iterable[dict[str, object]]:
    return cast("list[dict[str, object]]", optimizer.param_groups)


def _numbers(group: Mapping[str, object]) -> dict[str, float | int | bool]:
    settings = ("lr", "initial_lr", "weight_decay")
    return {k: v for k, v in group.items() if isinstance(v, int | float) and k not in settings}


def restore(
    optimizer: torch.optim.Optimizer,
    names: Mapping[str, Parameter],
    tensors: Mapping[str, Tensor],
    numbers: Sequence[Scalars],
) -> None:
    """Put back what `inner_state` took out, bit for bit.

    Raises Damaged where the state belongs to other weights.
    """
    for key, value in tensors.items():
        name, _, slot = key.rpartition("|")
        parameter = names.get(name)
        if parameter is None:
            raise Damaged("the optimiser's state", f"holds {name}, which this run does not train")
        kept = cast("dict[str, object]", optimizer.state[parameter])
        scalar = value.dtype == torch.float64 and not value.shape
        # AdamW keeps its count of steps on the CPU.
        kept[slot] = value.item() if scalar else _placed(value, parameter)
    if len(numbers) != len(optimizer.param_groups):
        raise Damaged("the optimiser's state", "has other groups of weights than this run")
    for group, saved in zip(_groups(optimizer), numbers, strict=True):
        group.update(saved)


def _placed(value: Tensor, parameter: Parameter) -> Tensor:
    return value if not value.shape else value.to(parameter.device)
