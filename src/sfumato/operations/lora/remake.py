"""A LoRA made again from another one: in another spelling, of other ranks, of another kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sfumato.containers.atomic import destination
from sfumato.containers.dtype import F32, DType
from sfumato.containers.model_file import Container, ModelFile
from sfumato.containers.sizes import counted
from sfumato.containers.tensor import Tensor, Tensors
from sfumato.containers.text import escape
from sfumato.errors import Refused
from sfumato.operations.beside import lineage_of
from sfumato.operations.carry_out import carry_out
from sfumato.operations.cast import Losses
from sfumato.operations.lora.facts import carried, lora_tree, ranks_said
from sfumato.operations.lora.kept import keep, kind_title, refuse, unspeakable
from sfumato.operations.lora.layers import Layer, Opened, opened
from sfumato.operations.lora.made import Made, spelled
from sfumato.operations.lora.proof import check, compare, reread
from sfumato.operations.lora.refactored import (
    Cut,
    Ranks,
    Sought,
    cut,
    later,
    lay_all,
    loss,
    sentences,
)
from sfumato.operations.lora.spellings import Style, style_like
from sfumato.operations.lora.spool import Spool
from sfumato.operations.plan import Dropped, Plan, Progress, Report
from sfumato.operations.recipe import Option


@dataclass(frozen=True, slots=True)
class Remake:
    """What is asked for."""

    operation: str
    options: Mapping[str, Option]
    container: Container
    style: Style | None = None
    """None for the file's own spelling"""
    ranks: Ranks | None = None
    """None where every layer keeps its kind and its ranks"""
    every_rank: bool = False
    """True where plain LoRA is cut to the ranks too; False where only other kinds are"""
    dtype: DType | None = None
    """None for the file's own"""
    model: Path | None = None
    exact: bool = False
    seed: int = 0


@dataclass(slots=True)
class Sorted:
    """Layers by what becomes of them."""

    sought: list[Layer] = field(default_factory=list[Layer])
    """those that become plain LoRA of chosen ranks"""
    kept: list[tuple[Layer, Made]] = field(default_factory=list[tuple[Layer, Made]])
    dropped: list[Layer] = field(default_factory=list[Layer])
    warnings: list[str] = field(default_factory=list[str])


class Output(NamedTuple):
    """What is to be written, but for its names."""

    made: list[Made]
    cuts: list[Cut]
    changes: tuple[str, ...]


