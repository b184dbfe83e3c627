"""The writer of picture embeddings: a PNG that A1111 reads by either of the two carriers."""

from __future__ import annotations

import zlib
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from sfumato.containers.layout import Progress
from sfumato.containers.model_file import Key, Tree
from sfumato.containers.pictures.chunks import MAGIC, chunk
from sfumato.containers.tensor import Tensor, Tensors
from sfumato.containers.text import escape
from sfumato.errors import Refused, Unverified

if TYPE_CHECKING:
    from sfumato.containers.pictures.pixels import Pixels

KEYWORD = "sd-ti-embedding"
"""of the text chunk that holds the embedding"""

VECTORS = "string_to_param.*"
"""how a1111 names the vectors of an embedding"""

TOKEN = {"*": 265}
"""every embedding of A1111 has this entry; 265 is the number of the token `*`"""

PAIR = ({"clip_l", "clip_g"}, {"clip_l", "clip_g", "t5xxl"})
"""the tensors of an embedding for several text encoders"""

NUMBER = 80
"""bytes that one number may take in both carriers together"""

SPARE = 2 << 20
"""bytes for everything else: the card, the names"""

MOST = 4_000_000
"""numbers; the largest embeddings have a tenth"""


@dataclass(slots=True)
class PictureLayout:
    """A picture embedding before it is drawn."""

    tree: dict[Key, Tree]
    tensors: Tensors
    nbytes: int
    """an upper bound: how well numbers compress is known when they have been"""
    digests: dict[str, int] = field(default_factory=dict[str, int])

    def emit(self, sink: BinaryIO, progress: Progress) -> None:
        """Draw the card, hide the embedding in it, and write the file."""
        picture = _draw(self.tree)
        sink.write(picture)
        progress(len(picture))
        for name, tensor in self.tensors.items():
            self.digests[name] = zlib.crc32(tensor.read())


def plan_picture(
    tensors: Tensors, metadata: Mapping[str, str], *, tree: Tree = None
) -> PictureLayout:
    """Plan a picture of one embedding: `string_to_param.*`, or `clip_l` with `clip_g`, in F32.

    Beside the vectors go the plain values of `tree` (`name`, `step`, `sd_checkpoint` …), else the
    metadata of the same names. Raises Refused for anything but an embedding.
    """
    names = set(tensors)
    if names != {VECTORS} and names not in PAIR:
        shown = ", ".join(escape(name, 60) for name in list(tensors)[:3])
        raise Refused(
            f"a picture holds one embedding, {VECTORS} or clip_l with clip_g; this has "
            f"{len(tensors)} tensors ({shown})"
        )
    for name, tensor in tensors.items():
        if tensor.dtype.name != "F32" or len(tensor.shape) != 2 or not 0 < tensor.size <= MOST:
            raise Refused(
                f"{escape(name)}: a picture holds vectors in F32, and this is {tensor.dtype} "
                f"{list(tensor.shape)}"
            )
    size = sum(tensor.size for tensor in tensors.values())
    return PictureLayout(_embedding(tensors, metadata, tree), tensors, NUMBER * size + SPARE)


def _embedding(tensors: Tensors, metadata: Mapping[str, str], tree: Tree) -> dict[Key, Tree]:
    """The nested value as A1111 keeps it."""
    beside: Mapping[Key, Tree] = tree if isinstance(tree, dict) else {**metadata}
    name, step = beside.get("name"), beside.get("step")
    vectors: dict[Key, Tree] = {}
    if VECTORS in tensors:
        vectors = {"string_to_token": {**TOKEN}, "string_to_param": {"*": tensors[VECTORS]}}
    else:
        vectors = {**tensors}
    checkpoint = {key: beside.get(key) for key in ("sd_checkpoint", "sd_checkpoint_name")}
    return {
        **vectors,
        "name": name if isinstance(name, str) and name else "embedding",
        "step": _step(step),
        **{key: value if isinstance(value, str) else None for key, value in checkpoint.items()},
    }


def _step(step: Tree) -> int | None:
    if isinstance(step, str) and step.isascii() and step.isdigit() and len(step) < 19:
        return int(step)
    return step if isinstance(step, int) else None


def _draw(tree: dict[Key, Tree]) -> bytes:
    from sfumato.containers.arrays import array
    from sfumato.containers.pictures.card import draw_card
    from sfumato.containers.pictures.json_form import from_tree
    from sfumato.containers.pictures.pixels import NoPayloadError, embed, extract

    try:
        payload = from_tree(tree)
    except ValueError as error:
        raise Refused(
            "the embedding has numbers that are not finite: a picture has none"
        ) from error
    first = next(tensor for tensor in _leaves(tree))
    vectors = array(first).astype("f4")
    card = draw_card(str(tree["name"]), _lines(tree, first), vectors)
    pixels = embed(payload, card, vectors[0].tolist())
    try:
        hidden = extract(pixels, len(payload))
    except NoPayloadError as error:
        raise Unverified(f"the embedding cannot be read out of the picture: it {error}") from error
    if hidden != payload:
        raise Unverified("the embedding reads out of the picture otherwise than it went in")
    return _png(pixels, payload)


def _leaves(tree: Tree) -> list[Tensor]:
    if isinstance(tree, Tensor):
        return [tree]
    if isinstance(tree, dict):
        return [leaf for child in tree.values() for leaf in _leaves(child)]
    return []


def _lines(tree: dict[Key, Tree], tensor: Tensor) -> tuple[str, ...]:
    """What the card says beneath the name."""
    count, width = tensor.shape
    vectors = f"{count} vector{'s' if count > 1 else ''} of {width}"
    step, checkpoint = tree["step"], tree["sd_checkpoint_name"]
    lines = (vectors, "" if step is None else f"step {step}", str(checkpoint or ""))
    return tuple(line for line in lines if line)


def _png(pixels: Pixels, payload: bytes) -> bytes:
    height, width, _ = pixels.shape
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\0\0\0"
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    return b"".join(
        (
            MAGIC,
            chunk(b"IHDR", header),
            chunk(b"tEXt", KEYWORD.encode() + b"\0" + b64encode(payload)),
            chunk(b"IDAT", zlib.compress(rows, 6)),
            chunk(b"IEND", b""),
        )
    )
