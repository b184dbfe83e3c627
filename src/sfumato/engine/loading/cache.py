"""What is kept because making it again costs time: encoded prompts, loaded checkpoints."""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Callable, Hashable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from sfumato.engine.loading.load import load

if TYPE_CHECKING:
    import torch

    from sfumato.engine.model import Model
    from sfumato.operations.original import Weights

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """The values that were asked for last, up to a number of them."""

    def __init__(self, limit: int, drop: Callable[[V], None] = lambda _: None) -> None:
        """Keep `limit` values; `drop` is called with each one that has to go."""
        self.limit = limit
        self._drop = drop
        self._values: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: K, make: Callable[[], V]) -> V:
        """The value under `key`, made where it is not kept; room for it is made first."""
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key]
        self.shrink(self.limit - 1)
        value = make()
        if self.limit > 0:
            self._values[key] = value
        return value

    def shrink(self, limit: int = 0) -> None:
        """Let values go, the one unused for longest first, until `limit` are left."""
        while len(self._values) > max(limit, 0):
            _, value = self._values.popitem(last=False)
            self._drop(value)


Stamp = tuple[str, int, int]
"""a file's whole path, its bytes, and when it was written last (nanoseconds)"""


def stamps(path: str | PathLike[str]) -> tuple[Stamp, ...]:
    """What tells a file, or a folder's files, from another of the same name."""
    whole = Path(path).resolve()
    files = sorted(p for p in whole.rglob("*") if p.is_file()) if whole.is_dir() else [whole]
    told = [(file, file.stat()) for file in files if file.exists()]
    return tuple((str(file), status.st_size, status.st_mtime_ns) for file, status in told)


class Models:
    """Loaded checkpoints by content: one that was changed on disk is loaded again."""

    def __init__(self, limit: int = 1) -> None:
        """Keep `limit` models; the old one is let go before the new one is read."""
        self._kept: Recent[Hashable, Model] = Recent(limit, _let_go)

    def __len__(self) -> int:
        return len(self._kept)

    def get(
        self,
        path: str | PathLike[str],
        *,
        device: str | torch.device = "auto",
        dtype: str | torch.dtype = "auto",
        weights: Weights = "live",
        vae_dtype: str | torch.dtype | None = None,
    ) -> Model:
        """The checkpoint at `path` as `engine.loading.load` gives it; raises what that raises."""
        key = (stamps(path), device, dtype, weights, vae_dtype)
        return self._kept.get(
            key,
            lambda: load(path, device=device, dtype=dtype, weights=weights, vae_dtype=vae_dtype),
        )

    def close(self) -> None:
        """Let go of every model."""
        self._kept.shrink()


def _let_go(model: Model) -> None:
    model.close()
    gc.collect()  # modules refer to each other in circles
