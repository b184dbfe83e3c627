"""The LoRA between a fine-tuned model and what it was tuned from."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from math import sqrt
from os import PathLike
from pathlib import Path
from typing import Literal

from sfumato.containers.atomic import destination
from sfumato.containers.dtype import DType
from sfumato.containers.model_file import Container, ModelFile
from sfumato.containers.open import open_model
from sfumato.containers.text import escape
from sfumato.errors import Refused, UsageError
from sfumato.operations.adapters.opened import opened
from sfumato.operations.beside import lineage_of
from sfumato.operations.carry_out import carry_out
from sfumato.operations.cast import Losses, dtype_named
from sfumato.operations.lora.crew import each, seed_for
from sfumato.operations.lora.factor import Factors, factorise
from sfumato.operations.lora.facts import facts, lora_container, lora_tree
from sfumato.operations.lora.made import Made, computed, spelled
from sfumato.operations.lora.pairs import NOUNS, SCOPES, Moved, Pair, alone, pairs
from sfumato.operations.lora.refactored import (
    Cut,
    Ranks,
    Sought,
    cut,
    later,
    loss,
    ranks_asked,
    sentences,
)
from sfumato.operations.lora.spellings import Style, style_named
from sfumato.operations.lora.spool import Laid, Spool
from sfumato.operations.plan import Plan, Progress, Report
from sfumato.operations.recipe import Option

Text = Literal["auto", "always", "never"]

STILL = 5e-4
"""‖ΔW‖ / ‖W‖ of a text encoder below which it counts as the same: a few roundings to F16"""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of an extraction, beside the files."""

    target: Path
    container: Container
    style: Style
    dtype: DType
    ranks: Ranks
    scope: str
    text: Text
    exact: bool
    seed: int
    options: dict[str, Option]


