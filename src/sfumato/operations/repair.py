"""Repair: the known faults of model files, each mended only where that is asked for."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

from sfumato.catalogue.identify import identify
from sfumato.catalogue.numbers.buffers import LONGEST, PositionIds
from sfumato.catalogue.numbers.buffers import position_ids as states
from sfumato.catalogue.spelling.transforms import position_ids
from sfumato.containers.model_file import Container, ModelFile
from sfumato.containers.open import open_model
from sfumato.containers.sizes import counted
from sfumato.containers.tensor import Tensor
from sfumato.containers.text import escape
from sfumato.errors import Refused, UsageError
from sfumato.operations.beside import lineage_of, metadata_of, tree_of
from sfumato.operations.carry_out import carry_out
from sfumato.operations.convert import container_named
from sfumato.operations.plan import Dropped, Plan, Progress, Report


@dataclass(frozen=True, slots=True)
class Mended:
    """A model after some fixes, and what each of them did."""

    tensors: dict[str, Tensor]
    dropped: tuple[Dropped, ...] = ()
    changes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def renamed(self, names: dict[str, str], what: str) -> Mended:
        """The same with some tensors under other names; itself where two would get the same."""
        tensors = {names.get(name, name): tensor for name, tensor in self.tensors.items()}
        if not names or len(tensors) < len(self.tensors):
            return self
        first, new = next(iter(names.items()))
        change = f"{counted(len(names), 'tensor')} {what}, such as {escape(first)} → {escape(new)}"
        return replace(self, tensors=tensors, changes=(*self.changes, change))


@dataclass(frozen=True, slots=True)
class Fix:
    """One fault that can be mended."""

    name: str
    """as it is asked for"""
    about: str
    """what it does, in a few words"""
    repaints: bool
    """True where pictures become others: some people have tuned around the fault"""
    apply: Callable[[Mended], Mended]
    """gives the very same model back where there is nothing to mend"""


def repair(
    source: str | PathLike[str],
    target: str | PathLike[str],
    *,
    fixes: Collection[str],
    container: str | None = None,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Write `source` with the faults mended that `fixes` names, and no others.

    fixes: prefixes, text-model, stray-keys, position-ids.

    Raises UsageError for an unknown fix, Refused where there is nothing to mend, and what `convert`
    raises. Nothing is guessed: names and integers are put right, weights never change.
    """
    target = Path(target)
    chosen = _chosen(fixes)
    place = container_named(container, target)
    with open_model(source) as model:
        plan = plan_repair(model, target, chosen, place)
        return carry_out(plan, force=force, dry_run=dry_run, progress=progress)


def faults(source: str | PathLike[str]) -> tuple[Fix, ...]:
    """The fixes for which there is something to do in `source`."""
    with open_model(source) as model:
        return tuple(_needed(model))


def _needed(model: ModelFile) -> Iterator[Fix]:
    mended = Mended(dict(model))
    for fix in FIXES:
        after = fix.apply(mended)
        if after is not mended:
            yield fix
        mended = after


def plan_repair(
    model: ModelFile, target: Path, fixes: Collection[Fix], container: Container
) -> Plan:
    """Everything that `repair` will do with `model`."""
    before = Mended(dict(model))
    mended = before
    for fix in FIXES:
        if fix in fixes:
            mended = fix.apply(mended)
    if mended is before:
        others = ", ".join(fix.name for fix in _needed(model))
        hint = f"; there is for {others}" if others else ""
        names = ", ".join(fix.name for fix in fixes)
        raise Refused(f"{model.path}: there is nothing to mend by {names}{hint}")
    verdict = identify(mended.tensors, metadata=model.metadata, extras=model.extras)
    return Plan(
        operation="repair",
        options={"fixes": [fix.name for fix in fixes], "container": container.name},
        lineage=lineage_of(model),
        sources=(model.path,),
        bytes_in=model.size,
        target=target,
        container=container,
        tensors=mended.tensors,
        metadata=metadata_of(model, container),
        tree=tree_of(model, mended.tensors, container, verdict.kind),
        dropped=mended.dropped,
        changes=mended.changes,
        warnings=mended.warnings,
    )


