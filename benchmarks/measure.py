"""One measured command: its wall time and its peak memory, as the operating system counts them."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of a command took."""

    seconds: float
    peak: int
    """largest resident memory of the process, in bytes"""


def run(command: Sequence[str], *, core: int | None = None, told: bool = False) -> Run:
    """Run `command` once; with `core`, on that one processor only.

    told: its time is what the command prints last, in seconds, and not that of the process.
    """
    prefix = ["taskset", "-c", str(core)] if core is not None else []
    started = time.perf_counter()
    process = subprocess.Popen([*prefix, *command], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: exit status {process.returncode}")
    if told:
        seconds = float(printed.splitlines()[-1])
    scale = 1 if sys.platform == "darwin" else 1024
    return Run(seconds, usage.ru_maxrss * scale)


def alternate(
    commands: dict[str, Sequence[str]],
    *,
    rounds: int,
    core: int | None = None,
    told: bool = False,
) -> dict[str, list[Run]]:
    """Run every command once per round, A B A B …, so that a drifting machine is fair to all."""
    results: dict[str, list[Run]] = {name: [] for name in commands}
    for number in range(rounds):
        for name, command in commands.items():
            print(f"  round {number + 1} of {rounds}: {name}", file=sys.stderr, flush=True)
            results[name].append(run(command, core=core, told=told))
    return results


def median_seconds(runs: Sequence[Run]) -> float:
    """The middle wall time."""
    return statistics.median(run.seconds for run in runs)


def median_peak(runs: Sequence[Run]) -> float:
    """The middle peak memory, in bytes."""
    return statistics.median(run.peak for run in runs)


def median_ratio(ours: Sequence[Run], theirs: Sequence[Run]) -> float:
    """The middle of the round-by-round ratios of wall times, ours over theirs."""
    pairs = zip(ours, theirs, strict=True)
    return statistics.median(a.seconds / b.seconds for a, b in pairs)
