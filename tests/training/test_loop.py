"""The loop: what it refuses, what it says, and what it leaves."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sfumato.errors import MissingExtra, NoRoom, Refused
from sfumato.training.configuration import parse_run
from sfumato.training.events import Accumulated, Kept, Note, Stepped, Validated, Written
from sfumato.training.log import Log
from sfumato.training.loop import is_due, train
from sfumato.training.settings import Optimizer, Save, Watch
from sfumato.training.state import latest, run_folder, states
from training_toys import Toy, outcome, toy_run, trained


def test_a_loss_that_is_no_number_stops_the_run_before_anything_moves(tmp_path: Path) -> None:
    run = toy_run(tmp_path, save=Save(every=4, minutes=0))
    toy = Toy(run)
    toy.spoil = 3 * 9 + 1
    with pytest.raises(Refused, match=r"loss is nan at step 10: .* good state is step-00000008"):
        list(train(run, toy))
    assert all(bool(p.isfinite().all()) for p in toy.net.parameters())
    assert latest(run_folder(run.output))[0] is not None


def test_a_gradient_that_is_no_number_stops_the_run_too(tmp_path: Path) -> None:
    run = toy_run(tmp_path)
    toy = Toy(run)
    toy.net[0].weight.register_hook(lambda grad: grad * float("inf"))  # pyright: ignore
    with pytest.raises(Refused, match=r"gradient is (nan|inf) at step 1.*no state was saved"):
        list(train(run, toy))


@pytest.mark.parametrize("clip", [0.0, 1.0])
def test_without_a_limit_gradients_are_watched_as_well(tmp_path: Path, clip: float) -> None:
    run = toy_run(tmp_path, optimizer=Optimizer(rate=0.01, clip=clip))
    toy = Toy(run)
    toy.fade = 1e38
    with pytest.raises(Refused, match="is too high"):
        list(train(run, toy))


def test_weights_that_do_not_move_stop_the_run(tmp_path: Path) -> None:
    run = toy_run(tmp_path, optimizer=Optimizer(rate=1e-12, weight_decay=0))
    with pytest.raises(Refused, match=r"\d of 4 weights have not moved in 10 steps"):
        trained(run)


def test_slow_first_steps_are_no_fault(tmp_path: Path) -> None:
    run = toy_run(tmp_path, steps=40, optimizer=Optimizer(rate=0.01, warmup=20))
    assert any(isinstance(event, Stepped) for event in trained(run))


def test_weights_that_no_gradient_reaches_are_told(tmp_path: Path) -> None:
    notes = [e.text for e in trained(toy_run(tmp_path), idle=True) if isinstance(e, Note)]
    assert "1 of 5 weights take no part and stay as they are, idle for one" in notes


def test_each_batch_of_a_step_is_told_but_the_last(tmp_path: Path) -> None:
    parts = [e for e in trained(toy_run(tmp_path)) if isinstance(e, Accumulated)]
    assert [(e.step, e.done) for e in parts[:4]] == [(1, 1), (1, 2), (2, 1), (2, 2)]


def test_runs_are_saved_at_shares_of_their_length(tmp_path: Path) -> None:
    run = toy_run(tmp_path, steps=30, save=Save(every=0.1, minutes=0))
    assert [step for step in range(1, 31) if is_due(run, step)] == list(range(3, 31, 3))
    assert not is_due(replace(run, save=Save(every=0)), 30)


def test_files_are_written_whenever_the_run_is_saved(tmp_path: Path) -> None:
    run = toy_run(tmp_path, save=Save(every=0.25, minutes=0))
    paths = [event.path.name for event in trained(run) if isinstance(event, Written)]
    assert paths == [*(f"out-{step:06d}.safetensors" for step in (3, 6, 9)), "out.safetensors"]


def test_every_file_holds_the_run(tmp_path: Path) -> None:
    run = toy_run(tmp_path)
    trained(run)
    assert parse_run(Path(run.output).read_text()) == run
    assert parse_run((run_folder(run.output) / "run.toml").read_text()) == run


def test_validation_has_an_interval_of_its_own(tmp_path: Path) -> None:
    run = toy_run(tmp_path, watch=Watch(validate_every=5))
    assert [e.step for e in trained(run) if isinstance(e, Validated)] == [5, 10]


def test_the_log_holds_each_step_once_also_after_a_stop(tmp_path: Path) -> None:
    run = toy_run(tmp_path, save=Save(every=4, minutes=0))
    course = train(run, Toy(run))
    while not isinstance(event := next(course), Stepped) or event.step < 7:
        pass
    course.close()
    trained(run)
    steps, losses = Log(run_folder(run.output) / "log.csv", 99).column("loss")
    assert steps == list(range(1, 13)) and all(loss > 0 for loss in losses)


def test_half_a_line_of_the_log_is_passed_over(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.csv", 0)
    log.add(step=1, epoch=0, loss=0.5, rate=1.0, seconds=0.1)
    with log.path.open("a") as file:
        file.write("2,0,0.")
    assert [row["step"] for row in Log(log.path, 9).rows()] == ["1"]


def test_the_losses_are_drawn(tmp_path: Path) -> None:
    run = toy_run(tmp_path)
    trained(run)
    assert (run_folder(run.output) / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    notes = [event.text for event in trained(toy_run(tmp_path)) if isinstance(event, Note)]
    assert "a plot of the losses needs: pip install matplotlib" in notes


def test_without_tensorboard_a_run_that_asks_for_it_does_not_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard.writer", None)
    with pytest.raises(MissingExtra, match="pip install tensorboard"):
        trained(toy_run(tmp_path, watch=Watch(tensorboard=True)))


def test_a_full_disk_stops_the_run_and_keeps_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = toy_run(tmp_path, save=Save(every=4, minutes=0))
    course = train(run, Toy(run))
    while not isinstance(next(course), Kept):
        pass
    before = outcome(run)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(NoRoom, match="free"):
        list(course)
    assert outcome(run) == before and len(states(run_folder(run.output))) == 1


def test_an_average_that_never_warms_up_is_told(tmp_path: Path) -> None:
    notes = [event.text for event in trained(toy_run(tmp_path)) if isinstance(event, Note)]
    assert any(note.startswith("the average warms up: after 12 steps") for note in notes)
