"""The reader of numpy files: an archive of arrays (.npz) or one array (.npy)."""

from __future__ import annotations

import re
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import NoReturn

from sfumato.containers import dtype as types
from sfumato.containers.dtype import DType
from sfumato.containers.journal import Journal
from sfumato.containers.limits import DEFAULT, Limits
from sfumato.containers.model_file import NPZ, ModelFile
from sfumato.containers.source import Source
from sfumato.containers.tensor import Origin, Tensor
from sfumato.containers.text import escape
from sfumato.containers.torch.archive import read_archive, strictly
from sfumato.containers.torch.readable import Region, Span
from sfumato.containers.torch.views import View, c_strides, fortran_strides, tensor_of
from sfumato.errors import BadFile, Damaged, Dangerous, Unsupported

MAGIC = b"\x93NUMPY"
LONGEST_HEADER = 64 << 10

PAIR = re.compile(
    r"\s*(?P<quote>['\"])(?P<key>descr|fortran_order|shape)(?P=quote)\s*:\s*"
    r"(?P<value>'[^'\\]*'|\"[^\"\\]*\"|True|False|\[.*\]|\(\s*(?:\d+L?\s*(?:,\s*\d+L?\s*)*,?\s*)?\))"
    r"\s*(?:,|(?=\}))",
    re.DOTALL,
)
"""one entry of the dictionary that describes an array"""

NUMBERS: dict[str, DType] = {
    "b1": types.BOOL,
    **{f"i{size}": types.DTYPES[f"I{size * 8}"] for size in (1, 2, 4, 8)},
    **{f"u{size}": types.DTYPES[f"U{size * 8}"] for size in (1, 2, 4, 8)},
    **{f"f{size}": types.DTYPES[f"F{size * 8}"] for size in (2, 4, 8)},
    "c8": types.C64,
    "c16": types.C128,
}
"""numpy's names, without the byte order"""


@dataclass(frozen=True, slots=True)
class Description:
    """What stands before the numbers of an array."""

    descr: str
    fortran: bool
    shape: tuple[int, ...]
    start: int
    """first byte of the numbers"""


def read_npz(source: Source, limits: Limits = DEFAULT) -> ModelFile:
    """The arrays of a numpy file that hold numbers; the source closes with the result.

    Raises Dangerous or Unsupported for an array of Python objects, which is a pickle, and Damaged
    for a file that breaks the rules of its format.
    """
    notes: list[str] = []
    if source.size >= len(MAGIC) and source.read(0, len(MAGIC)) == MAGIC:
        regions: dict[str, Region] = {"tensor": Span(source, 0, source.size)}
    else:
        archive = strictly(read_archive(source, limits))
        strange = [entry.name for entry in archive.entries if not entry.name.endswith(".npy")]
        if strange:
            raise Unsupported(source.path, f"is a numpy archive with {escape(strange[0])} in it")
        regions = {e.name.removesuffix(".npy"): archive.region(e) for e in archive.entries}
        notes += archive.notes
    tensors: dict[str, Tensor] = {}
    for name, region in regions.items():
        array = _read_array(source, name, region, limits)
        if isinstance(array, Tensor):
            tensors[name] = array
        else:
            notes.append(array)
    resources = ExitStack()
    resources.enter_context(source)
    return ModelFile(
        source.path, NPZ, tensors, source.size, notes=tuple(notes), resources=resources
    )


def _read_array(source: Source, name: str, region: Region, limits: Limits) -> Tensor | str:
    """The array as a tensor, or a note on why it is left out."""
    text = _read_description(source, name, region)
    found = parse_description(text[0], text[1], limits)
    if isinstance(found, str):
        raise Damaged(source.path, f"the array {escape(name)} {found}")
    order, kind = found.descr[:1], found.descr[1:]
    if "O" in kind or found.descr.startswith("["):
        _refuse_objects(source, name, region, found, limits)
    dtype = NUMBERS.get(kind)
    if dtype is None or order not in ("<", ">", "|", "="):
        return f"the array {escape(name)} is of type {escape(found.descr)} and is left out"
    if found.start + dtype.nbytes(found.shape) != region.size:
        raise Damaged(
            source.path,
            f"the array {escape(name)} of {dtype} {list(found.shape)} needs "
            f"{dtype.nbytes(found.shape)} bytes and has {region.size - found.start}",
        )
    strides = (fortran_strides if found.fortran else c_strides)(found.shape)
    view = View(region, found.start, dtype, found.shape, strides, order == ">")
    plain = None if strides == c_strides(found.shape) else strides
    origin = Origin(name, region.size - found.start, 0, plain, file=str(source.path))
    return tensor_of(view, origin)


def _read_description(source: Source, name: str, region: Region) -> tuple[str, int]:
    """The text that describes an array, and where its numbers begin."""
    head = region.read(0, min(12, region.size))
    if len(head) < 12 or not head.startswith(MAGIC) or head[6] not in (1, 2, 3):
        raise Damaged(source.path, f"the array {escape(name)} does not begin as a numpy array")
    width = 2 if head[6] == 1 else 4
    length = int.from_bytes(head[8 : 8 + width], "little")
    start = 8 + width
    if length > min(LONGEST_HEADER, region.size - start):
        raise Damaged(source.path, f"the array {escape(name)} has a header of {length} bytes")
    raw = region.read(start, length)
    return raw.decode("utf-8" if head[6] == 3 else "latin-1", "backslashreplace"), start + length


def parse_description(text: str, start: int, limits: Limits) -> Description | str:
    """The dictionary that describes an array, or one clause on what is wrong with it."""
    values: dict[str, str] = {}
    at = 1
    while match := PAIR.match(text, at):
        if match["key"] in values:
            return "describes itself twice"
        values[match["key"]] = match["value"]
        at = match.end()
    if len(values) != 3 or text[:1] != "{" or text[at:].strip() != "}":
        return "has no description that can be read"
    descr, fortran, shape = values["descr"], values["fortran_order"], values["shape"]
    sizes = re.findall(r"\d+", shape)
    if descr[0] not in "'\"[" or fortran not in ("True", "False") or shape[0] != "(":
        return "has no description that can be read"
    if len(sizes) > limits.rank or any(len(size) > 18 for size in sizes):
        return "has a shape that cannot be"
    descr = descr if descr[0] == "[" else descr[1:-1]
    return Description(descr, fortran == "True", tuple(map(int, sizes)), start)


def _refuse_objects(
    source: Source, name: str, region: Region, found: Description, limits: Limits
) -> NoReturn:
    """Refuse an array of Python objects, once it is known what reading it would have executed."""
    from sfumato.containers.pickles.machine import run

    journal = Journal()
    size = min(region.size - found.start, limits.pickle_bytes)
    with suppress(BadFile):  # what was seen before the damage is in the journal
        run(
            region.read(found.start, size),
            path=source.path,
            where=f"array {escape(name)}",
            journal=journal,
            limits=limits,
        )
    if journal.dangerous:
        reason = f"the array {escape(name)} is a pickle that would call {journal.refused[0].name}"
        raise Dangerous(source.path, reason, journal=journal)
    reason = f"the array {escape(name)} holds Python objects instead of numbers"
    raise Unsupported(source.path, reason, journal=journal)
