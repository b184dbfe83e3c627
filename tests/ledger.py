"""The memory that torch's tensors take, counted."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence

import torch
from torch.utils._python_dispatch import TorchDispatchMode

CPU = torch.device("cpu")


class Ledger(TorchDispatchMode):
    """Counts the bytes of all tensors that are alive, and the most there ever were."""

    def __init__(self) -> None:
        super().__init__()
        self.alive, self.most = 0, 0
        self._seen = set[int]()

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: Sequence[object] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor) and out.device == CPU:
            storage = out.untyped_storage()
            if storage._cdata not in self._seen:
                self._seen.add(storage._cdata)
                self._enter(storage._cdata, storage.nbytes())
                weakref.finalize(storage, self._leave, storage._cdata, storage.nbytes())
        return out

    def _enter(self, key: int, size: int) -> None:
        self.alive += size
        self.most = max(self.most, self.alive)

    def _leave(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.alive -= size
