"""Merge: one model from several, written to a file or handed to whoever paints with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

from sfumato.catalogue.identify import identify
from sfumato.containers.model_file import (
    DIFFUSERS,
    SAFETENSORS,
    TORCH_ZIP,
    Container,
    ModelFile,
    Tree,
)
from sfumato.containers.open import open_model
from sfumato.containers.sizes import human
from sfumato.errors import Refused, UsageError
from sfumato.operations.beside import lineage_of, metadata_of
from sfumato.operations.carry_out import carry_out
from sfumato.operations.cast import dtype_named
from sfumato.operations.convert import container_named
from sfumato.operations.merging.compose import Composed, compose
from sfumato.operations.merging.expression import is_sum, parse
from sfumato.operations.merging.recipe_file import Find, read_recipe, to_text
from sfumato.operations.merging.registry import find_method
from sfumato.operations.merging.sides import Side, side
from sfumato.operations.merging.tree import (
    MERGE,
    Ema,
    Leaf,
    Merge,
    OptionValue,
    Policy,
    mix,
    named,
    sentence,
)
from sfumato.operations.plan import Plan, Progress, Report
from sfumato.operations.respell import respell

AnyPath = str | PathLike[str]

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def merge(
    models: Sequence[AnyPath] | AnyPath | Merge,
    target: AnyPath,
    *,
    method: str = "weighted-sum",
    unet: str = MERGE,
    text_encoder: str = MERGE,
    vae: str = "",
    ema: Ema = "drop",
    dtype: str | None = None,
    container: str | None = None,
    strict: bool = False,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
    **options: OptionValue,
) -> Report:
    """Make one model from several, number by number, and write it to `target`.

    models: files, which the method calls A, B, C … in order; or an expression such as
        "0.7*a.safetensors + 0.3*b.safetensors"; or the path of a recipe (`.toml`).
    method: one of `registry.METHODS`; its options are keyword arguments (alpha=0.3). Weights may
        be a number, a list by block, a mapping from blocks or patterns, or a preset's name.
    unet, text_encoder, vae: from which model (A, B …) that part comes, or "merge". The VAE is that
        of the first model unless something else is said.
    ema: averaged weights are dropped, used in place of the trained ones, or merged beside them.

    Numbers are computed in float32 and rounded once. Integers, position ids and schedule tables
    are the first model's; so are the channels that an inpainting model has more than the others.
    Raises the errors of `open_model`, UsageError, Refused, OutputExists, NoRoom or Unverified; an
    old `target` is untouched unless all went well.
    """
    policy = Policy(unet, text_encoder, vae, ema)
    wanted = _asked(models, method, policy, options)
    target = Path(target)
    place = container_named(container, target)
    kind = None if dtype is None else dtype_named(dtype)
    with ExitStack() as resources:
        opened = open_merge(wanted, dtype=dtype, resources=resources)
        plan = _plan(opened, wanted, target, place, kind.name.lower() if kind else None)
        return carry_out(
            replace(plan, strict=strict), force=force, dry_run=dry_run, progress=progress
        )


def _plan(opened: Opened, wanted: Merge, target: Path, place: Container, dtype: str | None) -> Plan:
    """All that `merge` will do."""
    made, file = opened.made, opened.file
    spelled = respell(file, identify(file), "", place) if place == DIFFUSERS else None
    tensors = file.tensors if spelled is None else spelled.tensors
    tree: Tree = {"state_dict": {**tensors}} if place == TORCH_ZIP else None
    return Plan(
        operation="merge",
        options={"recipe": to_text(wanted), "dtype": dtype, "container": place.name},
        lineage=lineage_of(*opened.sources),
        sources=tuple(source.path for source in opened.sources),
        bytes_in=sum(source.size for source in opened.sources),
        target=target,
        container=place,
        tensors=tensors,
        metadata={**file.metadata, **(spelled.metadata if spelled else {})},
        tree=tree,
        dropped=(*made.dropped, *(spelled.dropped if spelled else ())),
        changes=(sentence(wanted.root), *made.changes, _memory(made)),
        warnings=tuple(made.warnings),
        outcome=made.watch.sentences,
        losses=made.losses,
    )


@dataclass(frozen=True, slots=True)
class Opened:
    """A merge with its models open."""

    file: ModelFile
    """the result, as if it were a file"""
    made: Composed
    sources: tuple[ModelFile, ...]
    """each file once, in order"""


def open_merge(
    merge: Merge, *, dtype: str | None = None, resources: ExitStack | None = None
) -> Opened:
    """A merge as a model whose tensors are computed when they are read.

    Closing the model closes the files behind it. Raises what `merge` raises before it writes.
    """
    wanted = None if dtype is None else dtype_named(dtype)
    with ExitStack() as stack:
        files: dict[Path, ModelFile] = {}
        sides: dict[str, Side] = {}
        for label, leaf in named(merge.root).items():
            if leaf.path not in files:
                files[leaf.path] = stack.enter_context(open_model(leaf.path))
            sides[label] = side(label, files[leaf.path], merge.policy.ema)
        made = compose(merge, sides, wanted)
        if not made.computed:
            raise Refused(f"{sentence(merge.root)}: leaves nothing to merge; the result would be A")
        kept = stack.pop_all()
    if resources is not None:
        resources.enter_context(kept)
    first = next(iter(sides.values()))
    file = ModelFile(
        path=Path(sentence(merge.root).replace("/", "_")),
        container=SAFETENSORS,
        tensors=made.tensors,
        size=sum(tensor.nbytes for tensor in made.tensors.values()),
        metadata=_metadata(first.model, merge),
        notes=tuple(made.warnings),
        resources=kept,
    )
    return Opened(file, made, tuple(files.values()))


def asked(
    models: Sequence[AnyPath] | AnyPath,
    method: str,
    policy: Policy,
    options: Mapping[str, OptionValue],
    find: Find = Path,
) -> Merge:
    """The merge that is asked for by files and a method, by an expression, or by a recipe file.

    The first of several models may be an expression in the letters A, B … for those that follow.
    """
    several = [models] if isinstance(models, str | PathLike) else list(models)
    text = str(several[0]) if several else ""
    if len(several) == 1 and text.lower().endswith(".toml"):
        _refuse_options(method, policy, options, "a recipe")
        return read_recipe(Path(text), find)
    if is_sum(text, find):
        _refuse_options(method, Policy(), options, "an expression")
        return Merge(parse(text, _naming(several[1:], find)), policy)
    if len(several) > len(LETTERS):
        raise UsageError(
            f"{len(several)} models are more than the {len(LETTERS)} that have letters"
        )
    inputs = [Leaf(LETTERS[i], find(str(model))) for i, model in enumerate(several)]
    return Merge(mix(find_method(method), inputs, options), policy)


def _asked(
    models: Sequence[AnyPath] | AnyPath | Merge,
    method: str,
    policy: Policy,
    options: Mapping[str, OptionValue],
) -> Merge:
    if not isinstance(models, Merge):
        return asked(models, method, policy, options)
    _refuse_options(method, policy, options, "a merge that is made already")
    return models


def _refuse_options(
    method: str, policy: Policy, options: Mapping[str, OptionValue], what: str
) -> None:
    """What a recipe or an expression says itself is not said again beside it."""
    said = [*options, *policy.given(), *([method] if method != "weighted-sum" else [])]
    if said:
        raise UsageError(
            f"{what} says itself what is to be done; {said[0]} cannot be said beside it"
        )


def _naming(files: Sequence[AnyPath], find: Find):  # noqa: ANN202 - see below
    """Name in an expression → model: a letter for one of `files`, or a file's own name."""
    letters = {LETTERS[index]: file for index, file in enumerate(files[: len(LETTERS)])}
    given: dict[Path, str] = {}

    def leaf(name: str) -> Leaf:
        if name in letters:
            return Leaf(name, find(str(letters[name])))
        if letters:
            there = ", ".join(letters)
            raise UsageError(f"{name}: is none of the models that are given, {there}")
        path = find(name)
        label = given.setdefault(path, LETTERS[len(given) % len(LETTERS)])
        return Leaf(label, path)

    return leaf


USED = (
    "format", "modelspec.sai_model_spec", "modelspec.architecture", "modelspec.implementation",
    "modelspec.prediction_type", "modelspec.resolution", "modelspec.timestep_range",
)  # fmt: skip
"""metadata that says how a model is used; titles, authors and hashes are those of one model only"""


def _metadata(first: ModelFile, merge: Merge) -> dict[str, str]:
    own = metadata_of(first, SAFETENSORS)
    kept = {key: value for key, value in own.items() if key in USED or key.startswith("sfumato.c")}
    names = dict.fromkeys(leaf.path.stem for leaf in named(merge.root).values())
    return {**kept, "modelspec.merged_from": ", ".join(names)}


BESIDE = 32 << 20
"""bytes of pieces that are on their way"""


def _memory(made: Composed) -> str:
    return f"needs at most {human(made.memory + BESIDE)} of memory beside the program's own"
