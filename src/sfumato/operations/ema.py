"""The averaged (EMA) weights of a checkpoint: put to use, dropped, taken out, measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sfumato.catalogue.averaged import COUNTERS, PREFIX, averaged
from sfumato.catalogue.identify import identify
from sfumato.catalogue.survey import survey
from sfumato.catalogue.verdict import Verdict
from sfumato.containers.model_file import Container, ModelFile, Tree
from sfumato.containers.open import open_model
from sfumato.containers.tensor import Tensor, Tensors
from sfumato.errors import Refused
from sfumato.operations.beside import lineage_of, metadata_of, tree_of, without_bookkeeping
from sfumato.operations.carry_out import carry_out
from sfumato.operations.cast import Losses, dtype_named
from sfumato.operations.convert import container_named
from sfumato.operations.plan import Dropped, Plan, Progress, Report
from sfumato.operations.recast import recast

if TYPE_CHECKING:
    from sfumato.catalogue.numbers.averages import Averages

Action = Literal["use", "drop", "extract"]

UNET = "model.diffusion_model."


@dataclass(frozen=True, slots=True)
class Chosen:
    """The tensors that an action leaves, and what it did to get there."""

    tensors: dict[str, Tensor]
    dropped: tuple[Dropped, ...]
    changes: tuple[str, ...]


def ema(
    source: str | PathLike[str],
    target: str | PathLike[str],
    *,
    action: Action = "use",
    dtype: str | None = None,
    container: str | None = None,
    strict: bool = False,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Make a file with one set of weights out of one with two.

    use: every trained tensor that has an average takes its numbers; the averages go, and so does
        optimizer state, which belongs to the trained numbers. What publishers call "ema-only".
    drop: the averages go, the trained weights stay ("no-ema").
    extract: only the averaged network, under its ordinary names.

    A trained tensor and its average are paired by the one rule of ldm/modules/ema.py: the name
    without its dots. Raises Refused where the file has no averages or a pair differs in shape, and
    what `convert` raises; `dtype` and `container` are as there.
    """
    source, target = Path(source), Path(target)
    place = container_named(container, target)
    wanted = None if dtype is None else dtype_named(dtype)
    with open_model(source) as model:
        verdict = identify(model, metadata=model.metadata, extras=model.extras)
        chosen = ACTIONS[action](model, verdict)
        losses = Losses()
        recasted = recast(chosen.tensors, wanted, losses, verdict)
        tensors = recasted.tensors
        plan = Plan(
            operation="ema",
            options={
                "action": action,
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
            tree=_tree(model, tensors, place, verdict, action),
            dropped=chosen.dropped,
            changes=(*chosen.changes, *recasted.changes),
            warnings=recasted.warnings,
            losses=losses,
            strict=strict,
        )
        return carry_out(plan, force=force, dry_run=dry_run, progress=progress)


def _tree(
    model: ModelFile, tensors: Tensors, place: Container, verdict: Verdict, action: Action
) -> Tree:
    tree = tree_of(model, tensors, place, verdict.kind)
    return tree if action == "drop" else without_bookkeeping(tree)


def distance(path: str | PathLike[str], *, progress: Progress | None = None) -> Averages:
    """How far the averages of a file are from its trained weights, in all and for each block.

    Distances are L2 norms of the difference over L2 norms of the trained weights. Raises Refused
    for a file without averages beside trained weights.
    """
    from sfumato.catalogue.numbers.averages import compare_averages, twins

    with open_model(path) as model:
        pairs = twins(model)
        total = sum(model[a].nbytes + model[b].nbytes for a, b in pairs.items())
        done = 0

        def tell(nbytes: int) -> None:
            nonlocal done
            done += nbytes
            if progress is not None:
                progress(done, total)

        found = compare_averages(model, tell=tell)
    if found is None:
        raise Refused(f"{path}: has no averaged weights beside trained ones, so nothing to compare")
    return found


def averages(model: ModelFile) -> dict[str, str]:
    """Trained name → averaged name; trained names are those a checkpoint would have.

    Raises Refused where there are none, and where a pair differs in shape.
    """
    found = averaged(survey({name: tensor.shape for name, tensor in model.items()}))
    if found is None or not found.names:
        raise Refused(
            f"{model.path}: has no averaged (EMA) weights: no name begins with {PREFIX} and is "
            "that of a known network without its dots"
        )
    if found.reshaped:
        raise Refused(f"{model.path}: an average has another shape: {found.reshaped[0]}")
    prefix = _live_prefix(model, found.names)
    return {prefix + live: there for live, there in found.names.items()} | dict(found.texts)


def _live_prefix(model: Tensors, names: Mapping[str, str]) -> str:
    """What stands before the trained names: as in the file, or as in a checkpoint."""
    prefixes = (UNET, "", "model.")
    counts = {prefix: sum(prefix + name in model for name in names) for prefix in prefixes}
    best = max(prefixes, key=lambda prefix: counts[prefix])
    return best if counts[best] else UNET


def _use(model: ModelFile, verdict: Verdict) -> Chosen:
    pairs = averages(model)
    both = {live: there for live, there in pairs.items() if live in model}
    if not both:
        raise Refused(
            f"{model.path}: has averages and no trained weights that they could replace; "
            "`ema --extract` writes them under their ordinary names"
        )
    training = {n for p in verdict.parts if p.role in ("optimizer", "training") for n in p.names}
    kept = {
        name: model[both[name]] if name in both else tensor
        for name, tensor in model.items()
        if not name.startswith(PREFIX) and name not in training
    }
    unet = [name for name in kept if name.startswith(UNET)]
    replaced = sum(name in both for name in unet)
    texts = len(both) - replaced
    changes = (
        f"{replaced} of {len(unet)} tensors of the UNet"
        + (f" and {texts} of the text encoder" if texts else "")
        + " now hold the averaged numbers",
        *_alone(pairs, both),
    )
    copies = {name for name in model if name.startswith(PREFIX)}
    dropped = (
        *_gone(model, copies, "averages under their own names, once they are in place"),
        *_gone(model, training, "optimizer state, which belongs to the trained numbers"),
    )
    return Chosen(kept, dropped, changes)


def _alone(pairs: Mapping[str, str], both: Mapping[str, str]) -> tuple[str, ...]:
    count = len(pairs) - len(both)
    return (f"{count} averages have no trained twin and were left out",) if count else ()


def _drop(model: ModelFile, verdict: Verdict) -> Chosen:
    names = {name for name in model if name.startswith(PREFIX)}
    if not names - set(COUNTERS):
        raise Refused(f"{model.path}: has no averaged (EMA) weights to drop")
    kept = {name: tensor for name, tensor in model.items() if name not in names}
    return Chosen(kept, _gone(model, names, "averaged (EMA) weights"), ())


def _extract(model: ModelFile, verdict: Verdict) -> Chosen:
    pairs = averages(model)
    kept = {live: model[there] for live, there in pairs.items()}
    names = set(model) - set(pairs.values())
    count = f"{len(kept)} averages under their ordinary names"
    return Chosen(kept, _gone(model, names, "not part of the averaged network"), (count,))


def _gone(model: Tensors, names: set[str], reason: str) -> tuple[Dropped, ...]:
    return tuple(Dropped(name, reason, model[name].nbytes) for name in model if name in names)


ACTIONS = {"use": _use, "drop": _drop, "extract": _extract}
