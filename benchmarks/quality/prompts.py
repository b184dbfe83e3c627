"""Whether paintings have the colours that their prompts ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from quality.judges import Picture, colour, paper
from quality.probes import COLOURS, GROUNDS
from quality.reconstruction import OWN, back
from quality.records import Bench, Record, percent, share
from quality.rows import Images, Told, drawn

AIM = 0.8
REAL = 300
"""real pictures that the judge is tried on, as they are and behind the autoencoder"""

Judge = Callable[[Picture], str]


def colours(bench: Bench) -> list[Record]:
    """The main colour of things in 40 prompts that name one."""
    base = bench.rows("base")
    exact = [
        (row, word) for word, prompts in COLOURS.items() for text in prompts
        for row in base.called(text)
    ]  # fmt: skip
    known = judged(colour, base.images, exact)
    found = _asked(bench, "colours", COLOURS, colour, base.recoloured())
    more = (
        f" Of the {len(exact)} training pictures with exactly these captions it names "
        f"{percent(known)} rightly."
    )
    values = {**found.values, "judge, same captions": known}
    return [replace(found, sentence=found.sentence + more, values=values)]


def backgrounds(bench: Bench) -> list[Record]:
    """The colour of the paper in 20 prompts that name one."""
    base = bench.rows("base")
    texts = [text for prompts in GROUNDS.values() for text in prompts]
    seen = sum(bool(base.called(text)) for text in texts)
    found = _asked(bench, "backgrounds", GROUNDS, paper, base.grounded())
    more = f" {seen} of the {len(texts)} prompts were captions that the model learned from."
    return [replace(found, sentence=found.sentence + more)]


def _asked(
    bench: Bench, name: str, probes: Mapping[str, Sequence[str]], judge: Judge, real: list[Told]
) -> Record:
    """How often the judge finds the word that was asked for; and on real pictures."""
    seeds = range(1, bench.seeds + 1)
    each = {
        word: share([judge(bench.studio.paint(t, s)) == word for t in texts for s in seeds])
        for word, texts in probes.items()
    }
    right = float(np.mean(list(each.values())))
    known, copied = _trusted(bench, judge, real)
    count = sum(map(len, probes.values())) * bench.seeds
    worst = min(each, key=lambda word: each[word])
    return Record(
        name, percent(right), f"≥ {percent(AIM)}", right >= AIM,
        f"{count} paintings, {bench.seeds} seeds a prompt, worst {worst} with "
        f"{percent(each[worst])}. The judge names {percent(known)} of {min(REAL, len(real))} real "
        f"pictures rightly, and {percent(copied)} of them behind the VAE.",
        {"right": right, "judge": known, "judge behind the vae": copied, **each},
    )  # fmt: skip


def _trusted(bench: Bench, judge: Judge, real: list[Told]) -> tuple[float, float]:
    """How often a judge is right about real pictures, and about such behind the autoencoder."""
    images = bench.rows("base").images
    chosen = [real[number] for number in drawn(len(real), REAL)]
    copies = back(bench.studio.file(OWN), images[[row for row, _ in chosen]])
    words = [(number, word) for number, (_, word) in enumerate(chosen)]
    return judged(judge, images, chosen), judged(judge, copies, words)


def judged(judge: Judge, images: Images, told: Sequence[Told]) -> float:
    """How often a judge finds the words that pictures were made with."""
    return share([judge(images[row]) == word for row, word in told])
