"""Rerun: a file made once more from the recipe inside it and the files that it was made from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol, cast

from sfumato.containers.open import open_model
from sfumato.containers.sizes import human
from sfumato.containers.text import escape
from sfumato.errors import Refused, SfumatoError
from sfumato.operations.plan import Progress, Report
from sfumato.operations.recipe import KEY, TREE_KEY, Input, Option, Recipe, blake3_of, parse

AnyPath = str | PathLike[str]


@dataclass(frozen=True, slots=True)
class Rerun:
    """What came of a rerun."""

    report: Report
    same: bool | None
    """True where the bytes are those of the file whose recipe it is; None in a dry run"""


class Call(Protocol):
    """An operation with everything given but where its inputs are and how it is written."""

    def __call__(
        self, *, force: bool, dry_run: bool, progress: Progress | None
    ) -> Report | tuple[Report, ...]:
        """Carry it out."""
        ...


def rerun(
    file: AnyPath,
    target: AnyPath,
    *,
    models: Iterable[AnyPath] = (),
    force: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Rerun:
    """Make `file` again, as `target`, from the recipe that stands in it.

    models: files, and folders in which the inputs are looked for by their BLAKE3, whatever their
        names are now; the folder of `file` is searched too.

    The same version of this program gives the same bytes. Raises Refused for a file without a
    recipe, for one whose inputs are not all found, naming those, and for an operation that cannot
    be made again; and what the operation raises.
    """
    file, target = Path(file), Path(target)
    recipe = recipe_of(file)
    places = [Path(place) for place in models]
    found = find_inputs(recipe, [*places, file.parent], leave=(file,))
    with TemporaryDirectory(prefix="sfumato-") as folder:
        sources = [_named(paths, Path(folder, str(i))) for i, paths in enumerate(found)]
        call = call_of(recipe, sources, target)
        report = call(force=force, dry_run=dry_run, progress=progress)
    whole = report if isinstance(report, Report) else report[0]
    if dry_run:
        return Rerun(whole, None)
    return Rerun(whole, file.is_file() and blake3_of(file) == blake3_of(target))


def recipe_of(file: Path) -> Recipe:
    """The recipe in a file; raises Refused where there is none, Damaged where it is no recipe."""
    with open_model(file) as model:
        text = model.metadata.get(KEY) or model.extras.get(TREE_KEY)
    if not isinstance(text, str):
        raise Refused(f"{file}: carries no recipe, so nobody knows how it was made")
    return parse(text)


Located = tuple[tuple[Input, Path], ...]
"""every file of a source, and where it is"""


def find_inputs(
    recipe: Recipe, places: Sequence[Path], *, leave: Sequence[Path] = ()
) -> list[Located]:
    """Where the inputs of a recipe are now, source by source.

    Files of the recorded size are hashed, those of the recorded name first. Raises Refused with
    every input that is nowhere.
    """
    sizes = {item.size for item in recipe.inputs}
    candidates: dict[int, list[Path]] = {}
    for path in dict.fromkeys(_files(places)):
        if path not in leave and (size := path.stat().st_size) in sizes:
            candidates.setdefault(size, []).append(path)
    known: dict[Path, str] = {}

    def same(item: Input) -> Path | None:
        name = item.name.rpartition("/")[2]
        for path in sorted(candidates.get(item.size, []), key=lambda p: p.name != name):
            if path not in known:
                known[path] = _hash(path)
            if known[path] == item.blake3:
                return path
        return None

    pairs = [[(item, same(item)) for item in source] for source in recipe.sources]
    missing = [item for source in pairs for item, path in source if path is None]
    if missing:
        where = ", ".join(dict.fromkeys(escape(str(place)) for place in places))
        names = ", ".join(
            f"{escape(item.name)} ({human(item.size)}, BLAKE3 {item.blake3[:12]}…)"
            for item in missing[:3]
        )
        raise Refused(
            f"{len(missing)} of {len(recipe.inputs)} inputs not found in {where}: {names}"
        )
    return [tuple((item, path) for item, path in source if path) for source in pairs]


def _hash(path: Path) -> str:
    """Empty where the file cannot be read."""
    try:
        return blake3_of(path)
    except SfumatoError:
        return ""


def _files(places: Iterable[Path]) -> Iterator[Path]:
    for place in places:
        if place.is_dir():
            yield from sorted(path for path in place.rglob("*") if path.is_file())
        elif place.is_file():
            yield place


def _named(source: Located, folder: Path) -> Path:
    """The source under the name that it had, which stands in the recipe."""
    (first, path), *others = source
    if not others and "/" not in first.name:
        if path.name == first.name:
            return path
        folder.mkdir()
        return _linked(folder / _plain(first.name), path)
    for item, where in source:
        parts = [_plain(part) for part in item.name.split("/")]
        there = folder.joinpath(*parts)
        there.parent.mkdir(parents=True, exist_ok=True)
        _linked(there, where)
    return folder / _plain(first.name.partition("/")[0])


def _plain(name: str) -> str:
    """A file's name and nothing else: a recipe is a stranger's text."""
    if name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name:
        raise Refused(f"{escape(name)}: is no name of a file, and the recipe calls an input so")
    return name


def _linked(place: Path, path: Path) -> Path:
    place.symlink_to(path.resolve())
    return place


@dataclass(frozen=True, slots=True)
class Repeat:
    """How an operation is called again."""

    operation: str
    """as recipes call it"""
    call: Callable[[Mapping[str, Option], list[Path], Path], Call]
    """from options, sources and target"""


def call_of(recipe: Recipe, sources: list[Path], target: Path) -> Call:
    """The operation of a recipe, ready to be carried out; raises Refused for an unknown one."""
    for repeat in REPEATS:
        if repeat.operation == recipe.operation:
            return repeat.call(recipe.options, sources, target)
    known = ", ".join(repeat.operation for repeat in REPEATS)
    raise Refused(f"{escape(recipe.operation)}: cannot be made again; what can: {known}")


Options = Mapping[str, Option]


def _text(options: Options, key: str) -> str | None:
    value = options.get(key)
    return value if isinstance(value, str) else None


def _texts(options: Options, key: str) -> list[str]:
    value = options.get(key)
    return [] if value is None or isinstance(value, str | int | float) else list(value)


def _convert(options: Options, sources: list[Path], target: Path) -> Call:
    from sfumato.operations.convert import convert

    form = {key: _text(options, key) for key in ("dtype", "container", "spelling")}
    return partial(convert, sources[0], target, **form)


def _prune(options: Options, sources: list[Path], target: Path) -> Call:
    from sfumato.operations.prune import prune

    form = {key: _text(options, key) for key in ("dtype", "container")}
    return partial(prune, sources[0], target, drop=_texts(options, "drop"), **form)


def _ema(options: Options, sources: list[Path], target: Path) -> Call:
    from sfumato.operations.ema import ACTIONS, Action, ema

    action = _text(options, "action") or "use"
    if action not in ACTIONS:
        raise Refused(f"{escape(action)}: is nothing that is done with averages")
    form = {key: _text(options, key) for key in ("dtype", "container")}
    return partial(ema, sources[0], target, action=cast("Action", action), **form)


def _repair(options: Options, sources: list[Path], target: Path) -> Call:
    from sfumato.operations.repair import repair

    container = _text(options, "container")
    return partial(repair, sources[0], target, fixes=_texts(options, "fixes"), container=container)


def _metadata(options: Options, sources: list[Path], target: Path) -> Call:
    from sfumato.operations.metadata import metadata

    pairs = (text.partition("=") for text in _texts(options, "put"))
    put = {key: value for key, _, value in pairs}
    return partial(metadata, sources[0], target, put=put, remove=_texts(options, "remove"))


def _join(options: Options, sources: list[Path], target: Path) -> Call:
    from sfumato.operations.join import join

    return partial(join, sources, target)


def _split(options: Options, sources: list[Path], target: Path) -> Call:
    """One of the parts, which stands alone in the file."""
    from sfumato.operations.carry_out import carry_out
    from sfumato.operations.split import plan_split

    def part(*, force: bool, dry_run: bool, progress: Progress | None) -> Report:
        with open_model(sources[0]) as model:
            plans = plan_split(model, target.parent, prefixes=options.get("prefixes") is True)
            wanted = [plan for plan in plans if plan.options["part"] == options.get("part")]
            if not wanted:
                raise Refused(f"{sources[0]}: has no part {escape(str(options.get('part')))}")
            plan = replace(wanted[0], target=target)
            return carry_out(plan, force=force, dry_run=dry_run, progress=progress)

    return part


def _merge(options: Options, sources: list[Path], target: Path) -> Call:
    from sfumato.operations.merging.merge import merge
    from sfumato.operations.merging.recipe_file import parse_recipe

    found = parse_recipe(_text(options, "recipe") or "", _finder(sources))
    form = {key: _text(options, key) for key in ("dtype", "container")}
    return partial(merge, found, target, **form)


def _finder(sources: list[Path]) -> Callable[[str], Path]:
    """A merge's files by the names that its recipe gives them."""
    from sfumato.operations.merging.recipe_file import file_names

    named = {name: path for path, name in file_names(sources).items()}

    def find(name: str) -> Path:
        if name not in named:
            raise Refused(f"{escape(name)}: the recipe names it, and it is none of the inputs")
        return named[name]

    return find


