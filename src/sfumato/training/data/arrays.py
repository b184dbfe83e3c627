"""Pictures in one array file: a safetensors file of bytes, with the captions in its metadata."""

from __future__ import annotations

import json
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from sfumato.containers.arrays import array, tensor_from
from sfumato.containers.open import open_model
from sfumato.containers.save_file import save_file
from sfumato.errors import Damaged, Refused
from sfumato.training.data.captions import with_word
from sfumato.training.data.items import Found, Item

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from PIL.Image import Image

IMAGES = "images"
CAPTIONS = "captions"
NAMES = "names"
REPEATS = "repeats"


def read_arrays(path: Path, *, trigger: str = "", regularisation: bool = False) -> Found:
    """The pictures of an array file: tensor `images` (n, h, w, 3) of bytes, metadata `captions`.

    `captions` is a JSON list of n texts, or of n lists of texts, one of which is drawn each time;
    `names` and `repeats` may be there, and say how a picture is called and how often it is drawn.
    Raises Damaged where that is not what the file holds.
    """
    with open_model(path) as model:
        found = model.get(IMAGES)
        if found is None or found.dtype.name != "U8" or found.shape[3:] != (3,):
            raise Damaged(path, "holds no tensor `images` of bytes, (pictures, height, width, 3)")
        images = cast("NDArray[np.uint8]", array(found)).copy()
        captions = _texts(path, model.metadata.get(CAPTIONS, ""), len(images))
        names = _texts(path, model.metadata.get(NAMES, "null"), len(images))
        repeats = _counts(path, model.metadata.get(REPEATS, ""), len(images))
    if not len(images):
        raise Refused(f"{path}: holds no picture")
    width, height = images.shape[2], images.shape[1]
    items = tuple(
        Item(
            names[row][0] if names[row] else f"row {row}",
            blake2b(images[row].tobytes(), digest_size=16).hexdigest(),
            (width, height),
            tuple(with_word(text, trigger) for text in captions[row] or ("",)),
            partial(_picture, images, row),
            repeats=repeats[row],
            regularisation=regularisation,
        )
        for row in range(len(images))
    )
    notes = [f"{len(items)} pictures of {width}×{height} pixels in {path.name}"]
    silent = sum(not any(item.captions) for item in items)
    if silent:
        notes.append(f"{silent} of {len(items)} have no caption at all: give a trigger word")
    return Found(items, tuple(notes))


def _picture(images: NDArray[np.uint8], row: int) -> Image:
    from PIL import Image

    return Image.fromarray(images[row])


def _texts(path: Path, text: str, count: int) -> list[tuple[str, ...]]:
    try:
        rows = cast("object", json.loads(text))
    except ValueError as error:
        raise Damaged(path, "holds no captions: its metadata `captions` is not JSON") from error
    if rows is None:
        return [()] * count
    if not isinstance(rows, list) or len(cast("list[object]", rows)) != count:
        raise Damaged(path, f"holds {count} pictures, and its metadata does not list as many texts")
    return [_row(path, row) for row in cast("list[object]", rows)]


def _row(path: Path, row: object) -> tuple[str, ...]:
    """One text, or several of which one is drawn each time."""
    texts = cast("list[object]", row) if isinstance(row, list) else [row]
    said = tuple(text for text in texts if isinstance(text, str))
    if len(said) != len(texts):
        raise Damaged(path, "has captions or names in its metadata that are no texts")
    return said


def _counts(path: Path, text: str, count: int) -> list[int]:
    try:
        rows = cast("list[object]", json.loads(text)) if text else [1] * count
    except ValueError as error:
        raise Damaged(path, "has metadata `repeats` that is not JSON") from error
    whole = [row for row in rows if isinstance(row, int) and row > 0]
    if len(whole) != count:
        raise Damaged(path, f"holds {count} pictures, and its `repeats` are not as many counts")
    return whole


def write_arrays(
    path: Path,
    images: NDArray[np.uint8],
    captions: Sequence[Sequence[str]],
    names: Sequence[str],
    *,
    repeats: Sequence[int] = (),
    force: bool = False,
) -> None:
    """Write pictures (n, h, w, 3) with their captions as an array file."""
    metadata = {
        CAPTIONS: json.dumps([list(texts) for texts in captions], ensure_ascii=False),
        NAMES: json.dumps(list(names), ensure_ascii=False),
        REPEATS: json.dumps(list(repeats) or [1] * len(captions)),
    }
    save_file(path, {IMAGES: tensor_from(images)}, metadata, force=force)
