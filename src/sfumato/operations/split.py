"""Split: every part of a checkpoint in a file of its own."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from pathlib import Path

from sfumato.catalogue.identify import identify
from sfumato.catalogue.verdict import Part, Verdict
from sfumato.containers.atomic import check_room, destination
from sfumato.containers.model_file import SAFETENSORS, ModelFile
from sfumato.containers.open import open_model
from sfumato.containers.save import Saved, save
from sfumato.containers.sizes import counted
from sfumato.containers.tensor import Tensor
from sfumato.errors import Refused
from sfumato.operations.beside import lineage_of, metadata_of
from sfumato.operations.carry_out import Late
from sfumato.operations.join import join as join
from sfumato.operations.plan import Dropped, Plan, Progress, Report
from sfumato.operations.recipe import Hashing, hashing

WRITTEN = (
    *("unet", "dit", "vae", "text_encoder", "text_encoder_2", "text_encoder_3", "vision"),
    *("depth", "control", "adapter", "conditioner", "safety", "markers"),
)
"""roles of the parts that get a file; averages, training state and the like stay behind"""


def split(
    source: str | PathLike[str],
    folder: str | PathLike[str],
    *,
    prefixes: bool = False,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> tuple[Report, ...]:
    """Write each part of `source` to `folder`: unet.safetensors, vae.safetensors …

    prefixes: keep the names that the tensors have in the checkpoint. Otherwise the part's prefix
        goes, which is how programs like parts that stand alone.

    The folder is made where it is not there. Nothing is written unless every file may be. Raises
    the errors of `open_model`, Refused for a model of one part, OutputExists, NoRoom, Unverified.
    """
    folder = Path(folder)
    with open_model(source) as model:
        plans = plan_split(model, folder, prefixes=prefixes)
        if dry_run:
            return tuple(Report(plan, None, model.size) for plan in plans)
        _prepare(folder, plans, force=force)
        with hashing((model.path,)) as hashes:
            files = [
                _write(plan, hashes, force=force, progress=_shifted(progress, plans, number))
                for number, plan in enumerate(plans)
            ]
            hashed = zip(hashes.inputs, hashes.pending.values(), strict=True)
            found = {item.name: pending.result() for item, pending in hashed}
        pairs = zip(plans, files, strict=True)
        return tuple(Report(plan, saved, model.size, found) for plan, saved in pairs)


def plan_split(model: ModelFile, folder: Path, *, prefixes: bool) -> list[Plan]:
    """One plan per part; the first tells what is left behind."""
    verdict = identify(model, metadata=model.metadata, extras=model.extras, stem=model.path.stem)
    roles: dict[str, list[Part]] = {}
    for part in verdict.parts:
        if part.role in WRITTEN:
            roles.setdefault(_role(part), []).append(part)
    if len(roles) < 2:
        found = f"one part, {next(iter(roles))}" if roles else "no part that is known"
        raise Refused(f"{model.path}: has {found}, so there is nothing to split")
    left = tuple(_left_behind(model, verdict))
    return [
        Plan(
            operation="split",
            options={"part": role, "prefixes": prefixes},
            sources=(model.path,),
            bytes_in=model.size,
            target=folder / f"{role}.safetensors",
            container=SAFETENSORS,
            tensors=_named(model, parts, prefixes=prefixes),
            metadata=_metadata(model, verdict, role),
            lineage=lineage_of(model),
            dropped=() if number else left,
            changes=tuple(f"{part.title}: {counted(part.tensors, 'tensor')}" for part in parts),
        )
        for number, (role, parts) in enumerate(roles.items())
    ]


def _role(part: Part) -> str:
    """The file of a part.

    The second text encoder of an SDXL layout is told by its place where its sizes are new; markers
    (`v_pred`, `ztsnr`) say how the UNet is used and go with it.
    """
    if part.role == "markers":
        return "unet"
    second = part.prefix.startswith("conditioner.embedders.1.")
    return "text_encoder_2" if second else part.role


def _left_behind(model: ModelFile, verdict: Verdict) -> Iterator[Dropped]:
    for part in verdict.parts:
        if part.role not in WRITTEN:
            for name in part.names:
                yield Dropped(name, f"{part.title}: belongs to no part", model[name].nbytes)


def _named(model: ModelFile, parts: list[Part], *, prefixes: bool) -> dict[str, Tensor]:
    """A part that lies under two prefixes keeps both: without them its names might collide."""
    bare = not prefixes and sum(part.role != "markers" for part in parts) == 1
    return {
        name.removeprefix(part.prefix) if bare else name: model[name]
        for part in parts
        for name in part.names
    }


def _metadata(model: ModelFile, verdict: Verdict, role: str) -> dict[str, str]:
    """The checkpoint's text; for its denoiser also what the markers said that stay behind."""
    metadata = metadata_of(model, SAFETENSORS)
    said = verdict.prediction
    known = said is not None and said.type in ("epsilon", "v") and not said.assumed
    if role in ("unet", "dit") and said is not None and known:
        metadata.setdefault("modelspec.prediction_type", said.type)
    return metadata


def _prepare(folder: Path, plans: list[Plan], *, force: bool) -> None:
    """Everything that could stop the last file is found before the first is written."""
    if folder.exists() and not folder.is_dir():
        raise Refused(f"{folder}: is a file, and a folder was to be filled")
    if not folder.parent.is_dir():
        raise Refused(f"{folder}: there is no folder {folder.parent}")
    folder.mkdir(exist_ok=True)
    for plan in plans:
        destination(plan.target, force=force)
    check_room(folder, folder, sum(plan.nbytes for plan in plans))


def _write(plan: Plan, hashes: Hashing, *, force: bool, progress: Progress | None) -> Saved:
    late = Late(plan, hashes)
    metadata, _ = late.beside()
    return save(
        plan.target,
        plan.tensors,
        metadata,
        container=plan.container,
        force=force,
        progress=progress,
        late=late.stand_ins(),
    )


def _shifted(progress: Progress | None, plans: list[Plan], number: int) -> Progress | None:
    """The progress of one file as progress of all; what is written is read back as well."""
    if progress is None:
        return None
    before = 2 * sum(plan.nbytes for plan in plans[:number])
    total = 2 * sum(plan.nbytes for plan in plans)
    return lambda done, _: progress(min(before + done, total), total)
