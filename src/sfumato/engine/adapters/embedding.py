"""A textual-inversion embedding read from its file: vectors that stand for a name in a prompt."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sfumato.catalogue.adapters.embedding import LAYOUTS, MOST, Vectors
from sfumato.containers.arrays import Floats, array
from sfumato.containers.model_file import PICTURE
from sfumato.containers.open import open_model
from sfumato.containers.source import Source
from sfumato.containers.tensor import Tensor, Tensors
from sfumato.containers.text import escape
from sfumato.errors import Damaged, Unsupported

if TYPE_CHECKING:
    import torch

T5 = 4096
"""width of the vectors for SD3's third text encoder, which is left out"""

CLIP_PAIR = frozenset({768, 1280})
"""widths of SDXL's two text encoders"""

WIDTHS: Mapping[frozenset[int], str] = {
    frozenset({768}): "SD 1.x",
    frozenset({1024}): "SD 2.x",
    frozenset({1280}): "SDXL's second text encoder alone",
    CLIP_PAIR: "SDXL",
    CLIP_PAIR | {T5}: "SD 3",
    frozenset({T5}): "T5",
    frozenset({768, T5}): "Flux",
}
"""widths of an embedding's vectors → what it was made for"""

MOST_VECTORS = 1024

_CARRIED = re.compile(
    r"(?P<name>.+?)\.(?P<inner>string_to_param\..+|string_to_token\..+|emb_params|emp_params"
    r"|clip_[lgh](?:_out)?|t5xxl)",
    re.DOTALL,
)
"""an embedding's name and the key in a file of its own, in the key of a LoRA that carries it"""

_NUMBERED = re.compile(r"(?P<token>.+)_(?P<number>\d{1,3})", re.DOTALL)


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """Vectors that take the place of a name's tokens."""

    name: str
    """what calls it in a prompt"""
    path: Path
    """the file it is in: its own, or the LoRA that carries it"""
    sha256: str
    """of the whole file; empty for one that a LoRA carries"""
    widths: Mapping[int, Floats]
    """width of a text encoder → vectors (n, width) in its token table's space"""
    tensors: int = 1
    """tensors of the file that are its vectors"""
    total: int = 1
    """tensors of the file"""
    notes: tuple[str, ...] = ()

    @property
    def vectors(self) -> int:
        """Tokens that it takes in a prompt."""
        return len(self.widths[min(self.widths)])  # all alike, but for T5's

    def rows(self, width: int) -> torch.Tensor:
        """The vectors (n, width) for a text encoder, float32 on the CPU; KeyError for no such."""
        import torch

        return torch.from_numpy(self.widths[width])  # pyright: ignore[reportUnknownMemberType]

    def misfit(self, needed: Iterable[int]) -> str:
        """Why it is of no use to text encoders of these widths; empty where it is of use."""
        wanted, own = frozenset(needed), frozenset(self.widths)
        clip = own - {T5} if own >= CLIP_PAIR else own
        # The refiner has the second text encoder alone, and A1111 keeps the base's embeddings.
        if clip == wanted or (len(clip) == 2 and wanted == frozenset({max(clip)})):
            return ""
        made = f", made for {WIDTHS[own]}," if own in WIDTHS else ""
        return f"its vectors are {_wide(own)} wide{made} and this model takes {_wide(wanted)}"


def _wide(widths: Iterable[int]) -> str:
    return " + ".join(str(width) for width in sorted(widths))


def read_embedding(path: Path) -> Embedding:
    """Read an embedding in any layout.

    Its name is the file's, as in A1111; the stored name only where it is inside a picture. Several
    tokens of one file follow each other. Raises Unsupported for a file that is no embedding, and
    Damaged for vectors of a wrong shape, or with NaN in them.
    """
    with open_model(path) as model:
        stored = model.extras.get("name") if model.container is PICTURE else None
        name = stored if isinstance(stored, str) and stored else path.stem
        return _embedding(model.tensors, name, path, sha256_of(path))


