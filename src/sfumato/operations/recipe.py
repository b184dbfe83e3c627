"""How a file was made: the operation, its options, and the inputs by their hashes."""

from __future__ import annotations

import json
import secrets
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from sfumato.containers.source import Source
from sfumato.errors import Damaged

KEY = "sfumato.recipe"
"""where a recipe stands in a file's metadata"""

TREE_KEY = "sfumato_recipe"
"""where it stands in a pickled dictionary, beside `state_dict`; other programs pass it over"""

VERSION = 1

Option = None | bool | int | float | str | Sequence[str]


@dataclass(frozen=True, slots=True)
class Input:
    """One file that an output was made from."""

    name: str
    """file name, or the path inside a folder; never where it lay"""
    size: int
    blake3: str
    """64 digits; a stand-in of as many while it is computed. BLAKE3 because model sites print it
    and because it costs a fifth of SHA-256, so that a conversion does not wait for it"""


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that is needed to make an output again."""

    operation: str
    """the function of sfumato.operations"""
    options: Mapping[str, Option]
    inputs: tuple[Input, ...]
    earlier: tuple[Recipe, ...] = ()
    """the recipes that the inputs carried, where they carried any"""
    of: int | None = None
    """in `earlier` of another recipe: which of its sources this one made, counted from 0; None for
    the only one, and in files of before it was kept"""

    @property
    def sources(self) -> tuple[tuple[Input, ...], ...]:
        """The inputs by source: a file alone, or all files of a folder."""
        found: list[list[Input]] = []
        for item in self.inputs:
            head, inside, _ = item.name.partition("/")
            last = found[-1] if found else []
            same = inside and any(other.name.startswith(f"{head}/") for other in last)
            if same and all(other.name != item.name for other in last):
                last.append(item)
            else:
                found.append([item])
        return tuple(map(tuple, found))

    def to_text(self) -> str:
        """The recipe as it stands in a file: JSON on one line."""
        return json.dumps(self._plain(), separators=(",", ":"))

    def _plain(self) -> dict[str, object]:
        inputs = [{"name": i.name, "size": i.size, "blake3": i.blake3} for i in self.inputs]
        earlier = [recipe._plain() for recipe in self.earlier]
        return {
            "version": VERSION,
            "operation": self.operation,
            "options": dict(self.options),
            "inputs": inputs,
            **({"earlier": earlier} if earlier else {}),
            **({} if self.of is None else {"of": self.of}),
        }


def parse(text: str) -> Recipe:
    """A recipe from its text; raises Damaged where it is none."""
    try:
        return _recipe(cast("dict[str, object]", json.loads(text)))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Damaged(KEY, f"is no recipe: {error}") from error


def _recipe(value: dict[str, object]) -> Recipe:
    inputs = cast("list[dict[str, str | int]]", value["inputs"])
    earlier = cast("list[dict[str, object]]", value.get("earlier", []))
    return Recipe(
        str(value["operation"]),
        cast("dict[str, Option]", value["options"]),
        tuple(Input(str(i["name"]), int(i["size"]), str(i["blake3"])) for i in inputs),
        tuple(map(_recipe, earlier)),
        cast("int | None", value.get("of")),
    )


def parsed(texts: Sequence[str]) -> tuple[Recipe, ...]:
    """Those of `texts`, one for each source, that are recipes; what a stranger wrote there instead
    is passed over."""
    found: list[Recipe] = []
    for number, text in enumerate(texts):
        with suppress(Damaged):
            if text:
                found.append(replace(parse(text), of=number if len(texts) > 1 else None))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Hashing:
    """Inputs whose hashes are still being computed."""

    inputs: tuple[Input, ...]
    """with stand-ins of 64 digits in place of the hashes"""
    pending: Mapping[str, Future[str]]
    """stand-in → the hash to come"""


@contextmanager
def hashing(paths: Sequence[Path]) -> Generator[Hashing]:
    """Hash every file of `paths` by a thread of its own while the block works on them.

    Reading a file twice at the same time costs the disk nothing: the second reader finds the bytes
    where the first has left them.
    """
    files = [(path, name) for root in paths for path, name in _files(root)]
    pool = ThreadPoolExecutor(1)
    try:
        pending = {secrets.token_hex(32): (path, name) for path, name in files}
        yield Hashing(
            tuple(Input(name, path.stat().st_size, key) for key, (path, name) in pending.items()),
            {key: pool.submit(blake3_of, path) for key, (path, _) in pending.items()},
        )
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _files(root: Path) -> Iterator[tuple[Path, str]]:
    """The file itself, or every file of a folder that is one model."""
    if not root.is_dir():
        yield root, root.name
        return
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            yield path, path.relative_to(root.parent).as_posix()


def blake3_of(path: Path) -> str:
    """The BLAKE3 of a file, 64 digits; raises what reading it raises."""
    from blake3 import blake3

    digest = blake3()
    with Source(path) as source:
        for chunk in source.chunks(0, source.size):
            digest.update(chunk)
    return digest.hexdigest()
