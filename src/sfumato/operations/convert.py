"""Convert: the same model in another container, another float type, another spelling of names."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from pathlib import Path

from sfumato.catalogue.identify import identify
from sfumato.containers.dtype import F32, DType
from sfumato.containers.layout import Plan as WritePlan
from sfumato.containers.model_file import (
    CONTAINERS,
    DIFFUSERS,
    GGUF,
    PICTURE,
    Container,
    ModelFile,
    Tree,
)
from sfumato.containers.open import open_model
from sfumato.containers.save import WRITERS, writer_for
from sfumato.containers.sizes import counted
from sfumato.containers.tensor import Tensors
from sfumato.containers.text import escape
from sfumato.errors import Refused, UsageError
from sfumato.operations.beside import lineage_of, metadata_of, renamed, tree_of
from sfumato.operations.carry_out import carry_out
from sfumato.operations.cast import Losses, dtype_named
from sfumato.operations.plan import Plan, Progress, Report
from sfumato.operations.recast import multiplied_out, recast
from sfumato.operations.respell import respell

SPELLINGS = ("ldm", "diffusers")

QUANTISED = "q8_0"
"""the one block type that is written, and only to GGUF"""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of a conversion."""

    dtype: DType | None
    """float type of the output; None keeps every tensor's own"""
    encoding: str
    """block type of the output, such as Q8_0; empty for none"""
    container: Container
    spelling: str
    """ldm or diffusers; empty keeps the names"""
    strict: bool


def convert(
    source: str | PathLike[str],
    target: str | PathLike[str],
    *,
    dtype: str | None = None,
    container: str | None = None,
    spelling: str | None = None,
    strict: bool = False,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Write `source` to `target` in another container, float type or spelling.

    dtype: f32, f16, bf16, f8_e4m3, f8_e5m2 (or q8_0 for GGUF); floats only: integers and
        position ids are never cast. None keeps every tensor's own.
    container: safetensors, torch-zip, gguf, picture or diffusers-folder; from the suffix of
        `target` where it is None. A target without a suffix is a diffusers folder.
    spelling: ldm or diffusers; None keeps the names, but for folders, which have their own.
    strict: stop where a cast would make a number infinite, instead of reporting it.

    Memory does not grow with the model. Raises the errors of `open_model`, UsageError, Refused,
    OutputExists, NoRoom or Unverified; an old `target` is untouched unless all went well.
    """
    source, target = Path(source), Path(target)
    place = container_named(container, target)
    wish = Wish(
        None if dtype in (None, QUANTISED) else dtype_named(dtype or ""),
        QUANTISED.upper() if dtype == QUANTISED else "",
        place,
        spelling_named(spelling),
        strict,
    )
    if wish.encoding and place != GGUF:
        raise UsageError(f"{QUANTISED}: is written to GGUF only, and {target} is {place.title}")
    with open_model(source) as model:
        plan = plan_conversion(model, target, wish)
        return carry_out(plan, force=force, dry_run=dry_run, progress=progress)


def container_named(name: str | None, target: Path) -> Container:
    """The container of a given name, or of the target's suffix."""
    if name is None:
        return DIFFUSERS if not target.suffix else writer_for(target).container
    for container in CONTAINERS:
        if container.name == name:
            if container != DIFFUSERS:
                writer_for(target, container)
            return container
    known = [writer.container.name for writer in WRITERS] + [DIFFUSERS.name]
    near = difflib.get_close_matches(name, known, 1, 0.3) or known
    raise UsageError(f"{name}: is no container that is written; nearest: {near[0]}")


def spelling_named(name: str | None) -> str:
    if name is not None and name not in SPELLINGS:
        raise UsageError(f"{name}: is no spelling; there are {' and '.join(SPELLINGS)}")
    return name or ""


def plan_conversion(model: ModelFile, target: Path, wish: Wish) -> Plan:
    """Everything that `convert` will do with `model`."""
    verdict = identify(model, metadata=model.metadata, extras=model.extras, stem=model.path.stem)
    if not model:
        raise Refused(f"{model.path}: has no tensors, so there is nothing to convert")
    dtype = F32 if wish.container == PICTURE else wish.dtype
    plain = multiplied_out(model, dtype, plain=bool(wish.encoding))
    spelled = respell(replace(model, tensors=plain.tensors), verdict, wish.spelling, wish.container)
    losses = Losses()
    kept = renamed(spelled.tensors, wish.container, verdict.kind)
    recasted = recast(kept, dtype, losses, verdict)
    tensors = recasted.tensors
    tree = tree_of(model, tensors, wish.container, verdict.kind)
    return Plan(
        operation="convert",
        options={
            "dtype": wish.encoding.lower() or (wish.dtype.name.lower() if wish.dtype else None),
            "container": wish.container.name,
            "spelling": wish.spelling or None,
        },
        lineage=lineage_of(model),
        sources=(model.path,),
        bytes_in=model.size,
        target=target,
        container=wish.container,
        tensors=tensors,
        metadata={**metadata_of(model, wish.container), **spelled.metadata},
        tree=tree,
        dropped=spelled.dropped,
        changes=(
            *plain.changes,
            *spelled.changes,
            *recasted.changes,
            *_quantised(tensors, wish),
            *_drawn(tree, wish),
        ),
        warnings=(*spelled.warnings, *recasted.warnings),
        losses=losses,
        strict=wish.strict,
        layout=_quantising(wish),
    )


def _quantised(tensors: Tensors, wish: Wish) -> Iterator[str]:
    if wish.encoding:
        from sfumato.containers.gguf.write import bears_blocks

        count = sum(bears_blocks(name, tensor) for name, tensor in tensors.items())
        yield f"{counted(count, 'tensor')} quantised to {wish.encoding}, which loses precision"


def _drawn(tree: Tree, wish: Wish) -> Iterator[str]:
    if wish.container == PICTURE and isinstance(tree, dict):
        beside = ", ".join(f"{key} {escape(str(value))}" for key, value in tree.items())
        yield f"beside the vectors stands: {beside}"


def _quantising(wish: Wish) -> WritePlan | None:
    if not wish.encoding:
        return None
    from sfumato.containers.gguf.write import plan_gguf

    return partial(plan_gguf, encoding=wish.encoding)