def sha256_of(path: Path) -> str:
    """SHA-256 of a small file; empty for a folder."""
    if not path.is_file():
        return ""
    digest = hashlib.sha256()
    with Source(path) as source:
        for chunk in source.chunks(0, source.size):
            digest.update(chunk)
    return digest.hexdigest()


def _embedding(tensors: Tensors, name: str, path: Path, sha256: str) -> Embedding:
    layout, vectors = _vectors(tensors, path)
    keys, notes = list(vectors.keys), list[str]()
    if layout == "a1111" and len(keys) > 1:
        notes.append(f"it holds {len(keys)} words, of which the first is used, as in A1111")
        del keys[1:]
    if layout == "diffusers":
        keys.sort(key=_number)
    piles: dict[int, list[Floats]] = {}
    for key in keys:
        rows = _rows(tensors[key], key, path)
        piles.setdefault(rows.shape[1], []).append(rows)
    counts = {sum(map(len, pile)) for width, pile in piles.items() if width != T5}
    if len(counts) > 1:
        shown = " and ".join(str(count) for count in sorted(counts))
        raise Damaged(path, f"its text encoders get different numbers of vectors: {shown}")
    widths = {width: _joined(pile) for width, pile in piles.items()}
    return Embedding(name, path, sha256, widths, len(keys), len(tensors), tuple(notes))


def _vectors(tensors: Tensors, path: Path) -> tuple[str, Vectors]:
    names = list(tensors)
    for layout in LAYOUTS if 0 < len(names) <= MOST else ():
        found = layout.find(names)
        if found is not None and found.keys:
            return layout.name, found
    if len(names) == 1 and names[0] != "tensor":  # a dictionary of one tensor, under any key
        return "diffusers", Vectors(names)
    raise Unsupported(path, "is no embedding: no vectors in any layout that is known")


def _number(key: str) -> tuple[str, int]:
    """`<cat>`, `<cat>_1`, `<cat>_2` …: the tenth comes after the ninth."""
    match = _NUMBERED.fullmatch(key)
    return (match["token"], int(match["number"])) if match else (key, 0)


def _rows(tensor: Tensor, key: str, path: Path) -> Floats:
    import numpy as np

    shape = tensor.shape if len(tensor.shape) != 1 else (1, *tensor.shape)
    fits = len(shape) == 2 and 0 < shape[0] <= MOST_VECTORS and 0 < shape[1] <= 1 << 14
    if not fits or tensor.dtype.kind != "float":
        raise Damaged(
            path, f"{escape(key)} is {tensor.dtype} {list(tensor.shape)}, expected vectors (n, "
            "width) of floats"
        )  # fmt: skip
    rows = array(tensor).astype("<f4").reshape(shape)
    if not np.isfinite(rows).all():
        raise Damaged(path, f"{escape(key)} holds NaN or infinite numbers")
    return rows


def _joined(pile: Sequence[Floats]) -> Floats:
    import numpy as np

    return pile[0] if len(pile) == 1 else np.concatenate(pile)


def carried_embeddings(
    carried: Mapping[str, Mapping[str, Tensor]], path: Path
) -> tuple[Embedding, ...]:
    """The embeddings inside a LoRA (`Lora.embeddings`), each of use while the LoRA is.

    carried: name → tensors under the keys of an embedding's own file. Raises what `read_embedding`
    does, with `path` as the file.
    """
    piles: dict[str, dict[str, Tensor]] = {}
    for name, tensors in carried.items():
        for key, tensor in tensors.items():
            match = _CARRIED.fullmatch(f"{name}.{key}")  # a name may have dots in it
            called, inner = (match["name"], match["inner"]) if match else (name, key)
            piles.setdefault(called, {})[inner] = tensor
    return tuple(_embedding(pile, name, path, "") for name, pile in piles.items())