def extract(
    tuned: str | PathLike[str],
    base: str | PathLike[str],
    target: str | PathLike[str],
    *,
    rank: int | str = 64,
    conv_rank: int | str | None = None,
    max_rank: int | None = None,
    scope: str = "attention",
    text: Text = "auto",
    exact: bool = False,
    seed: int = 0,
    spelling: str = "kohya",
    dtype: str = "f16",
    container: str | None = None,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Write the LoRA that makes `tuned` of `base`: their difference, as products of low rank.

    rank: ranks of every layer, or a rule that chooses them: "energy:0.95", "error:0.1",
        "ratio:20", "size:40MB". conv_rank: the same for convolutions larger than 1×1. max_rank: at
        most so many where a rule chooses (128).
    scope: attention (LoRA: what kohya's trains), convolution (LoCon: residual blocks and samplers
        too), everything (the outer layers, norms and biases as well).
    text: text encoders: auto takes those that moved by more than rounding explains.
    exact: singular values by full decompositions instead of random projections of a fixed seed;
        the error is measured and told in either case.
    dtype: float type of the LoRA. spelling: as in `translate`.

    One layer at a time on each of two cores: memory does not grow with the model. Raises Refused
    for models of two families or sizes, and where nothing moved; what `convert` raises.
    """
    tuned, base, target = Path(tuned), Path(base), Path(target)
    place, kind = lora_container(container, target), dtype_named(dtype)
    style = style_named(spelling)
    _check(scope, SCOPES, "scope")
    _check(text, ("auto", "always", "never"), "text")
    options: dict[str, Option] = {
        "rank": rank, "conv_rank": conv_rank, "max_rank": max_rank, "scope": scope, "text": text,
        "exact": exact, "seed": seed, "spelling": style.name, "dtype": kind.name.lower(),
        "container": place.name,
    }  # fmt: skip
    asked = Asked(
        target, place, style, kind, ranks_asked(rank, conv_rank, max_rank), scope, text,
        exact, seed, options,
    )  # fmt: skip
    if not dry_run:
        destination(target, force=force)
    with ExitStack() as stack:
        after, before = (stack.enter_context(open_model(path)) for path in (tuned, base))
        spool = stack.enter_context(Spool(target.resolve().parent))
        plan, first = _plan(after, before, asked, spool, progress)
        return carry_out(plan, force=force, dry_run=dry_run, progress=later(progress, first))


def _check(word: str, known: Collection[str], what: str) -> None:
    if word not in known:
        near = difflib.get_close_matches(word, known, 1, 0.0)[0]
        raise UsageError(f"{what} {escape(word, 40)}: there is no such; nearest: {near}")


@dataclass(slots=True)
class Found:
    """What was measured, and what is to be written of it."""

    every: list[Sought] = field(default_factory=list[Sought])
    laid: list[Laid] = field(default_factory=list[Laid])
    vectors: list[Made] = field(default_factory=list[Made])
    told: list[str] = field(default_factory=list[str])
    outside: float = 0.0
    """‖ΔW‖² of all that the LoRA does not reach"""
    nbytes: int = 0


def _plan(
    after: ModelFile, before: ModelFile, asked: Asked, spool: Spool, progress: Progress | None
) -> tuple[Plan, int]:
    """The plan, and the bytes whose work is done."""
    tuned, base = opened(after), opened(before)
    found = _measured(pairs(tuned.target, base.target, asked.scope), asked, spool, progress)
    cuts = cut(found.every, found.laid, asked.ranks, asked.dtype)
    made = [*(one.made() for one in cuts), *found.vectors]
    if not made:
        raise Refused(
            f"{after.path}: does not differ from {before.path} where a LoRA of scope "
            f"{asked.scope} reaches, so there is nothing to extract"
        )
    losses = Losses()
    family, prediction = base.target.family, tuned.verdict.prediction
    tensors = spelled(made, asked.style, family, dtype=asked.dtype, losses=losses)
    v = prediction is not None and prediction.type == "v"
    names = [after.path.stem, before.path.stem]
    metadata = facts(made, family, v=v, title=names[0], made_from=names)
    metadata["ss_sd_model_name"] = before.path.name
    plan = Plan(
        operation="lora_extract",
        options=asked.options,
        lineage=lineage_of(after, before),
        sources=(after.path, before.path),
        bytes_in=after.size + before.size,
        target=asked.target,
        container=asked.container,
        tensors=tensors,
        metadata=metadata,
        tree=lora_tree(tensors, asked.container),
        changes=tuple(_told(found, cuts, asked)),
        warnings=(*tuned.notes, *base.notes, *alone(tuned.target, base.target)),
        losses=losses,
    )
    return plan, found.nbytes


def _measured(
    every: Sequence[Pair], asked: Asked, spool: Spool, progress: Progress | None
) -> Found:
    """Compute every change: factors where the LoRA reaches, the bare size where it does not."""
    total = sum(pair.nbytes for pair in every)
    found, moved = Found(nbytes=total), dict[int, tuple[Moved, Laid | None]]()
    done = 0
    for pair, one in zip(every, each(lambda p: _one(p, asked, spool), every), strict=True):
        moved[id(pair)] = one
        done += pair.nbytes
        if progress is not None:
            progress(done, total)
    roles = _roles(every, moved, asked, found)
    for pair in every:
        size, laid = moved[id(pair)]
        if not pair.reached or pair.role not in roles:
            found.outside += size.square
        elif not size.square:
            continue
        elif laid is not None:
            found.every.append(Sought(pair.role, pair.module, pair.shape, _never))
            found.laid.append(laid)
        else:
            slots = {pair.slot: computed(pair.shape, pair.change)}
            found.vectors.append(Made(pair.role, pair.module, "full", slots))
    return found


def _one(pair: Pair, asked: Asked, spool: Spool) -> tuple[Moved, Laid | None]:
    change, moved = pair.measure()
    unwanted = pair.role != "unet" and asked.text == "never"
    if not pair.reached or pair.slot or unwanted or not moved.square:
        return moved, None
    seed, rank = seed_for(asked.seed, pair.name), asked.ranks.known(pair.shape)
    factors = factorise(change.flatten(1), rank, exact=asked.exact, seed=seed)
    return moved, spool.lay(factors)


def _never(rank: int) -> Factors:
    raise AssertionError("the factors are laid aside already")


def _roles(
    every: Sequence[Pair],
    moved: dict[int, tuple[Moved, Laid | None]],
    asked: Asked,
    found: Found,
) -> set[str]:
    """The networks that the LoRA is to hold; says why the others are not in it."""
    roles: set[str] = set()
    for role in dict.fromkeys(pair.role for pair in every):
        own = [moved[id(pair)][0] for pair in every if pair.role == role]
        square, whole = sum(m.square for m in own), sum(m.whole for m in own)
        share = sqrt(square / whole) if whole else 0.0
        noun = NOUNS.get(role, role)
        if role == "unet" or asked.text == "always" or (asked.text == "auto" and share > STILL):
            roles.add(role)
            found.told.append(f"the {noun} moved by {share:.3%}")
        else:
            why = "as was asked" if asked.text == "never" else "no more than rounding explains"
            found.told.append(f"the {noun} is left out: it moved by {share:.3%}, {why}")
    return roles


def _told(found: Found, cuts: Sequence[Cut], asked: Asked) -> Iterator[str]:
    yield from found.told
    lost = loss(found.every, found.laid, cuts)
    if cuts:
        how = "exactly" if asked.exact else f"by random projection (seed {asked.seed})"
        whole, *rows = sentences(lost, cuts)
        yield f"{whole}, factored {how}"
        yield from rows
    if found.vectors:
        yield f"{len(found.vectors)} norms and biases as whole differences"
    if found.outside:
        share = found.outside / (found.outside + lost.square)
        yield f"{share:.2%} of all that changed lies where this LoRA does not reach"
