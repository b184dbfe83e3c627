"""The pictures of the documentation: one sheet for each thing that the starter models show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Images
from PIL.Image import Image

from quality.adapters import BARE, LIGHTS
from quality.probes import HELD_OUT, SCALES, SHEET, WEIGHTS
from quality.reconstruction import OWN as OWN_FILE
from quality.reconstruction import WARM, back
from quality.records import Bench
from quality.studio import OWN, Look
from sfumato.engine.pictures.sheet import Sheet, contact_sheet, draw_sheet

FEW = ("a cat", "a rocket", "a rose", "a house")
"""what is shown in every row of a comparison"""
STYLED = "checkpoints/starter-noto"
SHOWN = 6
"""columns of pictures that are not asked for by prompts"""

MOST = 400_000
"""bytes of a sheet; larger ones are saved in 256 colours"""

Column = tuple[str, str, Look]
"""label, what is put into a prompt (`{}`), and what it is painted with"""


@dataclass(frozen=True, slots=True)
class Drawn:
    """One sheet, and the files that it shows."""

    name: str
    draw: Callable[[Bench], Image]
    needs: tuple[str, ...] = (OWN_FILE,)


def compared(bench: Bench, columns: Sequence[Column], prompts: Sequence[str] = FEW) -> Image:
    """The prompts by row, the ways to paint them by column; a row has one seed."""
    paint = bench.studio.paint
    cells = [
        [_image(paint(form.format(prompt), seed, look=look)) for _, form, look in columns]
        for seed, prompt in enumerate(prompts, 1)
    ]
    return draw_sheet(Sheet(cells, [label for label, _, _ in columns], list(prompts)))


def _image(picture: NDArray[np.uint8]) -> Image:
    return Images.fromarray(picture)


def prompts(bench: Bench) -> Image:
    """Sixteen prompts."""
    painted = [_image(picture) for picture in bench.studio.each(SHEET)]
    return contact_sheet(painted, SHEET, columns=4)


def inkline(bench: Bench) -> Image:
    """The LoRA of ink, by weight."""
    return compared(bench, [_lora("inkline", weight) for weight in WEIGHTS])


def blobby(bench: Bench) -> Image:
    """The second LoRA, by weight."""
    return compared(bench, [_lora("blobby", weight) for weight in WEIGHTS[::2]])


def _lora(name: str, weight: float) -> Column:
    return f"{name} {weight:g}", f"{name}, {{}} <lora:{name}:{weight:g}>", OWN


def embeddings(bench: Bench) -> Image:
    """Words without and with the embeddings that teach them."""
    rows = [(word, look) for word in HELD_OUT for look in (BARE, OWN)]
    cells = [
        [_image(picture) for picture in bench.studio.each([f"a {word}"] * SHOWN, look=look)]
        for word, look in rows
    ]
    labels = [f"{'with' if look.shelf else 'without'} {word}" for word, look in rows]
    return draw_sheet(Sheet(cells, rows=labels))


def night(bench: Bench) -> Image:
    """The hypernetwork, by multiplier."""
    forms = [(f"night {weight:g}", f"{{}} <hypernet:night:{weight:g}>", OWN) for weight in LIGHTS]
    return compared(bench, forms)


def autoencoders(bench: Bench) -> Image:
    """Held-out pictures and what comes back of them; below by the warm one, where it is there."""
    held = bench.rows("validation").images[:SHOWN]
    files = [file for file in (OWN_FILE, WARM) if bench.studio.file(file).is_file()]
    sheets = [held, *(back(bench.studio.file(file), held) for file in files)]
    labels = ["held-out pictures", *(file.split("/")[1] for file in files)]
    return draw_sheet(Sheet([[_image(p) for p in sheet] for sheet in sheets], rows=labels))


def warm(bench: Bench) -> Image:
    """Paintings with the checkpoint's own VAE and with the warm one."""
    return compared(bench, [("own VAE", "{}", OWN), ("warmth", "{}", Look(vae=WARM))])


def averages(bench: Bench) -> Image:
    """The live and the averaged weights of one file."""
    live, ema = Look(bench.pruned), Look(bench.pruned, "ema")
    return compared(bench, [("live", "{}", live), ("averaged", "{}", ema)])


def checkpoints(bench: Bench) -> Image:
    """The two checkpoints."""
    other = Look(bench.studio.file(STYLED))
    return compared(bench, [("starter", "{}", OWN), ("starter-noto", "{}", other)])


def guidance(bench: Bench) -> Image:
    """Scales of classifier-free guidance."""
    cells = [
        [_image(bench.studio.paint(prompt, seed, cfg=scale)) for scale in SCALES]
        for seed, prompt in enumerate(FEW, 1)
    ]
    return draw_sheet(Sheet(cells, [f"CFG {scale:g}" for scale in SCALES], list(FEW)))


SHEETS = (
    Drawn("prompts", prompts),
    Drawn("vae", autoencoders),
    Drawn("cfg", guidance),
    Drawn("ema", averages, ("pruned",)),
    Drawn("checkpoints", checkpoints, (OWN_FILE, STYLED)),
    Drawn("inkline", inkline, (OWN_FILE, "loras/inkline")),
    Drawn("blobby", blobby, (OWN_FILE, "loras/blobby")),
    Drawn("embeddings", embeddings, (OWN_FILE, *(f"embeddings/{word}" for word in HELD_OUT))),
    Drawn("night", night, (OWN_FILE, "hypernetworks/night")),
    Drawn("warm", warm, (OWN_FILE, WARM)),
)


def save(image: Image, path: Path) -> None:
    """Write a sheet as PNG, with fewer colours where it would be too large."""
    image.save(path, optimize=True)
    if path.stat().st_size > MOST:
        image.quantize(256, dither=Images.Dither.NONE).save(path, optimize=True)
