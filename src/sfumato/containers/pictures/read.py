"""Embeddings inside pictures, as A1111 makes them: read from the text of a PNG, or its pixels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, NoReturn

from sfumato.containers.limits import DEFAULT, Limits
from sfumato.containers.model_file import PICTURE, ModelFile
from sfumato.containers.pictures.chunks import MAGIC, Png, damaged, read_png
from sfumato.containers.pictures.json_form import (
    MOST,
    PayloadError,
    from_base64,
    parse_payload,
    to_tree,
)
from sfumato.containers.pictures.webp import WebP, read_webp
from sfumato.containers.pictures.write import KEYWORD
from sfumato.containers.pictures.write import plan_picture as plan_picture
from sfumato.containers.source import Source
from sfumato.containers.strict_json import Json
from sfumato.containers.torch.unwrap import flatten
from sfumato.errors import Damaged, NotAModel

if TYPE_CHECKING:
    from sfumato.containers.pictures.pixels import Pixels


@dataclass(slots=True)
class Found:
    """What the two carriers of an embedding gave."""

    text: Json = None
    pixels: Json = None
    text_fault: str = ""
    """why the text was not read; empty where it was, or where there is none"""
    pixel_fault: str = ""
    """why the pixels were not read"""
    spoilt: bool = False
    """True where the pixels did hide something"""
    notes: list[str] = field(default_factory=list[str])


def read_picture(source: Source, limits: Limits = DEFAULT) -> ModelFile:
    """The embedding in an open picture, which closes with the result.

    Names and values are those of the .pt file that A1111 would have written: the vectors are
    `string_to_param.*`. The text of a PNG is read first, as in A1111; the pixels tell where there
    is none, and are compared where there is. Raises NotAModel for a picture that is just a picture.
    """
    picture = read_png(source, limits) if source.read(0, 8) == MAGIC else read_webp(source, limits)
    found = Found()
    _look_at_text(source, picture, found)
    _look_at_pixels(source, picture, found)
    value = found.text if found.text is not None else found.pixels
    if value is None:
        _refuse(source, picture, found)
    try:
        tree = to_tree(value, limits)
    except PayloadError as error:
        raise damaged(source, str(error)) from error
    flat = flatten(tree, lambda reason: Damaged(source.path, reason), limits)
    resources = ExitStack()
    resources.enter_context(source)
    return ModelFile(
        path=source.path,
        container=PICTURE,
        tensors=flat.tensors,
        size=source.size,
        extras=flat.extras,
        wrapper=flat.wrapper,
        tree=tree,
        notes=(*found.notes, *_notes(picture, found), *flat.notes),
        resources=resources,
    )


def _look_at_text(source: Source, picture: Png | WebP, found: Found) -> None:
    texts = picture.named(KEYWORD)
    if len(set(texts)) > 1:
        raise damaged(source, f"holds {len(texts)} embeddings that differ: programs would disagree")
    if len(texts) > 1:
        found.notes.append(f"the embedding stands {len(texts)} times in its text")
    if texts:
        try:
            found.text = parse_payload(from_base64(texts[0]))
        except PayloadError as error:
            found.text_fault = str(error)


def _look_at_pixels(source: Source, picture: Png | WebP, found: Found) -> None:
    if not picture.bare:
        large = not picture.header.searched
        found.pixel_fault = "is too large to be searched" if large else "is not lossless"
        return
    from sfumato.containers.pictures.pixels import NoPayloadError, SpoiltPayloadError, extract

    try:
        found.pixels = parse_payload(extract(_decode(source, picture), MOST))
    except SpoiltPayloadError as error:
        found.pixel_fault, found.spoilt = str(error), True
    except NoPayloadError as error:
        found.pixel_fault = str(error)
    except PayloadError as error:
        found.pixel_fault, found.spoilt = str(error), True


def _decode(source: Source, picture: Png | WebP) -> Pixels:
    """Pixels of a picture whose size has been checked."""
    import numpy as np
    from PIL import Image

    try:
        with Image.open(BytesIO(picture.bare), formats=("PNG", "WEBP")) as image:
            return np.asarray(image.convert("RGB"))
    # All that Pillow raises for broken pictures; a SyntaxError is one of its own.
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise damaged(source, f"cannot be decoded: {error}") from error


def _refuse(source: Source, picture: Png | WebP, found: Found) -> NoReturn:
    if found.text_fault:
        raise damaged(source, found.text_fault)
    if found.spoilt:
        raise damaged(source, found.pixel_fault)
    size = f"{picture.header.width} × {picture.header.height}"
    made = picture.made_by
    raise NotAModel(
        source.path,
        f"is a picture of {size} pixels, not a model: no embedding is in it"
        + (f"; its text tells how it was made ({made})" if made else ""),
    )


def _notes(picture: Png | WebP, found: Found) -> Iterator[str]:
    if found.text is None:
        why = f", since the text {found.text_fault}" if found.text_fault else ""
        yield f"the embedding was read from the pixels{why}"
    elif found.pixels is None:
        yield f"the embedding is only in the text: the picture {found.pixel_fault}"
    elif found.text != found.pixels:
        yield "the embeddings in the text and in the pixels differ; the one in the text is shown"
    if picture.trailing:
        yield f"{picture.trailing} bytes follow the end of the picture"
