"""A rule that knows a sort of file by a few of its keys, and the family by one of its sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from sfumato.containers.tensor import Tensors

CONTEXTS: Mapping[int, str] = {768: "sd1", 1024: "sd2", 1280: "sdxl-refiner", 2048: "sdxl"}
"""width of the text encoding that a cross-attention takes → family"""


@dataclass(frozen=True, slots=True)
class Size:
    """One size of one tensor, and what its values mean."""

    keys: tuple[str, ...]
    """patterns; the first tensor that one of them finds counts"""
    axis: int
    means: Mapping[int, str] = field(default_factory=lambda: CONTEXTS)
    """value → family, or title, or whatever the place wants"""


@dataclass(frozen=True, slots=True)
class Signature:
    """The keys that make a file a file of this sort.

    A pattern is a whole key, or has a star at its beginning, its end or both: `image_proj.*`,
    `*.fuser.*`.
    """

    kind: str
    title: str
    """as a person says it, without the family"""
    all_of: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    none_of: tuple[str, ...] = ()
    family: str = "unknown"
    """where no size tells it"""
    tells: Size | None = None
    """the size that tells the family"""
    wants: tuple[tuple[str, int, int], ...] = ()
    """key, axis, size: what a tensor must measure"""
    variant: str = ""
    prefixes: tuple[str, ...] = ("",)
    """what may stand before every key"""
    steps: tuple[tuple[str, str], ...] = ()
    """key, enlargement: the first that is there tells how many times a picture is enlarged"""
    scale: Size | None = None
    """the size that tells it where none of those keys is there"""


class Keys:
    """The keys of a file, searched by pattern."""

    def __init__(self, model: Tensors) -> None:
        self.model = model

    @cached_property
    def text(self) -> str:
        """All keys, each between two newlines."""
        return "\n" + "\n".join(self.model) + "\n"

    def has(self, pattern: str) -> bool:
        """True where some key fits `pattern`."""
        if "*" not in pattern:
            return pattern in self.model
        head = "" if pattern.startswith("*") else "\n"
        tail = "" if pattern.endswith("*") else "\n"
        return f"{head}{pattern.strip('*')}{tail}" in self.text

    def shape(self, pattern: str) -> tuple[int, ...]:
        """Shape of the first tensor whose key fits; () where none does."""
        if "*" not in pattern:
            return self.model[pattern].shape if pattern in self.model else ()
        if not self.has(pattern):
            return ()
        text = pattern.strip("*")
        for key in self.model:
            if (
                text in key
                and (pattern.startswith("*") or key.startswith(text))
                and (pattern.endswith("*") or key.endswith(text))
            ):
                return self.model[key].shape
        return ()

    def size(self, pattern: str, axis: int) -> int:
        """One size of the first tensor whose key fits; 0 where there is none."""
        shape = self.shape(pattern)
        return shape[axis] if -len(shape) <= axis < len(shape) else 0


def prefixed(prefix: str, pattern: str) -> str:
    """`pattern` for keys that begin with `prefix`."""
    return pattern if pattern.startswith("*") else prefix + pattern


def fits(signature: Signature, keys: Keys) -> str | None:
    """The prefix under which `signature` fits; None where it does not fit."""
    return next((p for p in signature.prefixes if _fits(signature, keys, p)), None)


def _fits(signature: Signature, keys: Keys, prefix: str) -> bool:
    def has(pattern: str) -> bool:
        return keys.has(prefixed(prefix, pattern))

    return (
        all(has(pattern) for pattern in signature.all_of)
        and (not signature.any_of or any(has(pattern) for pattern in signature.any_of))
        and not any(has(pattern) for pattern in signature.none_of)
        and all(keys.size(prefixed(prefix, k), axis) == n for k, axis, n in signature.wants)
    )


def read(size: Size | None, keys: Keys, prefix: str) -> Iterator[tuple[str, int, str]]:
    """Key, value and meaning of a size, where its value means something."""
    for pattern in size.keys if size else ():
        value = keys.size(prefixed(prefix, pattern), size.axis) if size else 0
        if size and value in size.means:
            yield pattern, value, size.means[value]
            return
