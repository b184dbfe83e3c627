"""Bake: LoRAs, a VAE or both written into a checkpoint; unbake takes LoRAs out again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from math import isfinite
from os import PathLike
from pathlib import Path

from sfumato.catalogue.identify import identify
from sfumato.containers.dtype import F8_E4M3, F8_E5M2, DType
from sfumato.containers.model_file import Container, ModelFile
from sfumato.containers.open import open_model
from sfumato.containers.sizes import counted
from sfumato.containers.tensor import Tensor
from sfumato.containers.text import escape
from sfumato.errors import UsageError
from sfumato.operations.applied import Applied
from sfumato.operations.beside import lineage_of, metadata_of, tree_of
from sfumato.operations.carry_out import carry_out
from sfumato.operations.cast import Losses, casts, dtype_named
from sfumato.operations.convert import container_named
from sfumato.operations.plan import Dropped, Plan, Progress, Report
from sfumato.operations.recast import recast
from sfumato.operations.recipe import Option
from sfumato.operations.respell import respell
from sfumato.operations.vae_place import replace_vae

Name = str | PathLike[str]

Weighted = Name | tuple[Name, float] | tuple[Name, float, float]
"""a LoRA; with its strength, 1 if not given; with another strength for text encoders"""


@dataclass(frozen=True, slots=True)
class Strong:
    """A LoRA and how strongly it is baked."""

    path: Path
    unet: float
    te: float


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of a baking."""

    operation: str
    """bake, unbake or vae_replace"""
    loras: tuple[Strong, ...]
    vae: Path | None
    dtype: DType | None
    """float type of the output; None keeps every tensor's own"""
    container: Container
    strict: bool

    @property
    def options(self) -> dict[str, Option]:
        """As the recipe has them: files by their names, in the order of the recipe's inputs."""
        sign = -1 if self.operation == "unbake" else 1  # the strengths as they were given
        strengths: dict[str, Option] = {
            "loras": [lora.path.name for lora in self.loras],
            "weights": [repr(sign * lora.unet) for lora in self.loras],
            "te_weights": [repr(sign * lora.te) for lora in self.loras],
        }
        vae: dict[str, Option] = {"vae": self.vae.name if self.vae else None}
        form: dict[str, Option] = {
            "dtype": self.dtype.name.lower() if self.dtype else None,
            "container": self.container.name,
        }
        own = {"bake": strengths | vae, "unbake": strengths, "vae_replace": vae}
        return own[self.operation] | form


