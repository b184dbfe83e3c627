"""The reader of bare pickles: arrays or tensors pickled without torch.save."""

from __future__ import annotations

from sfumato.containers.limits import DEFAULT, Limits
from sfumato.containers.model_file import PICKLE, ModelFile
from sfumato.containers.pickles.machine import after_blanks, run
from sfumato.containers.pickles.values import StorageRef, Value
from sfumato.containers.source import Source
from sfumato.containers.torch.nested import opener
from sfumato.containers.torch.opened import opened
from sfumato.containers.torch.stack import MAGIC
from sfumato.containers.torch.storage import Storages
from sfumato.errors import BadFile

WHERE = "pickle"


def read_pickle(source: Source, limits: Limits = DEFAULT) -> ModelFile:
    """The tensors of a bare pickle; the source closes with the result.

    What follows the first pickle is walked as further pickles, for the journal alone.
    Raises Damaged, with the journal of what was seen before.
    """
    storages = Storages(source.path, source.size, limits)
    data = source.read(0, min(source.size, limits.pickle_bytes))
    value, end = _run(data, 0, WHERE, storages)
    if source.size > len(data):
        raise storages.damaged(
            f"is a pickle of {source.size} bytes; at most {limits.pickle_bytes} are read"
        )
    _walk_rest(data, end, storages)
    if type(value) is int and value == MAGIC:
        raise storages.damaged("computes the magic number of a legacy torch file")
    return opened(source, PICKLE, value, storages)


def _run(data: bytes, start: int, where: str, storages: Storages) -> tuple[Value, int]:
    return run(
        data,
        path=storages.path,
        where=where,
        journal=storages.journal,
        limits=storages.limits,
        persistent=lambda _: StorageRef("outside the pickle", None, "", 0, where),
        nested=opener(storages),
        start=start,
    )


def _walk_rest(data: bytes, start: int, storages: Storages) -> None:
    """Walk what follows the first pickle, until it is no pickle any more."""
    number, last = 1, start
    while (end := after_blanks(data, last)) < len(data):
        number += 1
        try:
            _, last = _run(data, end, f"{WHERE} {number}", storages)
        except BadFile:
            if storages.exhausted:
                raise  # what follows is unknown, and not nothing
            number -= 1
            break
    if last < len(data):
        storages.notes.append(f"{len(data) - last} bytes at the end are not a pickle")
    if number > 1:
        storages.notes.append(f"{number - 1} more pickles follow the first and are not read")
