"""A run that was stopped goes on as if it had not been: bit for bit, wherever it stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sfumato.errors import Refused
from sfumato.training.events import Kept, Note, Stepped, Written
from sfumato.training.loop import train
from sfumato.training.settings import Ema, Optimizer, Run, Save, Watch
from sfumato.training.state import latest, run_folder
from training_toys import Toy, in_folder, outcome, stopped, stopped_after, toy_run, trained

pytestmark = pytest.mark.slow

OPTIMIZERS = ("adamw", "adafactor")
COURSES = ("constant", "cosine", "plateau")


@pytest.fixture
def straight(tmp_path: Path) -> Run:
    run = toy_run(in_folder(tmp_path, "straight"))
    trained(run)
    return run


@pytest.mark.parametrize("events", range(3, 40, 3))
def test_a_run_stopped_after_any_event_ends_as_one_that_never_stopped(
    tmp_path: Path, straight: Run, events: int
) -> None:
    run = toy_run(in_folder(tmp_path, "stopped"))
    stopped(run, events)
    trained(run)
    assert outcome(run) == outcome(straight)


def test_a_run_may_be_stopped_at_every_step(tmp_path: Path, straight: Run) -> None:
    run = toy_run(in_folder(tmp_path, "often"))
    for step in range(1, 12):
        stopped_after(run, step)
    trained(run)
    assert outcome(run) == outcome(straight)


def test_stopping_between_two_batches_of_a_step_loses_that_step_only(tmp_path: Path) -> None:
    run = toy_run(tmp_path)
    course = train(run, Toy(run))
    while not isinstance(event := next(course), Stepped) or event.step < 4:
        pass
    next(course)
    course.close()
    path, _ = latest(run_folder(run.output))
    assert path is not None and path.name == "step-00000004"


def test_the_same_trainee_may_go_on_after_a_stop(tmp_path: Path, straight: Run) -> None:
    run = toy_run(in_folder(tmp_path, "same"))
    toy = Toy(run)
    course = train(run, toy)
    for _ in range(13):
        next(course)
    course.close()
    list(train(run, toy))
    assert outcome(run) == outcome(straight)


def test_looking_changes_nothing(tmp_path: Path, straight: Run) -> None:
    watch = Watch(previews=("a", "b"), validate_every=1)
    run = toy_run(in_folder(tmp_path, "watched"), watch=watch, save=Save(every=1, minutes=0))
    events = trained(run)
    assert sum(isinstance(event, Written) for event in events) > 24
    assert outcome(run) == outcome(straight)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("course", COURSES)
def test_every_optimiser_and_course_goes_on_exactly(tmp_path: Path, name: str, course: str) -> None:
    rates = Optimizer(name=name, rate=0.01, course=course, warmup=3)  # pyright: ignore
    straight = toy_run(in_folder(tmp_path, "a"), optimizer=rates)
    trained(straight)
    run = toy_run(in_folder(tmp_path, "b"), optimizer=rates)
    stopped_after(run, 5)
    trained(run)
    assert outcome(run) == outcome(straight)


def test_more_steps_may_be_asked_for_after_the_end(tmp_path: Path, straight: Run) -> None:
    run = toy_run(in_folder(tmp_path, "short"), steps=5)
    trained(run)
    longer = replace(run, steps=12)
    notes = [event.text for event in trained(longer) if isinstance(event, Note)]
    assert "changed since: steps was 5 and is 12" in notes
    assert outcome(longer) == outcome(straight)


def test_a_finished_run_writes_its_file_again_and_moves_nothing(straight: Run) -> None:
    before = outcome(straight)
    Path(straight.output).unlink()
    events = trained(straight)
    assert any("all 12 steps are done" in e.text for e in events if isinstance(e, Note))
    assert outcome(straight) == before
    assert Path(straight.output).exists()


def test_without_an_average_runs_go_on_too(tmp_path: Path) -> None:
    runs = [toy_run(in_folder(tmp_path, name), ema=Ema(0)) for name in "ab"]
    stopped_after(runs[1], 7)
    for run in runs:
        trained(run)
    assert outcome(runs[0]) == outcome(runs[1])


CHANGES = (
    ({"seed": 1}, "seed was 0 and is 1"),
    ({"batch": 3}, "batch was 2 and is 3"),
    ({"accumulate": 1}, "accumulate was 3 and is 1"),
    ({"ema": Ema(0)}, "EMA was True and is False"),
    ({"optimizer": Optimizer(name="adafactor", rate=0.01)}, "optimiser was adamw and is adafactor"),
)


@pytest.mark.parametrize(("change", "sentence"), CHANGES)
def test_what_must_not_change_is_refused_and_named(
    straight: Run, change: dict[str, object], sentence: str
) -> None:
    with pytest.raises(Refused, match=sentence):
        trained(replace(straight, **change))  # pyright: ignore


def test_everything_that_differs_is_named_at_once(straight: Run) -> None:
    with pytest.raises(Refused, match=r"seed was 0 and is 5; pictures and model are others"):
        trained(replace(straight, seed=5), digest="another")


def test_weights_that_are_others_are_refused(straight: Run) -> None:
    with pytest.raises(Refused, match="1 weights are others, idle for one"):
        trained(straight, idle=True)


def test_a_changed_rate_is_allowed_and_told(straight: Run) -> None:
    run = replace(straight, steps=14, optimizer=replace(straight.optimizer, rate=0.001))
    notes = [event.text for event in trained(run) if isinstance(event, Note)]
    assert any("optimizer.rate was 0.01 and is 0.001" in note for note in notes)


def test_a_state_is_saved_by_the_clock_too(tmp_path: Path) -> None:
    run = toy_run(tmp_path, save=Save(every=0, minutes=1e-9))
    kept = [event.step for event in trained(run) if isinstance(event, Kept)]
    assert kept == list(range(1, 13))


def test_two_processes_do_not_train_one_run(tmp_path: Path) -> None:
    run = toy_run(tmp_path)
    first = train(run, Toy(run))
    next(first)
    with pytest.raises(Refused, match="another process trains this run"):
        next(train(run, Toy(run)))
    first.close()
