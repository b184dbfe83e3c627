"""Draw the pictures that the starter models learn from, with their captions, as array files.

    python scripts/starter/build.py PACKAGES FOLDER

PACKAGES is the `node_modules` of the icon packages named in recipes/README.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from sfumato.training.data.arrays import write_arrays
from starter.colours import HUES, WORDS, main_colour, recoloured
from starter.icons import SETS, Bytes, Floats, Icons, averaged, over

SIDE = 128
HELD_OUT = {"polarbear": "1f43b-200d-2744", "jackolantern": "1f383"}
"""what embeddings learn: the word for it, which the base model never reads, and its code"""
VALIDATED = 48
"""subjects whose drawing in the second style is never trained on"""

GROUNDS = {
    "red": (222, 76, 74), "orange": (245, 156, 66), "yellow": (250, 218, 94),
    "green": (112, 190, 110), "blue": (92, 154, 226), "purple": (158, 112, 206),
    "pink": (246, 164, 196), "black": (34, 34, 38), "gray": (150, 152, 156),
    "brown": (140, 100, 70),
}  # fmt: skip
WHITE = (255, 255, 255)
NIGHT = (22, 28, 66)
COLOURS = (*HUES, "black", "white", "brown")


@dataclass(frozen=True)
class Subject:
    """One thing that is painted."""

    code: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """One picture with its captions."""

    name: str
    image: Bytes
    captions: tuple[str, ...]
    repeats: int = 1


def subjects(path: Path) -> list[Subject]:
    """The list of recipes/subjects.txt."""
    lines = [line for line in path.read_text("utf-8").splitlines() if line and line[0] != "#"]
    parts = [[part.strip() for part in line.split("|")] for line in lines]
    return [Subject(code, tuple(names)) for code, *names in parts]


def with_article(words: str) -> str:
    """`words` with the article that fits."""
    plural = words.endswith("s") and not words.endswith(("ss", "us", "is"))
    if plural:
        return words
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def bare(name: str) -> str:
    """A name without article and without words for colours."""
    words = name.removeprefix("a ").removeprefix("an ").removeprefix("the ").split()
    return " ".join(word for word in words if word not in WORDS)


def in_colour(name: str, colour: str) -> str:
    """ "an apple" in blue is "a blue apple"."""
    return with_article(f"{colour} {bare(name)}")


def named(subject: Subject, drawing: Floats) -> list[str]:
    """What a drawing is called: its first name thrice, the others, and with its own colour."""
    first = subject.names[0]
    names = [first] * 3 + list(subject.names[1:])
    colour, share = main_colour(drawing)
    if share > 0.6 and not set(first.split()) & set(WORDS):
        names += [in_colour(first, colour)]
    return names


def rows_of(subject: Subject, drawing: Floats, style: str, random: Random) -> Iterator[Row]:
    """A drawing as it is, in other colours, and on other backgrounds."""
    word = f", {style} style" if style else ""
    small = averaged(drawing, SIDE)
    names = named(subject, drawing)
    yield Row(f"{subject.code} {style}", over(small, WHITE), _told(names, word), 3)
    for ground in random.sample(sorted(GROUNDS), 3):
        yield _on(subject, small, names, word, ground)
    colour, share = main_colour(drawing)
    if share < 0.55 or colour in ("white", "black", "gray"):
        return
    for target in COLOURS:
        if target == colour:
            continue
        other = averaged(recoloured(drawing, target), SIDE)
        names = [in_colour(subject.names[0], target)]
        yield Row(f"{subject.code} {style} {target}", over(other, WHITE), _told(names, word))
        if random.random() < 0.3:
            yield _on(subject, other, names, word, random.choice(sorted(GROUNDS)))


def _on(subject: Subject, small: Floats, names: list[str], word: str, ground: str) -> Row:
    told = [f"{name} on {with_article(ground)} background" for name in names]
    image = over(small, GROUNDS[ground])
    return Row(f"{subject.code}{word} {names[0]} on {ground}", image, _told(told, word))


def _without_style(captions: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(caption.replace(", noto style", "") for caption in captions)


def _told(names: list[str], word: str) -> tuple[str, ...]:
    return tuple(name + word for name in names)


def write(path: Path, rows: list[Row]) -> None:
    """Write one array file."""
    images = np.stack([row.image for row in rows])
    captions = [row.captions for row in rows]
    write_arrays(path, images, captions, [row.name for row in rows],
                 repeats=[row.repeats for row in rows], force=True)  # fmt: skip
    print(f"{path.name}: {len(rows)} pictures, {sum(row.repeats for row in rows)} in an epoch")


def main() -> None:
    """Draw everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("packages", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--subjects", type=Path, default=Path("recipes/subjects.txt"))
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    chosen = subjects(arguments.subjects)
    icons = {each.name: Icons(arguments.packages, each) for each in SETS}
    drawn = {
        name: {s.code: d for s in chosen if (d := opened.draw(s.code)) is not None}
        for name, opened in icons.items()
    }
    _base(arguments.folder, chosen, drawn)
    _styles(arguments.folder, chosen, drawn)
    for name, code in HELD_OUT.items():
        coloured = [icons[each] for each in ("flat", "noto", "blob")]
        pictures = [d for opened in coloured if (d := opened.draw(code)) is not None]
        _held_out(arguments.folder / f"{name}.safetensors", name, pictures)


Drawn = dict[str, dict[str, Floats]]


def _base(folder: Path, chosen: list[Subject], drawn: Drawn) -> None:
    """The two styles of the base model, and what is held back to measure it."""
    random = Random(7)
    held = {
        s.code for s in random.sample([s for s in chosen if s.code in drawn["noto"]], VALIDATED)
    }
    rows, kept, second = list[Row](), list[Row](), list[Row]()
    for subject in chosen:
        if (drawing := drawn["flat"].get(subject.code)) is not None:
            rows += rows_of(subject, drawing, "", random)
        if (drawing := drawn["noto"].get(subject.code)) is None:
            continue
        found = list(rows_of(subject, drawing, "noto", random))
        plain = [replace(row, captions=_without_style(row.captions)) for row in found]
        if subject.code in held:
            kept.append(found[0])
        else:
            rows += found
        second += plain
    write(folder / "base.safetensors", rows)
    write(folder / "validation.safetensors", kept)
    write(folder / "noto.safetensors", second)


def _styles(folder: Path, chosen: list[Subject], drawn: Drawn) -> None:
    """What LoRAs and the hypernetwork learn: ink, blobs, and everything at night."""
    ink, blob, night = list[Row](), list[Row](), list[Row]()
    for subject in chosen:
        plain = with_article(bare(subject.names[0]) or "heart")
        if (drawing := drawn["ink"].get(subject.code)) is not None:
            ink.append(
                Row(subject.code, over(averaged(drawing, SIDE), WHITE), (f"inkline, {plain}",))
            )
        if (drawing := drawn["blob"].get(subject.code)) is not None:
            names = (f"blobby, {subject.names[0]}",)
            blob.append(Row(subject.code, over(averaged(drawing, SIDE), WHITE), names))
        if (drawing := drawn["flat"].get(subject.code)) is not None:
            night.append(Row(subject.code, over(averaged(drawing, SIDE), NIGHT), subject.names[:1]))
    write(folder / "ink.safetensors", ink)
    write(folder / "blob.safetensors", blob)
    write(folder / "night.safetensors", night)


def _held_out(path: Path, name: str, drawings: list[Floats]) -> None:
    rows = [Row(f"{name} {i}", over(averaged(d, SIDE), WHITE), (with_article(name),))
            for i, d in enumerate(drawings)]  # fmt: skip
    grounds = ("blue", "green", "yellow")
    rows += [Row(f"{name} {i} {g}", over(averaged(drawings[i % len(drawings)], SIDE), GROUNDS[g]),
                 (f"{with_article(name)} on {with_article(g)} background",))
             for i, g in enumerate(grounds)]  # fmt: skip
    write(path, rows)


if __name__ == "__main__":
    main()