def bake(
    source: Name,
    target: Name,
    *,
    loras: Sequence[Weighted] = (),
    vae: Name | None = None,
    dtype: str | None = None,
    container: str | None = None,
    strict: bool = False,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Write `source` with LoRAs added to its weights, another VAE in the place of its own, or both.

    loras: files of any kind and spelling, in the order in which they are added; each alone, with a
        strength, or with one for the UNet and one for text encoders.
    vae: a VAE, or any file that holds one; it takes the place of the old one as a whole.
    dtype: float type of the output; None keeps every tensor's own. What is changed is computed in
        float32 and cast once.

    The names stay those of `source`. Memory holds a few weights at a time. Raises Refused for a
    LoRA or a VAE that does not belong to this model, Damaged for one with numbers that are none,
    and what `convert` raises.
    """
    if not loras and vae is None:
        raise UsageError("bake: say what to bake: LoRAs, a VAE or both")
    strong = tuple(_strong(lora) for lora in loras)
    wish = _wish("bake", strong, vae, dtype, container_named(container, Path(target)), strict)
    return _carried(source, Path(target), wish, force=force, dry_run=dry_run, progress=progress)


def unbake(
    source: Name,
    target: Name,
    *,
    loras: Sequence[Weighted],
    dtype: str | None = None,
    container: str | None = None,
    strict: bool = False,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Write `source` less LoRAs that were baked into it, at the strengths that they were baked at.

    What comes out is what was there before, but for the rounding of the type that it is stored in:
    one unit in the last place. Raises Refused for kinds that cannot be subtracted, because their
    change depends on the weight that they met (DoRA, OFT, GLoRA, IA³, whole new weights), and what
    `bake` raises.
    """
    if not loras:
        raise UsageError("unbake: say which LoRAs to take out")
    strong = (_strong(lora) for lora in loras)
    less = tuple(replace(lora, unet=-lora.unet, te=-lora.te) for lora in strong)
    wish = _wish("unbake", less, None, dtype, container_named(container, Path(target)), strict)
    return _carried(source, Path(target), wish, force=force, dry_run=dry_run, progress=progress)


def vae_replace(
    source: Name,
    target: Name,
    *,
    vae: Name,
    dtype: str | None = None,
    container: str | None = None,
    strict: bool = False,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Write `source` with another VAE, whole, in the place of its own.

    vae: a VAE in a file of its own, or any file that holds one, in any spelling. Its numbers are
        read first: a broken one is not put anywhere. Nothing else changes.

    Raises Refused for a VAE that does not fit, Damaged for a broken one, and what `convert` raises.
    """
    wish = _wish("vae_replace", (), vae, dtype, container_named(container, Path(target)), strict)
    return _carried(source, Path(target), wish, force=force, dry_run=dry_run, progress=progress)


def _strong(lora: Weighted) -> Strong:
    match lora:
        case (path, unet):
            found = Strong(Path(path), float(unet), float(unet))
        case (path, unet, te):
            found = Strong(Path(path), float(unet), float(te))
        case path:
            found = Strong(Path(path), 1.0, 1.0)
    if not (isfinite(found.unet) and isfinite(found.te)):
        raise UsageError(f"{escape(found.path.name)}: strengths must be finite numbers")
    return found


def _wish(
    operation: str,
    loras: tuple[Strong, ...],
    vae: Name | None,
    dtype: str | None,
    container: Container,
    strict: bool,
) -> Wish:
    wanted = None if dtype is None else dtype_named(dtype)
    return Wish(operation, loras, None if vae is None else Path(vae), wanted, container, strict)


def _carried(
    source: Name,
    target: Path,
    wish: Wish,
    *,
    force: bool,
    dry_run: bool,
    progress: Progress | None,
) -> Report:
    with ExitStack() as resources:
        model = resources.enter_context(open_model(source))
        plan = plan_baking(model, target, wish, resources)
        return carry_out(plan, force=force, dry_run=dry_run, progress=progress)


@dataclass(slots=True)
class Dough:
    """A model on its way, ingredient by ingredient."""

    model: ModelFile
    tensors: dict[str, Tensor]
    before: dict[str, Tensor]
    """what the tensors were before they were changed: for the report on casts"""
    sources: list[Path]
    size: int
    """bytes of all files"""
    metadata: dict[str, str]
    dropped: list[Dropped] = field(default_factory=list[Dropped])
    changes: list[str] = field(default_factory=list[str])
    warnings: list[str] = field(default_factory=list[str])
    lineage: list[str] = field(default_factory=list[str])
    outcome: Callable[[], Iterable[str]] = tuple


def plan_baking(model: ModelFile, target: Path, wish: Wish, resources: ExitStack) -> Plan:
    """Everything that will be done with `model`; what it takes stays open in `resources`."""
    verdict = identify(model, metadata=model.metadata, extras=model.extras, stem=model.path.stem)
    whole, losses = dict(model), Losses()
    dough = Dough(model, whole, whole, [model.path], model.size, dict(model.metadata))
    dough.lineage += lineage_of(model)
    if wish.loras:
        _add_loras(dough, wish, losses, resources)
    if wish.vae is not None:
        _add_vae(dough, resources.enter_context(open_model(wish.vae)))
    recasted = recast(dough.tensors, wish.dtype, losses, verdict)
    made = replace(model, tensors=recasted.tensors, metadata=dough.metadata)
    spelled = respell(made, verdict, "", wish.container)
    cast_to = casts(dough.before, recasted.tensors) if wish.loras else recasted.changes
    return Plan(
        operation=wish.operation,
        options=wish.options,
        lineage=tuple(dough.lineage),
        sources=tuple(dough.sources),
        bytes_in=dough.size,
        target=target,
        container=wish.container,
        tensors=spelled.tensors,
        metadata={**metadata_of(made, wish.container), **spelled.metadata},
        tree=tree_of(made, spelled.tensors, wish.container, verdict.kind),
        dropped=(*dough.dropped, *spelled.dropped),
        changes=(*dough.changes, *cast_to, *spelled.changes),
        warnings=(*dough.warnings, *recasted.warnings, *spelled.warnings),
        outcome=dough.outcome,
        losses=losses,
        strict=wish.strict,
    )


def _add_loras(dough: Dough, wish: Wish, losses: Losses, resources: ExitStack) -> None:
    from sfumato.operations.adapters.baked import bake_loras
    from sfumato.operations.adapters.lora import read_lora
    from sfumato.operations.adapters.opened import opened
    from sfumato.operations.adapters.refusal import unsubtractable
    from sfumato.operations.adapters.uses import Use

    there = opened(dough.model)
    uses: list[Use] = []
    for strong in wish.loras:
        lora = read_lora(strong.path, there.target)
        resources.callback(lora.close)
        uses.append(Use(lora, strong.te, strong.unet))
        dough.sources.append(lora.file.path)
        dough.size += lora.file.size
        dough.lineage += lineage_of(lora.file)
        dough.warnings += [f"{escape(lora.name)}: {note}" for note in lora.notes]
        dough.warnings += _left_behind(lora.name, lora.embeddings)
        if wish.operation == "unbake":
            unsubtractable(lora)
    baked = bake_loras(there, uses, losses, dtype=wish.dtype)
    dough.tensors, dough.before = baked.tensors, dict(there.stored)
    dough.changes += there.changes
    dough.warnings += [*there.notes, *_narrow(baked.tensors[name] for name in baked.changed)]
    dough.outcome = lambda: (escape(report.sentence()) for report in baked.tally.reports())


def _left_behind(name: str, embeddings: Iterable[str]) -> Iterator[str]:
    names = ", ".join(map(escape, embeddings))
    if names:
        yield (
            f"{escape(name)} carries embeddings ({names}), for which a checkpoint has no place: "
            "keep the file for them"
        )


def _narrow(tensors: Iterable[Tensor]) -> Iterator[str]:
    count = sum(tensor.dtype in (F8_E4M3, F8_E5M2) for tensor in tensors)
    if count:
        yield (
            f"{counted(count, 'changed tensor')} stored in fp8, whose steps are wider than most "
            "of what a LoRA changes: a cast to f16 keeps it"
        )


def _add_vae(dough: Dough, vae: ModelFile) -> None:
    found = replace_vae(dough.model, dough.tensors, vae)
    count = len(found.names)
    dough.before = {**dough.before, **{name: found.tensors[name] for name in found.names}}
    dough.tensors, dough.metadata = found.tensors, found.metadata
    dough.sources.append(vae.path)
    dough.size += vae.size
    dough.lineage += lineage_of(vae)
    dough.dropped += found.dropped
    report = Applied("vae", vae.path.stem, str(vae.path), count, count)
    dough.changes.append(escape(report.sentence()))
