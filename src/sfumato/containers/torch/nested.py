"""Torch files inside pickles: the bytes that `torch.storage._load_from_bytes` would have opened."""

from __future__ import annotations

from sfumato.containers.pickles.machine import run
from sfumato.containers.pickles.values import Value
from sfumato.containers.torch.readable import Blob
from sfumato.containers.torch.stack import starts_stacked, walk_stack
from sfumato.containers.torch.storage import Storages
from sfumato.containers.torch.zip_pickle import Nested, walk_zip

DEEPEST = 4
"""torch files inside each other"""


def opener(storages: Storages, depth: int = 1) -> Nested:
    """What reads a nested file and adds its storages and its deeds to those of the outer one."""
    count = 0

    def open_nested(data: bytes, where: str) -> Value:
        nonlocal count
        if depth > DEEPEST:
            raise storages.damaged(f"holds torch files inside each other, more than {DEEPEST} deep")
        count += 1
        inside = f"{where}, inner file {count}: "
        blob, deeper = Blob(storages.path, data), opener(storages, depth + 1)
        if data.startswith(b"PK\3\4"):
            return walk_zip(blob, storages, inside, deeper)
        if starts_stacked(data[:64]):
            return walk_stack(blob, storages, inside, deeper)
        value, _ = run(
            data,
            path=storages.path,
            where=inside.removesuffix(": "),
            journal=storages.journal,
            limits=storages.limits,
            nested=deeper,
        )
        return value

    return open_nested
