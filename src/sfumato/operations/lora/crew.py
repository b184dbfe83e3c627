"""Work on many layers, two at a time, with results that do not depend on how many cores there are.

Linear algebra rounds otherwise when its sums are shared out, so every layer has one thread.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch

from sfumato.containers.parallel import in_order

Item = TypeVar("Item")
Result = TypeVar("Result")


def each(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """`work(item)` for every item, in order."""
    with _one_thread():
        yield from in_order(torch.no_grad()(work), items)


@contextmanager
def _one_thread() -> Generator[None]:
    """Torch with one thread for each operation; as it was afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def seed_for(seed: int, name: str) -> int:
    """A layer's own seed, so that the order of layers does not matter."""
    return (seed << 32) ^ zlib.crc32(name.encode())
