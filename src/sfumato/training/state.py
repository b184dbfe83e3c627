"""A run's resumable states on disk: each a folder that is whole or is not there.

    NAME.run/
      run.toml               the configuration, as started
      step-00000400/         a state
        weights.safetensors    trained weights, by name, in the precision of training
        average.safetensors    their EMA, where there is one
        optimizer.safetensors  the optimiser's tensors, as `name|slot`
        state.json             step, counters, losses, what the run was started with
        manifest.json          size and SHA-256 of every file: written last, before the rename
      log.csv                every logged step
      loss.png               the losses, drawn
      NAME-000400.…          the trained file as it was then, and previews of what it paints

A state is written under a hidden name, flushed, and renamed; only then are older ones removed. A
folder without a valid manifest is not a state, and the one before it is taken.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import cast

from sfumato.containers.atomic import check_room, sync_folder, translated
from sfumato.containers.open import open_model
from sfumato.containers.save_file import save_file
from sfumato.containers.tensor import Tensor
from sfumato.errors import Damaged

CONFIGURATION = "run.toml"
"""the configuration in a run's folder"""

STEP = re.compile(r"step-(\d{8,})")

UNFINISHED = ".writing-"
"""what the name of a folder begins with while a state is written into it"""

Plain = str | int | float | bool | None | list["Plain"] | dict[str, "Plain"]


def run_folder(output: str) -> Path:
    """Where a run keeps its states: beside its output."""
    path = Path(output)
    return path.with_name(f"{path.stem}.run")


@dataclass(frozen=True, slots=True)
class State:
    """Everything that a run needs to go on as if it had never stopped."""

    step: int
    """steps done"""
    weights: Mapping[str, Tensor]
    average: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]
    facts: Mapping[str, Plain]
    """counters and identities: the run's settings, the data's digest, the EMA's updates"""

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        parts = (self.weights, self.average, self.optimizer)
        return sum(tensor.nbytes for tensors in parts for tensor in tensors.values())


def write_state(folder: Path, state: State, keep: int, best: int | None = None) -> Path:
    """Write `state` into `folder`, then remove the oldest beyond `keep`; returns its folder.

    best: the step of a state that is not removed. Raises NoRoom before anything is written where
    the disk has not enough space.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for rest in folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(rest, ignore_errors=True)
    final = folder / f"step-{state.step:08d}"
    check_room(final, folder, state.nbytes)
    rough = folder / f"{UNFINISHED}{final.name}"
    rough.mkdir()
    with translated(final, state.nbytes):
        _fill(rough, state)
        # A folder of this name that is there already was not whole, or it would have been taken.
        shutil.rmtree(final, ignore_errors=True)
        rough.rename(final)
    sync_folder(folder)
    for path in outdated(folder, keep, best):
        shutil.rmtree(path, ignore_errors=True)
    return final


def _fill(folder: Path, state: State) -> None:
    parts = {"weights": state.weights, "average": state.average, "optimizer": state.optimizer}
    for name, tensors in parts.items():
        if tensors:
            save_file(folder / f"{name}.safetensors", tensors)
    _write(folder / "state.json", {"step": state.step, **state.facts})
    _write(folder / "manifest.json", {path.name: _seal(path) for path in sorted(folder.iterdir())})
    sync_folder(folder)


def _write(path: Path, value: object) -> None:
    with path.open("w", encoding="utf-8") as file:
        json.dump(value, file, indent=1)
        file.flush()
        os.fsync(file.fileno())


def _seal(path: Path) -> dict[str, Plain]:
    with path.open("rb") as file:
        return {"size": path.stat().st_size, "sha256": file_digest(file, "sha256").hexdigest()}


def outdated(folder: Path, keep: int, best: int | None = None) -> list[Path]:
    """States that may be removed: never the newest, nor the best."""
    kept = f"step-{best:08d}" if best is not None else ""
    return [path for path in states(folder)[max(keep, 1) :] if path.name != kept]


def states(folder: Path) -> list[Path]:
    """Folders of states, the newest first; whether they are whole is not looked at."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if STEP.fullmatch(path.name) and path.is_dir()]
    return sorted(found, key=lambda path: int(path.name.removeprefix("step-")), reverse=True)


def latest(folder: Path) -> tuple[Path | None, tuple[str, ...]]:
    """The newest whole state, and one sentence for each newer one that is not whole."""
    notes: list[str] = []
    for path in states(folder):
        fault = _fault(path)
        if not fault:
            return path, tuple(notes)
        notes.append(f"{path.name} is passed over: {fault}")
    return None, tuple(notes)


def _fault(path: Path) -> str:
    """Why a folder is not a whole state; empty where it is."""
    try:
        manifest = cast("Plain", json.loads((path / "manifest.json").read_text("utf-8")))
    except (OSError, ValueError):
        return "its manifest cannot be read"
    if not isinstance(manifest, dict) or "state.json" not in manifest:
        return "its manifest lists no state"
    for name, seal in manifest.items():
        file = path / name
        if not file.is_file():
            return f"{name} is missing"
        if _seal(file) != seal:
            return f"{name} is not what was written"
    return ""


def read_state(path: Path) -> State:
    """The state in a folder that `latest` gave. Tensors are read when they are asked for.

    Raises Damaged where a file of it is not what it says.
    """
    try:
        told = cast("Plain", json.loads((path / "state.json").read_text("utf-8")))
    except (OSError, ValueError) as error:
        raise Damaged(path / "state.json", "is not JSON") from error
    facts = told if isinstance(told, dict) else {}
    step = facts.pop("step", None)
    if not isinstance(step, int):
        raise Damaged(path / "state.json", "does not say how many steps were done")
    names = ("weights", "average", "optimizer")
    weights, average, optimizer = (_tensors(path / f"{name}.safetensors") for name in names)
    return State(step, weights, average, optimizer, facts)


def _tensors(path: Path) -> Mapping[str, Tensor]:
    return open_model(path) if path.is_file() else {}
