"""Precision: refused where it makes no sense; float16's factor is kept, and forgives once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from sfumato.errors import Refused, UsageError
from sfumato.training import sitting
from sfumato.training.events import Note, Stepped
from sfumato.training.loop import train
from sfumato.training.precision import Scaling, check_precision, computing
from sfumato.training.prepare import prepare
from sfumato.training.settings import Ema, Run
from sfumato.training.state import latest, run_folder
from training_toys import Toy, in_folder, outcome, stopped_after, toy_run, trained

CPU = torch.device("cpu")


def kept_facts(run: Run) -> dict[str, object]:
    path, _ = latest(run_folder(run.output))
    assert path is not None
    return json.loads((path / "state.json").read_text())


@pytest.fixture
def scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run has a factor, which is doubled after three steps."""

    def made(_precision: str, _device: torch.device) -> Scaling:
        return Scaling(torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=3))

    monkeypatch.setattr(sitting, "scaling", made)


def test_float16_is_refused_where_there_is_no_cuda() -> None:
    with pytest.raises(UsageError, match="f16 takes a CUDA device; on cpu take f32 or bf16"):
        prepare(Run("lora", "a.safetensors", precision="f16"))
    check_precision("bf16", CPU)
    check_precision("f32", CPU)


def test_float32_converts_nothing_and_bfloat16_only_what_is_computed() -> None:
    layer = torch.nn.Linear(4, 4)
    for precision, dtype in (("f32", torch.float32), ("bf16", torch.bfloat16)):
        with computing(precision, CPU):  # pyright: ignore[reportArgumentType]
            assert layer(torch.ones(1, 4)).dtype == dtype
    assert layer.weight.dtype == torch.float32


def test_a_run_without_a_factor_keeps_none(tmp_path: Path) -> None:
    run = toy_run(tmp_path)
    trained(run)
    assert kept_facts(run).keys() == {"step", "run", "identity", "average_updates", "groups"}


@pytest.mark.usefixtures("scaled")
def test_the_factor_goes_on_where_it_was(tmp_path: Path) -> None:
    straight, run = toy_run(in_folder(tmp_path, "a")), toy_run(in_folder(tmp_path, "b"))
    trained(straight)
    for step in (2, 5, 10):
        stopped_after(run, step)
    trained(run)
    assert outcome(run) == outcome(straight)
    assert kept_facts(run)["scaling"] == kept_facts(straight)["scaling"]
    assert kept_facts(run)["scaling"]["scale"] == 2.0**14  # pyright: ignore


def test_a_factor_changes_nothing_but_the_last_bits(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    losses: list[list[float]] = []
    for name in ("plain", "scaled"):
        run = toy_run(in_folder(tmp_path, name))
        losses.append([event.loss for event in trained(run) if isinstance(event, Stepped)])
        request.getfixturevalue("scaled")
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.usefixtures("scaled")
def test_a_gradient_too_large_once_moves_nothing_and_halves_the_factor(tmp_path: Path) -> None:
    run = toy_run(tmp_path, steps=13, accumulate=1, ema=Ema(0.9))
    toy = Toy(run)
    course = train(run, toy)
    while not (isinstance(event := next(course), Stepped) and event.step == 4):
        pass
    before = [weight.detach().clone() for weight in toy.net.parameters()]
    hook = toy.net[0].weight.register_hook(lambda grad: grad * float("inf"))  # pyright: ignore
    event = next(course)
    assert isinstance(event, Note)
    assert "step 5 moves nothing" in event.text and "multiplied by 1024 from" in event.text
    assert all(torch.equal(a, b) for a, b in zip(before, toy.net.parameters(), strict=True))
    hook.remove()
    list(course)
    assert kept_facts(run)["average_updates"] == 12


@pytest.mark.usefixtures("scaled")
def test_gradients_that_stay_too_large_stop_the_run(tmp_path: Path) -> None:
    run = toy_run(tmp_path, accumulate=1)
    toy = Toy(run)
    toy.net[0].weight.register_hook(lambda grad: grad * float("inf"))  # pyright: ignore
    with pytest.raises(Refused, match=r"the gradient is (nan|inf) at step 11"):
        list(train(run, toy))


@pytest.mark.usefixtures("scaled")
def test_a_loss_that_is_no_number_is_not_forgiven(tmp_path: Path) -> None:
    run = toy_run(tmp_path)
    toy = Toy(run)
    toy.spoil = 4
    with pytest.raises(Refused, match="the loss is nan at step 2"):
        list(train(run, toy))
