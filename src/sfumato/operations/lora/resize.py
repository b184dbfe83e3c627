"""Resizing a LoRA: its changes at other ranks, the best of their rank that there are."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from sfumato.operations.cast import dtype_named
from sfumato.operations.lora.facts import lora_container
from sfumato.operations.lora.refactored import ranks_asked
from sfumato.operations.lora.remake import Remake, remake
from sfumato.operations.lora.spellings import style_named
from sfumato.operations.plan import Progress, Report


def resize(
    source: str | PathLike[str],
    target: str | PathLike[str],
    *,
    rank: int | str,
    conv_rank: int | str | None = None,
    max_rank: int | None = None,
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
    """Write a LoRA with fewer ranks, or as few as a share of the change, or a file size, allows.

    Singular values of the changes themselves decide, so plain LoRA is cut as well as can be
    (Eckart and Young 1936); LoHa, LoKr and whole differences become plain LoRA. The scale is
    multiplied in and alpha becomes the rank, so the strength stays. Norms, biases, and kinds that
    depend on the weight (DoRA, IA3 …) stay as they are. All options are as in `extract` and
    `translate`; without `spelling` the file's own is kept.
    """
    source, target = Path(source), Path(target)
    place = lora_container(container, target)
    style = None if spelling is None else style_named(spelling)
    own = None if dtype is None else dtype_named(dtype)
    options = {
        "rank": rank, "conv_rank": conv_rank, "max_rank": max_rank,
        "spelling": style.name if style else None, "exact": exact, "seed": seed,
        "dtype": own.name.lower() if own else None, "container": place.name,
    }  # fmt: skip
    asked = Remake(
        "lora_resize", options, place, style, ranks_asked(rank, conv_rank, max_rank),
        every_rank=True, dtype=own, model=None if model is None else Path(model),
        exact=exact, seed=seed,
    )  # fmt: skip
    return remake(source, target, asked, force=force, dry_run=dry_run, progress=progress)
