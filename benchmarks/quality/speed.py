"""How long a picture takes from a cold start."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from measure import median_peak, median_seconds, run
from quality.records import Bench, Record
from quality.studio import STEPS

AIM = 10
"""seconds"""
ROUNDS = 3


def speed(bench: Bench) -> list[Record]:
    """Whole processes that paint one picture."""
    side, model = bench.studio.side, bench.studio.checkpoint
    with TemporaryDirectory() as folder:
        command = [
            str(Path(sys.executable).with_name("sfumato")), "generate", "a red apple",
            "--model", str(model), "--size", f"{side}x{side}", "--steps", str(STEPS),
            "--seed", "1", "--force", "-o", str(Path(folder) / "apple.png"),
        ]  # fmt: skip
        runs = [run(command) for _ in range(ROUNDS)]
    seconds, peak = median_seconds(runs), median_peak(runs)
    return [
        Record(
            "speed", f"{seconds:.1f} s, {peak / 1e6:.0f} MB", f"< {AIM} s", seconds < AIM,
            f"`sfumato generate \"a red apple\"` at {side} pixels and {STEPS} steps from a cold "
            f"start: the middle of {ROUNDS} processes, and its peak memory.",
            {"seconds": [each.seconds for each in runs], "peak": peak},
        )
    ]  # fmt: skip
