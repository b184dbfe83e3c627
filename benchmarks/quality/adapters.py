"""What LoRAs, embeddings and the hypernetwork change."""

from __future__ import annotations

import numpy as np

from quality.distances import distances, ranks
from quality.judges import luminance, paper, saturation
from quality.probes import THINGS, WEIGHTS
from quality.records import Bench, Record, arrows, falls, percent, share
from quality.studio import OWN, Look

LIGHTS = (0.0, 0.5, 1.0)
"""multipliers of the hypernetwork"""
AIM_NIGHT = 0.8
BARE = Look(shelf=False)


def with_lora(name: str, weight: float) -> list[str]:
    """The prompts of all things with a LoRA and its word."""
    return [f"{name}, {thing} <lora:{name}:{weight:g}>" for thing in THINGS]


def with_hypernetwork(weight: float) -> list[str]:
    """The prompts of all things with the hypernetwork."""
    return [f"{thing} <hypernet:night:{weight:g}>" for thing in THINGS]


def inkline(bench: Bench) -> list[Record]:
    """Saturation by weight of the LoRA of black ink."""
    means = [
        float(np.mean([saturation(p) for p in bench.studio.each(with_lora("inkline", weight))]))
        for weight in WEIGHTS
    ]
    real = float(np.mean([saturation(picture) for picture in bench.rows("ink").images]))
    return [
        Record(
            "lora inkline", f"{arrows([100 * mean for mean in means])} %", "falls at every step",
            falls(means),
            f"Mean saturation (strongest channel less weakest) of {len(THINGS)} prompts at weights "
            f"{', '.join(f'{weight:g}' for weight in WEIGHTS)}; its training pictures have "
            f"{100 * real:.1f} %.",
            {"saturation": means, "training pictures": real},
        )
    ]  # fmt: skip


def blobby(bench: Bench) -> list[Record]:
    """Distance to the training pictures of the second LoRA, without and with it."""
    rows = bench.rows("blob")
    own = rows.images[[rows.called(f"blobby, {thing}")[0] for thing in THINGS]]
    without, within = (
        float(np.diag(distances(bench.studio.each(with_lora("blobby", weight)), own)).mean())
        for weight in (0.0, 1.0)
    )
    return [
        Record(
            "lora blobby", f"{without:.1f} → {within:.1f}", "falls", within < without,
            f"Mean distance of {len(THINGS)} paintings to the LoRA's own picture of the same "
            "thing, in 255ths at 16 × 16 pixels, at weights 0 and 1.",
            {"without": without, "with": within},
        )
    ]  # fmt: skip


def embedding(bench: Bench, word: str) -> list[Record]:
    """Whether a word that an embedding teaches paints its held-out subject."""
    rows, base = bench.rows(word), bench.rows("base")
    held = rows[[row for row, name in enumerate(rows.names) if name.split()[-1].isdecimal()]]
    known = [base.plain(style) for style in ("", "noto")]
    owners = [*(code for each in known for code in each.codes), *(word for _ in held.names)]
    candidates = np.concatenate([*(each.images for each in known), held.images])
    count, hits, means = 2 * bench.seeds, list[int](), list[float]()
    for look in (BARE, OWN):
        painted = bench.studio.each([f"a {word}"] * count, look=look)
        found = ranks(distances(painted, candidates), owners, [word] * count)
        hits.append(sum(rank == 0 for rank in found))
        means.append(float(distances(painted, held.images).min(1).mean()))
    return [
        Record(
            f"embedding {word}", f"{hits[0]} → {hits[1]} of {count}; distance {arrows(means)}",
            "more, and nearer", hits[1] > hits[0] and means[1] < means[0],
            f"“a {word}” without and with the embedding, {count} seeds: how often the held-out "
            f"subject's pictures are the nearest among those of {len(set(owners))} subjects in two "
            "styles, and the mean distance to them.",
            {"hits without": hits[0], "hits with": hits[1],
             "distance without": means[0], "distance with": means[1]},
        )
    ]  # fmt: skip


def polarbear(bench: Bench) -> list[Record]:
    """The first embedding."""
    return embedding(bench, "polarbear")


def jackolantern(bench: Bench) -> list[Record]:
    """The second embedding."""
    return embedding(bench, "jackolantern")


def night(bench: Bench) -> list[Record]:
    """Brightness and paper by multiplier of the hypernetwork."""
    sheets = [bench.studio.each(with_hypernetwork(weight)) for weight in LIGHTS]
    means = [float(np.mean([luminance(picture) for picture in sheet])) for sheet in sheets]
    dark = [share([paper(picture) == "night" for picture in sheet]) for sheet in sheets]
    real = share([paper(picture) == "night" for picture in bench.rows("night").images])
    return [
        Record(
            "hypernetwork night",
            f"brightness {arrows([100 * mean for mean in means], 0)} %; "
            f"night {' → '.join(map(percent, dark))}",
            f"falls at every step; night ≥ {percent(AIM_NIGHT)}",
            falls(means) and dark[-1] >= AIM_NIGHT,
            f"Mean brightness of {len(THINGS)} prompts at "
            f"{', '.join(f'{weight:g}' for weight in LIGHTS)}, and how often the border's "
            f"colour is nearest to dark blue among twelve; so it is in {percent(real)} of its "
            "training pictures.",
            {"brightness": means, "night": dark, "judge": real},
        )
    ]  # fmt: skip