def _chosen(names: Collection[str]) -> tuple[Fix, ...]:
    known = {fix.name: fix for fix in FIXES}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1, 0.3) or list(known)
            raise UsageError(f"{name}: is no fix; nearest: {', '.join(near)}")
    if not names:
        raise UsageError(f"say what to mend: {', '.join(known)}")
    return tuple(fix for fix in FIXES if fix.name in names)


WRAPPERS = ("state_dict.", "module.", "_orig_mod.")
"""what wrappers of programs, of torch's data parallel and of its compiler put before every name"""

ROOTS = (
    *("model.diffusion_model.", "first_stage_model.", "cond_stage_model.", "conditioner."),
    "model_ema.",
)
"""beginnings of a checkpoint's names; after a further `model.` they are doubled"""


def _prefixes(mended: Mended) -> Mended:
    """Strip wrapper after wrapper, as long as most names have one."""
    while (after := _stripped(mended)) is not mended:
        mended = after
    return mended


def _stripped(mended: Mended) -> Mended:
    for prefix in WRAPPERS:
        names = [name for name in mended.tensors if name.startswith(prefix) and name != prefix]
        if 2 * len(names) > len(mended.tensors):
            cut = {name: name.removeprefix(prefix) for name in names}
            return mended.renamed(cut, f"freed of the prefix {prefix}")
    doubled = tuple(f"model.{root}" for root in ROOTS)
    names = [name for name in mended.tensors if name.startswith(doubled)]
    return mended.renamed(
        {name: name.removeprefix("model.") for name in names}, "freed of a doubled model."
    )


CLIP = ("cond_stage_model.transformer.", "conditioner.embedders.0.transformer.")
"""where CLIP-L stands in a checkpoint"""

INSIDE = ("embeddings.", "encoder.", "final_layer_norm.")
"""its parts, which old transformers (and NovelAI's files) did not put under `text_model.`"""


def _text_model(mended: Mended) -> Mended:
    names = {
        name: f"{prefix}text_model.{name.removeprefix(prefix)}"
        for prefix in CLIP
        for name in mended.tensors
        if name.startswith(tuple(prefix + part for part in INSIDE))
    }
    return mended.renamed(names, "put under text_model.")


STRAY = "cond_stage_model.model.transformer.text_model.embeddings.position_ids"
"""of Waifu Diffusion 1.4: OpenCLIP has no such table, and strict loaders stumble over it"""


def _stray_keys(mended: Mended) -> Mended:
    if STRAY not in mended.tensors:
        return mended
    tensors = {name: tensor for name, tensor in mended.tensors.items() if name != STRAY}
    gone = Dropped(STRAY, "stray key that no program reads", mended.tensors[STRAY].nbytes)
    return replace(mended, tensors=tensors, dropped=(*mended.dropped, gone))


OWED = "cond_stage_model.transformer.text_model.embeddings.position_ids"
"""the one table that old programs want in the file; all others make their own"""


def _position_ids(mended: Mended) -> Mended:
    for state in list(states(mended.tensors)):
        if state.state in ("broken", "float") or (state.state, state.tensor) == ("missing", OWED):
            mended = _rewritten(mended, state)
    return mended


REPAINTED = (
    "pictures change: the model was used, and perhaps tuned, with the wrong position ids; keep the "
    "old file if you like its pictures"
)
"""said where numbers that programs read were wrong; float and missing ids were read rightly"""


def _rewritten(mended: Mended, state: PositionIds) -> Mended:
    old = mended.tensors.get(state.tensor)
    count = old.size if old is not None and 0 < old.size <= LONGEST else 77
    sentence = f"{escape(state.tensor)} written as 0 … {count - 1}, as integers"
    if state.broken:
        index, value = state.broken[0]
        sentence += f" ({len(state.broken)} were wrong, the first {value:.6g} at {index})"
    return replace(
        mended,
        tensors={**mended.tensors, state.tensor: position_ids(count)},
        changes=(*mended.changes, sentence),
        warnings=(REPAINTED,) if state.state == "broken" else mended.warnings,
    )


FIXES: tuple[Fix, ...] = (
    Fix("prefixes", "strip module., state_dict. and a doubled model.", False, _prefixes),
    Fix("text-model", "put CLIP's old names under text_model.", False, _text_model),
    Fix("stray-keys", "drop a key of Waifu Diffusion 1.4 that is in the way", False, _stray_keys),
    Fix("position-ids", "write the position ids as the integers 0 … 76", True, _position_ids),
)
"""every fix, in the order in which they are made"""
