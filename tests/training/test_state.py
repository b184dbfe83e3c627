"""States on disk: whole or not there, the newest whole one taken, the last good one never lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sfumato.errors import Damaged, NoRoom
from sfumato.training.settings import Save
from sfumato.training.state import State, latest, outdated, read_state, states, write_state
from sfumato.training.torch_tensors import all_from_torch, to_torch
from training_toys import outcome, stopped_after, toy_run, trained


def state(step: int) -> State:
    tensors = all_from_torch({"a|b": torch.full((3,), float(step)), "n": torch.tensor(step)})
    return State(step, tensors, {}, tensors, {"run": "kind = 1", "groups": [{"betas": 0.5}]})


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = write_state(tmp_path, state(5), keep=2)
    read = read_state(path)
    assert (read.step, dict(read.facts)) == (5, {"run": "kind = 1", "groups": [{"betas": 0.5}]})
    assert to_torch(read.weights["a|b"]).tolist() == [5.0] * 3
    assert not read.average


def spoil_weights(path: Path) -> None:
    file = path / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")


def shorten(path: Path) -> None:
    file = path / "optimizer.safetensors"
    file.write_bytes(file.read_bytes()[:-4])


def drop_weights(path: Path) -> None:
    (path / "weights.safetensors").unlink()


def drop_manifest(path: Path) -> None:
    (path / "manifest.json").unlink()


def empty_manifest(path: Path) -> None:
    (path / "manifest.json").write_text("{}")


def list_manifest(path: Path) -> None:
    (path / "manifest.json").write_text("[1]")


FAULTS: tuple[tuple[Callable[[Path], None], str], ...] = (
    (spoil_weights, "weights.safetensors is not what was written"),
    (shorten, "optimizer.safetensors is not what was written"),
    (drop_weights, "weights.safetensors is missing"),
    (drop_manifest, "its manifest cannot be read"),
    (empty_manifest, "its manifest lists no state"),
    (list_manifest, "its manifest lists no state"),
)


@pytest.mark.parametrize(("fault", "sentence"), FAULTS)
def test_a_state_that_is_not_whole_is_passed_over(
    tmp_path: Path, fault: Callable[[Path], None], sentence: str
) -> None:
    for step in (1, 2):
        write_state(tmp_path, state(step), keep=5)
    fault(tmp_path / "step-00000002")
    path, notes = latest(tmp_path)
    assert path == tmp_path / "step-00000001"
    assert notes == (f"step-00000002 is passed over: {sentence}",)


def test_a_run_goes_on_from_the_state_before_a_damaged_one(tmp_path: Path) -> None:
    straight, run = (toy_run(tmp_path / name, save=Save(every=2, minutes=0)) for name in "ab")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    trained(straight)
    stopped_after(run, 8)
    spoil_weights(tmp_path / "b" / "out.run" / "step-00000008")
    trained(run)
    assert outcome(run) == outcome(straight)


def test_a_folder_that_was_being_written_is_no_state_and_goes_away(tmp_path: Path) -> None:
    write_state(tmp_path, state(1), keep=2)
    rough = tmp_path / ".writing-step-00000002"
    rough.mkdir()
    (rough / "weights.safetensors").write_bytes(b"half")
    assert latest(tmp_path)[0] == tmp_path / "step-00000001"
    write_state(tmp_path, state(3), keep=2)
    assert not rough.exists()


def test_old_states_go_and_the_newest_stays(tmp_path: Path) -> None:
    for step in range(1, 6):
        write_state(tmp_path, state(step), keep=2)
        assert latest(tmp_path)[0] == tmp_path / f"step-{step:08d}"
    assert [path.name for path in states(tmp_path)] == ["step-00000005", "step-00000004"]


@pytest.mark.parametrize("keep", [-3, 0, 1])
def test_the_last_good_state_is_never_outdated(tmp_path: Path, keep: int) -> None:
    write_state(tmp_path, state(9), keep=1)
    assert outdated(tmp_path, keep) == []


def test_the_best_state_stays(tmp_path: Path) -> None:
    for step in range(1, 6):
        write_state(tmp_path, state(step), keep=1, best=2)
    assert [path.name for path in states(tmp_path)] == ["step-00000005", "step-00000002"]


def test_the_best_state_of_a_run_is_that_of_the_lowest_validation_loss(tmp_path: Path) -> None:
    run = toy_run(tmp_path, steps=30, save=Save(every=3, minutes=0, keep=1, best=True))
    trained(run)
    rows = (tmp_path / "out.run" / "log.csv").read_text().splitlines()
    measured = {int(row.split(",")[0]): float(row.split(",")[3]) for row in rows[1:-1]
                if row.split(",")[3]}  # fmt: skip
    best = min((step for step in measured if step < 30), key=lambda step: measured[step])
    assert {path.name for path in states(tmp_path / "out.run")} >= {
        "step-00000030", f"step-{best:08d}"
    }  # fmt: skip


def test_without_room_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_state(tmp_path, state(1), keep=1)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 100}))
    with pytest.raises(NoRoom):
        write_state(tmp_path, state(2), keep=1)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"step": "x"}'])
def test_a_state_without_its_facts_is_damaged(tmp_path: Path, text: str) -> None:
    path = write_state(tmp_path, state(1), keep=1)
    (path / "state.json").write_text(text)
    with pytest.raises(Damaged):
        read_state(path)


def test_the_manifest_lists_every_file(tmp_path: Path) -> None:
    path = write_state(tmp_path, state(1), keep=1)
    listed = json.loads((path / "manifest.json").read_text())
    assert {*listed, "manifest.json"} == {file.name for file in path.iterdir()}
