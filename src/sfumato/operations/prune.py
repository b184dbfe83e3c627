"""Prune: what a model does not need is left out, by part and never by guess."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from sfumato.catalogue.identify import identify
from sfumato.catalogue.verdict import Verdict
from sfumato.containers.model_file import ModelFile, Tree
from sfumato.containers.open import open_model
from sfumato.errors import Refused, UsageError
from sfumato.operations.beside import lineage_of, metadata_of, tree_of, without_bookkeeping
from sfumato.operations.carry_out import carry_out
from sfumato.operations.cast import Losses, dtype_named
from sfumato.operations.convert import container_named
from sfumato.operations.plan import Dropped, Plan, Progress, Report
from sfumato.operations.recast import recast


@dataclass(frozen=True, slots=True)
class Droppable:
    """A sort of tensors that may be left out."""

    name: str
    """as it is asked for"""
    roles: tuple[str, ...]
    """roles of the parts that go"""
    reason: str
    """why they may go"""
    usual: bool
    """True where they go unless something else is asked for"""


DROPPABLE: tuple[Droppable, ...] = (
    Droppable("optimizer", ("optimizer",), "optimizer state: only resumes a training run", True),
    Droppable("training", ("training",), "bookkeeping of the training program", True),
    Droppable("loss", ("loss",), "losses and discriminator: only used in training", True),
    Droppable("ema", ("ema",), "averaged (EMA) weights", False),
    Droppable("buffers", ("buffers",), "noise schedule tables: every program has its own", False),
    Droppable("unknown", ("unknown",), "belongs to no known part", False),
)
"""what can be dropped, by role of the part; the trained weights are dropped by `ema --use`"""

USUAL = tuple(sort.name for sort in DROPPABLE if sort.usual)


def prune(
    source: str | PathLike[str],
    target: str | PathLike[str],
    *,
    drop: Collection[str] = USUAL,
    dtype: str | None = None,
    container: str | None = None,
    strict: bool = False,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Write `source` without the parts named in `drop`.

    drop: optimizer, training, loss, ema, buffers, unknown. By default the first three, without
        which every picture stays bit for bit the same.
    Storage that no tensor uses is never written, whatever is asked for.

    Raises UsageError for an unknown name, Refused where nothing would be left or the file is not
    known well enough to say what is unknown in it, and what `convert` raises.
    """
    source, target = Path(source), Path(target)
    sorts = _chosen(drop)
    place = container_named(container, target)
    wanted = None if dtype is None else dtype_named(dtype)
    with open_model(source) as model:
        verdict = identify(model, metadata=model.metadata, extras=model.extras)
        dropped = tuple(_dropped(model, verdict, sorts))
        gone = {item.name for item in dropped}
        kept = {name: tensor for name, tensor in model.items() if name not in gone}
        if not kept:
            raise Refused(f"{source}: nothing would be left of it")
        losses = Losses()
        recasted = recast(kept, wanted, losses, verdict)
        tensors = recasted.tensors
        plan = Plan(
            operation="prune",
            options={
                "drop": sorted(sort.name for sort in sorts),
                "dtype": wanted.name.lower() if wanted else None,
                "container": place.name,
            },
            lineage=lineage_of(model),
            sources=(source,),
            bytes_in=model.size,
            target=target,
            container=place,
            tensors=tensors,
            metadata=metadata_of(model, place),
            tree=_tree(tree_of(model, tensors, place, verdict.kind), sorts),
            dropped=dropped,
            changes=recasted.changes,
            warnings=recasted.warnings,
            losses=losses,
            strict=strict,
        )
        return carry_out(plan, force=force, dry_run=dry_run, progress=progress)


def _chosen(drop: Collection[str]) -> tuple[Droppable, ...]:
    known = {sort.name: sort for sort in DROPPABLE}
    for name in drop:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1, 0.3)
            hint = f"nearest: {near[0]}" if near else f"there are {', '.join(known)}"
            raise UsageError(f"{name}: is nothing that can be dropped; {hint}")
    return tuple(sort for sort in DROPPABLE if sort.name in drop)


def _dropped(model: ModelFile, verdict: Verdict, sorts: tuple[Droppable, ...]) -> Iterator[Dropped]:
    reasons = {role: sort.reason for sort in sorts for role in sort.roles}
    if "unknown" in reasons and verdict.kind == "unknown":
        raise Refused(
            f"{model.path}: is not recognised, so nothing in it can be called unknown and dropped"
        )
    if "ema" in reasons and not any(part.role in ("unet", "vae") for part in verdict.parts):
        raise Refused(
            f"{model.path}: holds averaged weights and no trained ones: dropping them would leave "
            "no network"
        )
    for part in verdict.parts:
        reason = reasons.get(part.role)
        if reason is not None:
            yield from (Dropped(name, reason, model[name].nbytes) for name in part.names)


def _tree(tree: Tree, sorts: tuple[Droppable, ...]) -> Tree:
    """A training program's own entries go with its tensors."""
    training = {"optimizer", "training"} <= {sort.name for sort in sorts}
    return without_bookkeeping(tree) if training else tree