def _lora(name: str) -> Callable[[Options, list[Path], Path], Call]:
    def call(options: Options, sources: list[Path], target: Path) -> Call:
        from sfumato.operations.lora.again import AGAIN

        return AGAIN[name](options, sources, target)

    return call


def _baking(name: str) -> Callable[[Options, list[Path], Path], Call]:
    def call(options: Options, sources: list[Path], target: Path) -> Call:
        from sfumato.operations.bake_again import AGAIN

        return AGAIN[name](options, sources, target)

    return call


REPEATS: tuple[Repeat, ...] = (
    Repeat("convert", _convert),
    Repeat("prune", _prune),
    Repeat("ema", _ema),
    Repeat("repair", _repair),
    Repeat("metadata", _metadata),
    Repeat("split", _split),
    Repeat("join", _join),
    Repeat("merge", _merge),
    Repeat("bake", _baking("bake")),
    Repeat("unbake", _baking("unbake")),
    Repeat("vae_extract", _baking("vae_extract")),
    Repeat("vae_replace", _baking("vae_replace")),
    Repeat("lora_extract", _lora("lora_extract")),
    Repeat("lora_resize", _lora("lora_resize")),
    Repeat("lora_merge", _lora("lora_merge")),
    Repeat("lora_translate", _lora("lora_translate")),
)
"""every operation that a recipe may name"""
