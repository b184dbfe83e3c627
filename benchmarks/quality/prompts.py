"""Whether paintings have the colours that their prompts ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from quality.judges import Picture, colour, paper
from quality.probes import COLOURS, GROUNDS
from quality.reconstruction import OWN, back
from quality.records import Bench, Record, percent, share
from quality.rows import Rows, drawn

AIM = 0.8
REAL, COPIES = 800, 120
"""real pictures that the judge is tried on, as they are and behind the autoencoder"""

Judge = Callable[[Picture], str]


def colours(bench: Bench) -> list[Record]:
    """The main colour of things in 40 prompts that name one."""
    rows, words = bench.rows("base").recoloured()
    record = _asked(bench, "colours", COLOURS, colour, (rows, words))
    exact = [
        colour(picture) == word
        for word, prompts in COLOURS.items()
        for prompt in prompts
        for picture in bench.rows("base").images[bench.rows("base").called(prompt)]
    ]
    return [
        Record(
            record.name, record.figure, record.aim, record.met,
            f"{record.sentence} Of the {len(exact)} training pictures with exactly these captions "
            f"it names {percent(share(exact))}.",
            {**record.values, "judge, same captions": share(exact)},
        )
    ]  # fmt: skip


def backgrounds(bench: Bench) -> list[Record]:
    """The colour of the paper in 20 prompts that name one."""
    real = bench.rows("base").grounded()
    return [_asked(bench, "backgrounds", GROUNDS, paper, real)]


def _asked(
    bench: Bench, name: str, probes: Mapping[str, Sequence[str]], judge: Judge,
    real: tuple[Rows, list[str]],
) -> Record:  # fmt: skip
    """How often the judge finds the word that was asked for; and on real pictures."""
    found = {
        word: [
            judge(bench.studio.paint(prompt, seed))
            for prompt in prompts
            for seed in range(1, bench.seeds + 1)
        ]
        for word, prompts in probes.items()
    }
    each = {word: share([answer == word for answer in found[word]]) for word in probes}
    right = float(np.mean(list(each.values())))
    known, copied = judged(judge, real, REAL), judged(judge, _copies(bench, real), COPIES)
    count = sum(len(answers) for answers in found.values())
    worst = min(each, key=lambda word: each[word])
    return Record(
        name, percent(right), f"≥ {percent(AIM)}", right >= AIM,
        f"{count} paintings, {bench.seeds} seeds a prompt, worst {worst} with "
        f"{percent(each[worst])}. The judge names {percent(known)} of real pictures rightly, and "
        f"{percent(copied)} of such behind the VAE.",
        {"right": right, "judge": known, "judge behind the vae": copied, **each},
    )  # fmt: skip


def judged(judge: Judge, real: tuple[Rows, list[str]], most: int) -> float:
    """How often a judge is right about real pictures."""
    rows, words = real
    chosen = drawn(len(rows), most)
    return share([judge(rows.images[row]) == words[row] for row in chosen])


def _copies(bench: Bench, real: tuple[Rows, list[str]]) -> tuple[Rows, list[str]]:
    """Some real pictures as they come back from the autoencoder."""
    rows, words = real
    chosen = drawn(len(rows), COPIES)
    some = rows[chosen]
    images = back(bench.studio.file(OWN), some.images)
    return Rows(images, some.captions, some.names), [words[row] for row in chosen]
