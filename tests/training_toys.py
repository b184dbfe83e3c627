"""A trainee small enough to train in no time, with everything that could go wrong on resuming."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sfumato.training.data.order import Order
from sfumato.training.events import Event, Stepped
from sfumato.training.loop import train
from sfumato.training.randomness import normal
from sfumato.training.settings import Ema, Run, Save
from sfumato.training.state import latest, read_state, run_folder
from sfumato.training.trainee import Group, Trained

ITEMS = 7


class Toy:
    """Two layers with dropout, and a handful of points in two groups."""

    def __init__(self, run: Run, *, digest: str = "toy", idle: bool = False) -> None:
        self.run = run
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(4, 8), nn.SiLU(), nn.Dropout(0.3), nn.Linear(8, 1))
        self.idle = nn.Parameter(torch.ones(2)) if idle else None
        self.order = Order([item % 2 for item in range(ITEMS)], [1] * ITEMS, run.batch, run.seed)
        self.points = normal((ITEMS, 4), 1, "start")
        self.batches = self.order.batches
        self.notes = ("a toy",)
        self.digest = digest
        self.spoil = -1
        """batch whose loss is no number"""
        self.fade = 1.0
        """factor of the loss"""

    def prepare(self) -> Iterator[tuple[int, int]]:
        yield ITEMS, ITEMS

    def groups(self) -> tuple[Group, ...]:
        named = dict(self.net.named_parameters())
        flat = {name: p for name, p in named.items() if p.dim() == 1}
        if self.idle is not None:
            flat["idle"] = self.idle
        wide = {name: p for name, p in named.items() if p.dim() > 1}
        rate = self.run.optimizer.rate
        return Group("wide", wide, rate), Group("flat", flat, rate / 2, decays=False)

    def loss(self, batch: int) -> Tensor:
        draws = self.order.at(batch)
        noise = torch.stack([normal((4,), self.run.seed, "noise", d.sample) for d in draws])
        points = self.points[[draw.item for draw in draws]]
        loss = (self.net(points + 0.1 * noise) - points.sum(1, keepdim=True)).square().mean()
        return loss * (float("nan") if batch == self.spoil else self.fade)

    def validate(self) -> float | None:
        torch.rand(3)
        with torch.no_grad():
            return self.net(self.points).square().mean().item()

    def preview(self, folder: Path, step: int) -> Iterator[Path]:
        for prompt in self.run.watch.previews:
            torch.rand(5)
            path = folder / f"preview-{step}.txt"
            path.write_text(prompt)
            yield path

    def write(self, trained: Trained, path: Path) -> Iterator[Path]:
        path.write_text(trained.facts["sfumato.run"])
        yield path


def toy_run(tmp: Path, **changes: Any) -> Run:  # noqa: ANN401
    plain = Run("lora", str(tmp / "out.safetensors"), steps=12, batch=2, accumulate=3)
    rates = replace(plain.optimizer, rate=0.01)
    save = Save(every=0, minutes=0)
    return replace(plain, **{"optimizer": rates, "ema": Ema(0.9), "save": save, **changes})


def trained(run: Run, **toy: Any) -> list[Event]:  # noqa: ANN401
    return list(train(run, Toy(run, **toy)))


def stopped(run: Run, events: int) -> None:
    """Train in a sitting of its own, and close it after so many events."""
    course = train(run, Toy(run))
    for _, _ in zip(range(events), course, strict=False):
        pass
    course.close()


def stopped_after(run: Run, step: int) -> None:
    course = train(run, Toy(run))
    for _ in takewhile(lambda e: not (isinstance(e, Stepped) and e.step == step), course):
        pass
    course.close()


def outcome(run: Run) -> Mapping[str, bytes]:
    """Every byte of weights, average and optimiser in the newest state."""
    path, _ = latest(run_folder(run.output))
    assert path is not None
    state = read_state(path)
    parts = {"weights": state.weights, "average": state.average, "optimizer": state.optimizer}
    found = {f"{part}/{n}": bytes(t.read()) for part, ts in parts.items() for n, t in ts.items()}
    facts = {key: state.facts[key] for key in ("average_updates", "groups")}
    return {**found, "step": str(state.step).encode(), "facts": repr(facts).encode()}


def in_folder(tmp: Path, name: str) -> Path:
    (tmp / name).mkdir()
    return tmp / name
