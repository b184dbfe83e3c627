"""Every kind in bfloat16: it trains, goes on bit for bit, and is not float32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from math import isfinite
from pathlib import Path

import pytest
import torch

from sfumato.containers.open import open_model
from sfumato.training.events import Stepped
from sfumato.training.kinds.diffusion import DiffusionTrainee
from sfumato.training.loop import train
from sfumato.training.prepare import prepare
from sfumato.training.settings import Ema, Kind, LoraShape, Optimizer, Run, VaeShape
from taught import run_of
from training_toys import outcome

pytestmark = pytest.mark.slow

Small = Callable[[str], Path]
BOTH = Optimizer(rate=1e-3, text_rate=1e-3)

CASES: dict[str, tuple[Kind, str, dict[str, object]]] = {
    "checkpoint": ("checkpoint", "sd1", {"optimizer": BOTH}),
    "lora": ("lora", "sd2", {"optimizer": BOTH}),
    "dora": ("lora", "sdxl", {"lora": LoraShape(rank=4, conv_rank=2, dora=True)}),
    "lokr": ("lora", "sd1", {"lora": LoraShape("lokr", rank=2), "checkpointing": True}),
    "embedding": ("embedding", "sd1", {}),
    "hypernetwork": ("hypernetwork", "sd1", {}),
    "decoder": ("vae", "sd1", {}),
    "vae": ("vae", "sd1", {"vae": VaeShape(part="whole")}),
}


@pytest.fixture
def wish(small: Small, pictures: Path, tmp_path: Path) -> Callable[..., Run]:
    def run(case: str, name: str, **changes: object) -> Run:
        kind, family, settings = CASES[case]
        suffix = ".pt" if kind in ("embedding", "hypernetwork") else ".safetensors"
        settings = {"precision": "bf16", "accumulate": 2, "ema": Ema(0.9), **settings, **changes}
        return run_of(kind, small(family), pictures, tmp_path / f"{name}{suffix}", **settings)

    return run


@pytest.mark.parametrize("case", CASES)
def test_bfloat16_trains_goes_on_exactly_and_differs(case: str, wish: Callable[..., Run]) -> None:
    runs = {name: wish(case, name) for name in ("straight", "stopped")}
    course = train(runs["stopped"], prepare(runs["stopped"]))
    list(islice((event for event in course if isinstance(event, Stepped)), 2))
    course.close()
    runs["exact"] = wish(case, "exact", precision="f32")
    losses = {
        name: [e.loss for e in train(run, prepare(run)) if isinstance(e, Stepped)]
        for name, run in runs.items()
    }
    assert all(map(isfinite, losses["straight"]))
    assert losses["stopped"] == losses["straight"][2:]
    assert losses["straight"] == pytest.approx(losses["exact"], rel=0.05)
    assert outcome(runs["stopped"]) == outcome(runs["straight"])
    assert outcome(runs["exact"]) != outcome(runs["straight"])


@pytest.mark.parametrize("case", ["checkpoint", "vae"])
def test_weights_and_gradients_stay_in_float32(case: str, wish: Callable[..., Run]) -> None:
    run = wish(case, "one")
    trainee = prepare(run)
    list(trainee.prepare())
    trainee.loss(0).backward()  # pyright: ignore[reportUnknownMemberType]
    weights = [p for group in trainee.groups() for p in group.parameters.values()]
    assert {weight.dtype for weight in weights} == {torch.float32}
    assert {weight.grad.dtype for weight in weights if weight.grad is not None} == {torch.float32}


def test_what_does_not_learn_is_encoded_exactly(wish: Callable[..., Run]) -> None:
    told: list[torch.Tensor] = []
    for precision in ("f32", "bf16"):
        run = wish("hypernetwork", precision, precision=precision)
        trainee = prepare(run)
        assert isinstance(trainee, DiffusionTrainee)
        told.append(trainee.texts.at(["a disc"], (64, 64))[0])
    assert torch.equal(told[0], told[1])


def test_a_lora_says_in_which_precision_it_was_trained(wish: Callable[..., Run]) -> None:
    run = replace(wish("lora", "one"), steps=1)
    list(train(run, prepare(run)))
    with open_model(Path(run.output)) as file:
        assert file.metadata["ss_mixed_precision"] == "bf16"
