"""Several LoRAs as one: their changes are summed, and the sum is a product again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, sqrt
from os import PathLike
from pathlib import Path

from sfumato.containers.atomic import destination
from sfumato.containers.dtype import F32, DType
from sfumato.containers.model_file import Container
from sfumato.containers.sizes import counted
from sfumato.containers.text import escape
from sfumato.errors import Refused, Unverified, UsageError
from sfumato.operations.bake import Weighted
from sfumato.operations.beside import lineage_of
from sfumato.operations.carry_out import carry_out
from sfumato.operations.cast import Losses, dtype_named
from sfumato.operations.lora.crew import each
from sfumato.operations.lora.facts import facts, lora_container, lora_tree
from sfumato.operations.lora.kept import kind_title
from sfumato.operations.lora.layers import Layer, Opened, Place, opened
from sfumato.operations.lora.made import Made, computed, product, spelled
from sfumato.operations.lora.proof import ROUNDING, reread
from sfumato.operations.lora.refactored import (
    Cut,
    Ranks,
    Sought,
    cut,
    later,
    lay_all,
    loss,
    ranks_asked,
    sentences,
)
from sfumato.operations.lora.spellings import Style, style_like, style_named
from sfumato.operations.lora.spool import Spool
from sfumato.operations.lora.sums import Sum
from sfumato.operations.plan import Plan, Progress, Report
from sfumato.operations.recipe import Option

Strengths = tuple[float, float]
"""of what a LoRA changes in the UNet, and in text encoders"""


def merge(
    sources: Sequence[Weighted],
    target: str | PathLike[str],
    *,
    rank: int | str | None = None,
    conv_rank: int | str | None = None,
    max_rank: int | None = None,
    concat: bool = False,
    spelling: str | None = None,
    model: str | PathLike[str] | None = None,
    exact: bool = False,
    seed: int = 0,
    dtype: str | None = None,
    container: str | None = None,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Write one LoRA that does what several do together at these weights.

    sources: files; each alone, with a weight, or with one for the UNet and one for text encoders.
    rank: rules as in `extract`; None takes the largest rank of the inputs. The changes themselves
        are summed, w₁ΔW₁ + w₂ΔW₂ …, so there are no cross terms of one's factors with another's.
    concat: put the ranks side by side instead: exact, but as large as all inputs together, and for
        plain LoRA only. dtype: None takes the widest float type of the inputs.

    Raises Refused for LoRAs of several families and for kinds that depend on the weight, whose
    changes do not add up; UsageError for weights that are no finite numbers; what `convert` raises.
    """
    target, place = Path(target), lora_container(container, Path(target))
    paths, strengths = _strengths(sources)
    own = None if dtype is None else dtype_named(dtype)
    style = None if spelling is None else style_named(spelling)
    if not dry_run:
        destination(target, force=force)
    asked = Asked(
        target, place, style, own, concat=concat, exact=exact, seed=seed,
        words=(rank, conv_rank, max_rank),
        options={
            "weights": [f"{unet!r}:{text!r}" for unet, text in strengths],
            "rank": rank, "conv_rank": conv_rank, "max_rank": max_rank, "concat": concat,
            "spelling": style.name if style else None, "exact": exact, "seed": seed,
            "dtype": own.name.lower() if own else None, "container": place.name,
        },
    )  # fmt: skip
    base = None if model is None else Path(model)
    with opened(paths, base) as files, Spool(target.resolve().parent) as spool:
        plan, first = _plan(files, strengths, asked, spool, progress)
        return carry_out(plan, force=force, dry_run=dry_run, progress=later(progress, first))


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a merge, beside the files."""

    target: Path
    container: Container
    style: Style | None
    dtype: DType | None
    concat: bool
    exact: bool
    seed: int
    words: tuple[int | str | None, int | str | None, int | None]
    """rank, rank of convolutions, ranks at most"""
    options: Mapping[str, Option]


def _strengths(sources: Sequence[Weighted]) -> tuple[list[Path], list[Strengths]]:
    if not sources:
        raise UsageError("no LoRA was named to merge")
    paths, strengths = list[Path](), list[Strengths]()
    for source in sources:
        path, *weights = source if isinstance(source, tuple) else (source,)
        paths.append(Path(path))
        strengths.append((weights[0], weights[-1]) if weights else (1.0, 1.0))
    if not all(isfinite(number) for pair in strengths for number in pair):
        raise UsageError("weights of LoRAs must be finite numbers")
    return paths, strengths


def _sums(files: Opened, strengths: Sequence[Strengths]) -> list[Sum]:
    """What lies in each place, in the order in which the files name it.

    Raises Refused for changes that do not add up.
    """
    piles: dict[Place, list[tuple[Layer, float]]] = {}
    weights = dict(zip(map(id, files.loras), strengths, strict=True))
    for layer in files.layers():
        if layer.is_bent:
            raise Refused(
                f"{layer.lora.path}: {escape(layer.name, 100)} is {kind_title(layer)}, which "
                "depends on the weight that it changes, so it does not add up with others; "
                "`lora translate --rank` with its model makes plain LoRA of it"
            )
        unet, text = weights[id(layer.lora)]
        weight = unet if layer.part.role == "unet" else text
        if weight:
            piles.setdefault(layer.place, []).append((layer, weight))
    return [Sum(tuple(pile)) for pile in piles.values()]


def _plan(
    files: Opened,
    strengths: Sequence[Strengths],
    asked: Asked,
    spool: Spool,
    progress: Progress | None,
) -> tuple[Plan, int]:
    """The plan, and the bytes whose work is done."""
    sums = _sums(files, strengths)
    if not sums:
        raise Refused("nothing is left of these LoRAs at these weights, so nothing was written")
    style = asked.style or style_like(files.spelling)
    dtype = asked.dtype or _widest(files)
    matrices = [one for one in sums if one.first.is_matrix]
    made = [_vector(one) for one in sums if not one.first.is_matrix]
    if asked.concat:
        made += [_side_by_side(one) for one in matrices]
        told: tuple[str, ...] = (f"{counted(len(matrices), 'layer')} with all ranks side by side",)
        first = 0
    else:
        cuts, told, first = _cuts(matrices, asked, dtype, spool, progress)
        made += [one.made() for one in cuts]
    losses = Losses()
    tensors = spelled(made, style, files.target.family, dtype=dtype, losses=losses)
    metadata = _metadata(files, made)
    proof = _proved(sums, reread(tensors, metadata, sums[0].first, files.target), asked, dtype)
    plan = Plan(
        operation="lora_merge",
        options=asked.options,
        lineage=lineage_of(*files.files),
        sources=(*(file.path for file in files.files), *files.model),
        bytes_in=sum(file.size for file in files.files),
        target=asked.target,
        container=asked.container,
        tensors=tensors,
        metadata=metadata,
        tree=lora_tree(tensors, asked.container),
        changes=(*_named(files, strengths), *told, proof),
        warnings=tuple(note for lora in files.loras for note in lora.notes),
        losses=losses,
    )
    return plan, first


def _widest(files: Opened) -> DType:
    """The widest float type of the inputs; float32 where they have different ones as wide."""
    floats = {t.dtype for file in files.files for t in file.values() if t.dtype.kind == "float"}
    most = max((dtype.bits for dtype in floats), default=32)
    widest = [dtype for dtype in floats if dtype.bits == most]
    return widest[0] if len(widest) == 1 and most <= 32 else F32


def _vector(one: Sum) -> Made:
    layer = one.first
    slot = next((s for s in layer.slots if s in ("w_norm", "b_norm", "diff_b", "diff")), "diff_b")
    tensor = computed(layer.shape, one.change)
    return Made(layer.part.role, layer.module, "full", {slot: tensor})


def _side_by_side(one: Sum) -> Made:
    layer = one.first
    if not one.is_plain:
        other = next(layer for layer, _ in one.terms if not layer.is_plain)
        raise Refused(
            f"{other.lora.path}: {escape(other.name, 100)} is {kind_title(other)}, and only the "
            "ranks of plain LoRA can be put side by side"
        )
    return product(
        layer.part.role, layer.module, layer.shape, one.rank,
        up=lambda: one.stacked()[0], down=lambda: one.stacked()[1],
    )  # fmt: skip


def _cuts(
    sums: Sequence[Sum], asked: Asked, dtype: DType, spool: Spool, progress: Progress | None
) -> tuple[list[Cut], tuple[str, ...], int]:
    rank, conv_rank, most = asked.words
    ranks: Ranks = ranks_asked(_largest(sums) if rank is None else rank, conv_rank, most)
    every = [_sought(one, asked) for one in sums]
    laid = lay_all(every, spool, ranks, progress)
    cuts = cut(every, laid, ranks, dtype)
    told = sentences(loss(every, laid, cuts), cuts) if cuts else ()
    return cuts, told, sum(sought.nbytes for sought in every)


def _largest(sums: Sequence[Sum]) -> int:
    """The largest rank of any layer that goes in; whole differences count as 64."""
    layers = [layer for one in sums for layer, _ in one.terms]
    ranks = (layer.part.tensors["down"].shape[0] for layer in layers if layer.is_plain)
    return max([*ranks, *(64 for layer in layers if not layer.is_plain)], default=1)


def _sought(one: Sum, asked: Asked) -> Sought:
    layer = one.first
    nbytes = sum(t.nbytes for term, _ in one.terms for t in term.part.tensors.values())
    return Sought(
        layer.part.role, layer.module, layer.shape,
        lambda rank: one.factors(rank, exact=asked.exact, seed=asked.seed), nbytes,
    )  # fmt: skip


def _metadata(files: Opened, made: Sequence[Made]) -> dict[str, str]:
    own = [file.metadata for file in files.files]
    v = any(
        said.get("ss_base_model_version", "").endswith("_v")
        or said.get("modelspec.prediction_type") == "v"
        for said in own
    )
    names = [file.path.stem for file in files.files]
    found = facts(made, files.target.family, v=v, title=" + ".join(names), made_from=names)
    phrases = [said.get("modelspec.trigger_phrase", "") for said in own]
    words = list(dict.fromkeys(phrase for phrase in phrases if phrase))
    return found | ({"modelspec.trigger_phrase": ", ".join(words)} if words else {})


def _named(files: Opened, strengths: Sequence[Strengths]) -> Iterator[str]:
    for lora, (unet, text) in zip(files.loras, strengths, strict=True):
        apart = f" ({text:g} in text encoders)" if text != unet else ""
        yield f"{escape(lora.name, 100)} at {unet:g}{apart}: {counted(lora.applied, 'tensor')}"


def _proved(sums: Sequence[Sum], after: Sequence[Layer], asked: Asked, dtype: DType) -> str:
    """Compute every sum again, and what was made of it. Raises Unverified where concat differs."""
    found = {layer.place: layer for layer in after}
    there = [one for one in sums if one.first.place in found]
    squares = list(each(lambda one: one.distance(found[one.first.place]), there))
    apart, whole = (sum(pair[axis] for pair in squares) for axis in (0, 1))
    distance = sqrt(apart / whole) if whole else 0.0
    # Terms that cancel each other leave less than what each of them was rounded by.
    if asked.concat and whole and distance > ROUNDING.get(dtype, 0.0):
        raise Unverified(
            f"{asked.target}: the ranks side by side differ from the sum by {distance:.2%}; "
            "nothing was written"
        )
    return f"computed again from all files, the sum and this LoRA differ by {distance:.3g}"
