"""Lineage: how a file came about, walked back through the recipes of what it was made from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from sfumato.containers.text import escape
from sfumato.operations.recipe import Option, Recipe
from sfumato.operations.rerun import recipe_of

UNSURE = "one of these"
"""in place of a file's name: old recipes do not say whose they are"""

LONGEST = 60
"""characters of an option that a line shows"""


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A file, and how it was made where that is known."""

    name: str
    size: int
    """bytes of all its files; 0 where only its recipe is known"""
    blake3: str
    """of a single file; empty for a folder, and for the file that was asked about"""
    recipe: Recipe | None
    parents: tuple[Ancestor, ...] = ()
    """what it was made from, in order"""

    def lines(self) -> Iterator[str]:
        """The tree as text, the file itself first."""
        yield self._title()
        for number, parent in enumerate(self.parents):
            last = number == len(self.parents) - 1
            first, *rest = parent.lines()
            yield f"{'└─' if last else '├─'} {first}"
            yield from (f"{'  ' if last else '│ '} {line}" for line in rest)

    def _title(self) -> str:
        known = f" ({self.blake3[:10]})" if self.blake3 else ""
        return f"{escape(self.name)}{known}" + (f": {how(self.recipe)}" if self.recipe else "")

    def to_json(self) -> dict[str, object]:
        """The same for programs."""
        return {
            "name": self.name,
            "size": self.size,
            "blake3": self.blake3,
            "operation": self.recipe.operation if self.recipe else None,
            "options": dict(self.recipe.options) if self.recipe else {},
            "parents": [parent.to_json() for parent in self.parents],
        }


def lineage(file: str | PathLike[str]) -> Ancestor:
    """The tree of what `file` was made from, as far as recipes inside it tell.

    Nothing but `file` is opened. Raises Refused for a file without a recipe, and what `open_model`
    raises.
    """
    path = Path(file)
    recipe = recipe_of(path)
    return Ancestor(path.name, path.stat().st_size, "", recipe, tuple(_parents(recipe)))


def _parents(recipe: Recipe) -> Iterator[Ancestor]:
    sources = recipe.sources
    sure = len(sources) == 1 and len(recipe.earlier) == 1
    made = {0 if sure else earlier.of: earlier for earlier in recipe.earlier}
    for number, source in enumerate(sources):
        earlier = made.get(number)
        alone = len(source) == 1 and "/" not in source[0].name
        yield Ancestor(
            source[0].name if alone else source[0].name.partition("/")[0],
            sum(item.size for item in source),
            source[0].blake3 if alone else "",
            earlier,
            tuple(_parents(earlier)) if earlier else (),
        )
    for earlier in recipe.earlier:
        if not sure and (earlier.of is None or not 0 <= earlier.of < len(sources)):
            yield Ancestor(UNSURE, 0, "", earlier, tuple(_parents(earlier)))


def how(recipe: Recipe) -> str:
    """An operation with its options, in one line."""
    options = {key: _shown(value) for key, value in recipe.options.items() if value is not None}
    if recipe.operation == "merge":
        options["recipe"] = _merged(str(recipe.options.get("recipe", "")))
    told = ", ".join(
        f"{key} {value}" if key != "recipe" else value for key, value in options.items() if value
    )
    return escape(recipe.operation) + (f" ({told})" if told else "")


def _shown(value: Option) -> str:
    if isinstance(value, str | bool | int | float):
        return escape(str(value), LONGEST)
    return escape(" ".join(value or ()), LONGEST)


def _merged(text: str) -> str:
    """A merge in one line; its text as it stands where it cannot be read."""
    from sfumato.errors import UsageError
    from sfumato.operations.merging.recipe_file import parse_recipe
    from sfumato.operations.merging.tree import sentence

    try:
        return escape(sentence(parse_recipe(text, Path).root))
    except UsageError:
        return escape(text, LONGEST)
