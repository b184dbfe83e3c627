"""Translating a LoRA: the same changes in another spelling, or as plain LoRA."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from sfumato.operations.cast import dtype_named
from sfumato.operations.lora.facts import lora_container
from sfumato.operations.lora.refactored import ranks_asked
from sfumato.operations.lora.remake import Remake, remake
from sfumato.operations.lora.spellings import style_named
from sfumato.operations.plan import Progress, Report


def translate(
    source: str | PathLike[str],
    target: str | PathLike[str],
    *,
    spelling: str = "kohya",
    rank: int | str | None = None,
    max_rank: int | None = None,
    model: str | PathLike[str] | None = None,
    exact: bool = False,
    seed: int = 0,
    dtype: str | None = None,
    container: str | None = None,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Write a LoRA in the names of other programs; every change is computed from both, compared.

    spelling: kohya, onetrainer, lycoris, comfyui, peft (diffusers') or diffusers-0.2.
    rank: makes plain LoRA of LoHa, LoKr and whole differences, of ranks as `extract` takes them;
        with `model` also of kinds that depend on the weight, such as DoRA and IA3. max_rank: at
        most so many. None keeps every kind. exact, seed: as there.
    model: the model that it is for, where that is of no published size.
    dtype: float type of the output; None keeps the file's.

    Raises Refused where the spelling has no words for something, Unverified where a change would
    come out otherwise, and what `convert` raises.
    """
    source, target = Path(source), Path(target)
    style, place = style_named(spelling), lora_container(container, target)
    own = None if dtype is None else dtype_named(dtype)
    options = {
        "spelling": style.name, "rank": rank, "max_rank": max_rank, "exact": exact, "seed": seed,
        "dtype": own.name.lower() if own else None, "container": place.name,
    }  # fmt: skip
    asked = Remake(
        "lora_translate", options, place, style,
        None if rank is None else ranks_asked(rank, most=max_rank),
        dtype=own, model=None if model is None else Path(model), exact=exact, seed=seed,
    )  # fmt: skip
    return remake(source, target, asked, force=force, dry_run=dry_run, progress=progress)
