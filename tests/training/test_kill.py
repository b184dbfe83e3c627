"""Killed at any moment a run loses no more than its interval, and its next start works."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sfumato.training.loop import train
from sfumato.training.settings import Save
from sfumato.training.state import latest, run_folder, states
from training_toys import Toy, in_folder, outcome, toy_run, trained

STEPS, EVERY = 60, 5
SAVE = Save(every=EVERY, minutes=0, keep=2)

CHILD = f"""
import sys
from pathlib import Path
from sfumato.training.loop import train
from sfumato.training.events import Stepped
from training_toys import Toy, toy_run
from sfumato.training.settings import Save
run = toy_run(Path(sys.argv[1]), steps={STEPS}, save=Save(every={EVERY}, minutes=0, keep=2))
for event in train(run, Toy(run)):
    if isinstance(event, Stepped):
        print(event.step, flush=True)
"""


def killed(folder: Path, after: int, wait: float) -> int:
    """Train in another process and kill it after so many steps and a moment; the last step told."""
    words = [sys.executable, "-W", "ignore", "-c", CHILD, str(folder)]
    environment = {"PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    last = 0
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=environment, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            last = int(line)
            if last >= after:
                time.sleep(wait)
                child.send_signal(signal.SIGKILL)
                break
        rest = child.stdout.read().split()
    return int(rest[-1]) if rest else last


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_a_run_that_is_killed_again_and_again_ends_as_one_that_was_not(tmp_path: Path) -> None:
    straight = toy_run(in_folder(tmp_path, "straight"), steps=STEPS, save=SAVE)
    trained(straight)
    run = toy_run(in_folder(tmp_path, "killed"), steps=STEPS, save=SAVE)
    dice = random.Random(4)
    for after in (4, 11, 26, 27, 43):
        last = killed(Path(run.output).parent, after, dice.random() * 0.02)
        path, _ = latest(run_folder(run.output))
        step = int(path.name.removeprefix("step-")) if path else 0
        assert last - step <= EVERY + 1
    trained(run)
    assert outcome(run) == outcome(straight)
    assert len(states(run_folder(run.output))) == 2
    assert not list(run_folder(run.output).glob(".writing-*"))


def test_a_process_that_dies_while_it_saves_leaves_the_state_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = toy_run(in_folder(tmp_path, "straight"), steps=20, save=SAVE)
    trained(straight)
    run = toy_run(in_folder(tmp_path, "dies"), steps=20, save=SAVE)
    for moment in ("_fill", "_write", "sync_folder", "outdated"):
        with monkeypatch.context() as patch:
            patch.setattr(f"sfumato.training.state.{moment}", _die)
            with pytest.raises(SystemExit):
                list(train(run, Toy(run)))
    trained(run)
    assert outcome(run) == outcome(straight)


def _die(*_: object) -> None:
    raise SystemExit(9)