def remake(
    source: Path,
    target: Path,
    asked: Remake,
    *,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Carry out what is asked; nothing is written unless every change was recomputed and fits."""
    if not dry_run:
        destination(target, force=force)
    with opened([source], asked.model) as files, Spool(_room(target)) as spool:
        style = asked.style or style_like(files.spelling)
        found = _sorted(files, style, asked)
        dtype = asked.dtype or _usual(files.files[0])
        output = _output(found, files, asked, spool, (dtype, progress))
        plan = _plan(found, output, files, style, (asked, target, dtype))
        return carry_out(
            plan, force=force, dry_run=dry_run,
            progress=later(progress, sum(one.sought.nbytes for one in output.cuts)),
        )  # fmt: skip


def _room(target: Path) -> Path:
    """Where factors are laid aside: the output's disk has room for them."""
    return target.resolve().parent


def _usual(file: ModelFile) -> DType:
    """The float type of most of a file's tensors."""
    counts = Counter(tensor.dtype for tensor in file.values() if tensor.dtype.kind == "float")
    return counts.most_common(1)[0][0] if counts else F32


def _sorted(files: Opened, style: Style, asked: Remake) -> Sorted:
    """Decide what becomes of every layer. Raises Refused where that would lose something."""
    found = Sorted(warnings=[note for lora in files.loras for note in lora.notes])
    family = files.target.family
    for layer in files.layers():
        if _is_sought(layer, files, style, asked):
            found.sought.append(layer)
        elif (made := keep(layer, style)) is not None:
            found.kept.append((layer, made))
    silent = unspeakable(found.kept, style, family)
    if silent and asked.ranks is None:
        raise refuse(silent, style)
    lost = [layer for layer in silent if layer.is_matrix]
    if lost:
        raise Refused(
            f"{escape(lost[0].name, 100)}: {kind_title(lost[0])} depends on the weight that it "
            "changes, so only a model makes a matrix of it; name the model"
        )
    found.dropped = silent
    found.kept = [(layer, made) for layer, made in found.kept if layer not in silent]
    return found


def _is_sought(layer: Layer, files: Opened, style: Style, asked: Remake) -> bool:
    if asked.ranks is None or not layer.is_matrix:
        return False
    if layer.is_bent:
        # Resizing leaves what bends weights as it is; where plain LoRA is wanted, a model tells.
        return not asked.every_rank and files.has_weights
    return asked.every_rank or not layer.is_plain


def _output(
    found: Sorted,
    files: Opened,
    asked: Remake,
    spool: Spool,
    how: tuple[DType, Progress | None],
) -> Output:
    made = [made for _, made in found.kept]
    if asked.ranks is None:
        return Output(made, [], ())
    every = [_sought(layer, files, asked) for layer in found.sought]
    laid = lay_all(every, spool, asked.ranks, how[1])
    cuts = cut(every, laid, asked.ranks, how[0])
    made += [one.made() for one in cuts]
    return Output(made, cuts, sentences(loss(every, laid, cuts), cuts) if cuts else ())


def _sought(layer: Layer, files: Opened, asked: Remake) -> Sought:
    factors = partial(layer.factors, exact=asked.exact, seed=asked.seed, target=files.target)
    nbytes = sum(tensor.nbytes for tensor in layer.part.tensors.values())
    return Sought(layer.part.role, layer.module, layer.shape, factors, nbytes)


def _plan(
    found: Sorted, output: Output, files: Opened, style: Style, how: tuple[Remake, Path, DType]
) -> Plan:
    asked, target, dtype = how
    losses, file = Losses(), files.files[0]
    family = files.target.family
    new = spelled([c.made() for c in output.cuts], style, family, dtype=dtype, losses=losses)
    old = [made for _, made in found.kept]
    tensors = {
        **spelled(old, style, family, dtype=asked.dtype, losses=losses),
        **new,
        **_embeddings(files, style),
    }
    if not tensors:
        raise Refused(f"{file.path}: no layer of it is left, so there is nothing to write")
    metadata = carried(file, asked.container)
    if output.cuts:
        metadata |= ranks_said(output.made)
    return Plan(
        operation=asked.operation,
        options=asked.options,
        lineage=lineage_of(file),
        sources=(file.path, *files.model),
        bytes_in=file.size,
        target=target,
        container=asked.container,
        tensors=tensors,
        metadata=metadata,
        tree=lora_tree(tensors, asked.container),
        dropped=_dropped(found, files, style),
        changes=(*_told(found, style), *output.changes, *_proved(found, tensors, metadata, files)),
        warnings=tuple(found.warnings),
        losses=losses,
    )


def _embeddings(files: Opened, style: Style) -> Tensors:
    """Embeddings that the LoRA carries along, where other tensors may stand beside its own."""
    file = files.files[0]
    return {key: file[key] for key in _carried(files)} if style.scales else {}


def _carried(files: Opened) -> list[str]:
    lora = files.loras[0]
    own = {id(tensor) for tensors in lora.embeddings.values() for tensor in tensors.values()}
    return [key for key, tensor in lora.file.items() if id(tensor) in own]


def _dropped(found: Sorted, files: Opened, style: Style) -> tuple[Dropped, ...]:
    reason = f"{style.title} have no words for norms and biases"
    vectors = (
        Dropped(key, reason, layer.part.tensors[slot].nbytes)
        for layer in found.dropped
        for slot, key in layer.part.slots.items()
    )
    if style.scales:
        return tuple(vectors)
    file, carried_along = files.files[0], "embeddings carried along, which have no place here"
    return (*vectors, *(Dropped(k, carried_along, file[k].nbytes) for k in _carried(files)))


def _told(found: Sorted, style: Style) -> Iterator[str]:
    count = len(found.kept) + len(found.sought)
    yield f"{counted(count, 'layer')} in {style.title}"
    bent = Counter(kind_title(layer) for layer, _ in found.kept if layer.is_bent)
    for kind, number in bent.items():
        yield f"{counted(number, 'layer')} of {kind} stay as they are"


def _proved(
    found: Sorted, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], files: Opened
) -> Iterator[str]:
    """Read the output back as any file is read, before it is written, and compare all changes."""
    first: Sequence[Layer] = [layer for layer, _ in found.kept] or found.sought
    after = reread(tensors, metadata, first[0], files.target)
    same = compare([layer for layer, _ in found.kept], after)
    check(same, [tensor.dtype for tensor in tensors.values() if tensor.shape])
    if found.kept:
        yield f"every change was computed from both files: they differ by {same.distance:.2g}"
    there = {layer.place for layer in after}
    cut_down = [x for x in found.sought if not x.is_bent and x.place in there]
    if cut_down:
        lost = compare(cut_down, after)
        yield (
            f"computed again from both files, what was cut differs by {lost.distance:.3g}, most in "
            f"{escape(lost.furthest, 100)} ({lost.furthest_distance:.3g})"
        )
