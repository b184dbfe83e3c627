"""Whether paintings are nearest to the subject that was asked for, among all subjects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np

from quality.distances import distances, ranks
from quality.probes import SCALES
from quality.reconstruction import OWN, back
from quality.records import Bench, Record, percent, share
from quality.rows import Rows, drawn
from quality.studio import CFG, Look
from quality.studio import OWN as PLAIN_LOOK

AIM, WISH = 0.4, 0.7
CAPTIONS, FEW, COPIES = 200, 60, 100
"""captions of the whole measure, of those that compare, and copies that try the judge"""

EDITIONS: tuple[Literal["live"], Literal["ema"]] = ("live", "ema")


def retrieval(bench: Bench) -> list[Record]:
    """Top-1 and top-5 of 200 captions."""
    plain = bench.rows("base").plain("")
    found = _ranks(bench, CAPTIONS)
    first, five = _top(found, 1), _top(found, 5)
    copied, styled = _judge(bench, plain)
    chance = 5 / len(plain)
    return [
        Record(
            "retrieval", f"top-5 {percent(five)}, top-1 {percent(first)}",
            f"top-5 ≥ {percent(AIM)} (wish {percent(WISH)})", five >= AIM,
            f"{len(found)} captions, one painting each, against one plain picture of each of "
            f"{len(plain)} subjects at 16 × 16 pixels, mirrored or not; chance is "
            f"{100 * chance:.1f} %. The same test finds {percent(copied)} of real pictures behind "
            f"the VAE at once, and {percent(styled)} of the other style's drawings among five.",
            {"top-1": first, "top-5": five, "chance of top-5": chance,
             "judge behind the vae, top-1": copied, "judge across styles, top-5": styled},
        )
    ]  # fmt: skip


def guidance(bench: Bench) -> list[Record]:
    """Top-5 at several scales of classifier-free guidance."""
    found = {scale: _top(_ranks(bench, FEW, cfg=scale), 5) for scale in sorted({*SCALES, CFG})}
    course = ", ".join(f"{scale:g}: {percent(value)}" for scale, value in found.items())
    alone, usual = found[1.0], found[CFG]
    return [
        Record(
            "guidance", f"top-5 {percent(alone)} → {percent(usual)}",
            f"more at CFG {CFG:g} than at 1", usual > alone,
            f"Retrieval of {FEW} captions by CFG scale: {course}.",
            {f"top-5 at {scale:g}": value for scale, value in found.items()},
        )
    ]  # fmt: skip


def averages(bench: Bench) -> list[Record]:
    """Averaged weights against live ones: validation loss and retrieval."""
    assert bench.pruned is not None
    looks = [Look(bench.pruned, weights) for weights in EDITIONS]
    live, ema = (_top(_ranks(bench, FEW, look=look), 5) for look in looks)
    loss, averaged = (_loss(bench, bench.pruned, weights) for weights in EDITIONS)
    return [
        Record(
            "ema, validation loss", f"{loss:.4f} live → {averaged:.4f} averaged", "lower",
            averaged < loss,
            "The trainer's own validation: held-out pictures, five noise levels, fixed noise.",
            {"live": loss, "ema": averaged},
        ),
        Record(
            "ema, retrieval", f"top-5 {percent(live)} live → {percent(ema)} averaged",
            "not less", ema >= live, f"Retrieval of {FEW} captions with the same seeds.",
            {"live": live, "ema": ema},
        ),
    ]  # fmt: skip


def _ranks(bench: Bench, count: int, *, cfg: float = CFG, look: Look = PLAIN_LOOK) -> list[int]:
    """The rank of the right subject for each caption; a smaller count is a part of the larger."""
    plain = bench.rows("base").plain("")
    chosen = _spread(drawn(len(plain), CAPTIONS), count)
    asked = plain[chosen]
    seeds = {row: number for number, row in enumerate(drawn(len(plain), CAPTIONS), 1)}
    painted = [
        bench.studio.paint(texts[0], seeds[row], cfg=cfg, look=look)
        for row, texts in zip(chosen, asked.captions, strict=True)
    ]
    apart = distances(np.stack(painted), plain.images)
    return ranks(apart, plain.codes, asked.codes)


def _spread(rows: list[int], count: int) -> list[int]:
    """So many of the rows, evenly spread."""
    return [rows[number * len(rows) // count] for number in range(min(count, len(rows)))]


def _top(found: Sequence[int], most: int) -> float:
    return share([rank < most for rank in found])


def _judge(bench: Bench, plain: Rows) -> tuple[float, float]:
    """Top-1 of real pictures behind the autoencoder; top-5 of the other style's drawings."""
    some = plain[drawn(len(plain), COPIES)]
    copies = back(bench.studio.file(OWN), some.images)
    copied = ranks(distances(copies, plain.images), plain.codes, some.codes)
    other = bench.rows("base").plain("noto")
    other = other[[row for row, code in enumerate(other.codes) if code in plain.codes]]
    styled = ranks(distances(other.images, plain.images), plain.codes, other.codes)
    return _top(copied, 1), _top(styled, 5)


def _loss(bench: Bench, path: Path, weights: Literal["live", "ema"]) -> float:
    """The validation loss of one set of a checkpoint's weights."""
    from sfumato.training.prepare import prepare
    from sfumato.training.settings import Base, Data, Run

    held = str(bench.data / "validation.safetensors")
    with TemporaryDirectory() as folder:
        run = Run(
            "checkpoint", str(Path(folder) / "none.safetensors"), seed=2,
            base=Base(str(path), weights=weights),
            data=Data(held, validation=held, resolution=bench.studio.side),
        )  # fmt: skip
        loss = prepare(run).validate()
    assert loss is not None
    return loss
