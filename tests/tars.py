"""The oldest torch files, written by hand: tars of pickles, of which torch only has the reader."""

from __future__ import annotations

import io
import pickle
import tarfile
from collections import OrderedDict
from struct import pack

import torch

ROOT = torch.arange(12, dtype=torch.float32)


class ById(pickle.Pickler):
    """Writes a tensor as its number, as torch 0.1 did."""

    def persistent_id(self, obj: object) -> object:
        return obj.number if isinstance(obj, Numbered) else None


class Numbered:
    def __init__(self, number: int) -> None:
        self.number = number


def dumps(value: object) -> bytes:
    buffer = io.BytesIO()
    ById(buffer, 2).dump(value)
    return buffer.getvalue()


def storages(
    count: object = 1, elements: int = 12, numbers: bytes | None = None,
    kind: object = torch.FloatStorage, views: object = None, number: int = 100,
) -> bytes:  # fmt: skip
    raw = ROOT.numpy().tobytes() if numbers is None else numbers
    views = [(101, 100, 4, 8)] if views is None else views
    return b"".join(
        (dumps(count), dumps((number, "cpu", kind)), pack("<q", elements), raw, dumps(views))
    )


def one_tensor(
    number: int, storage: int, shape: tuple[int, ...], strides: tuple[int, ...], offset: int,
    rank: int | None = None, kind: object = torch.FloatTensor,
) -> bytes:  # fmt: skip
    rank = len(shape) if rank is None else rank
    head = dumps((number, storage, kind)) + pack("<ii", rank, 0)
    return head + pack(f"<{2 * len(shape) + 1}q", *shape, *strides, offset)


TENSORS = (
    dumps(3)
    + one_tensor(1, 100, (3, 4), (4, 1), 0)
    + one_tensor(2, 100, (4, 3), (1, 4), 0)
    + one_tensor(3, 101, (2,), (2,), 1)
)
VALUE = OrderedDict(w=Numbered(1), turned=Numbered(2), view=Numbered(3), again=Numbered(1), step=5)


def tar(members: dict[str, bytes], kind: int = tarfile.PAX_FORMAT, **facts: object) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(data), 1485000000.25  # type: ignore[assignment]
            for fact, value in facts.items():
                setattr(entry, fact, value)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def members(**changed: bytes) -> dict[str, bytes]:
    whole = {"sys_info": dumps({}), "storages": storages(), "tensors": TENSORS}
    return {**whole, "pickle": dumps(VALUE), **changed}
