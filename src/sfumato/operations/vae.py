"""The VAE of a checkpoint taken out into a file of its own."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from sfumato.catalogue.identify import identify
from sfumato.catalogue.spelling.translation import to_diffusers
from sfumato.catalogue.trees.vae import VAE
from sfumato.containers.model_file import DIFFUSERS
from sfumato.containers.open import open_model
from sfumato.containers.sizes import counted
from sfumato.errors import Refused, UsageError
from sfumato.operations.bake import vae_replace as vae_replace
from sfumato.operations.beside import lineage_of, metadata_of, tree_of
from sfumato.operations.carry_out import carry_out
from sfumato.operations.cast import Losses, dtype_named
from sfumato.operations.convert import container_named, spelling_named
from sfumato.operations.plan import Plan, Progress, Report
from sfumato.operations.recast import recast
from sfumato.operations.vae_file import read_vae


def vae_extract(
    source: str | PathLike[str],
    target: str | PathLike[str],
    *,
    spelling: str = "ldm",
    dtype: str | None = None,
    container: str | None = None,
    strict: bool = False,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Write the VAE of `source`, whatever its spelling, to a file of its own.

    spelling: ldm, which every program reads, or diffusers; names have no prefix in either.
    dtype: float type of the output; None keeps the numbers bit for bit.

    Raises Unsupported for a file without a VAE, Damaged for an incomplete one, and what `convert`
    raises.
    """
    source, target = Path(source), Path(target)
    place = container_named(container, target)
    if place == DIFFUSERS:
        raise UsageError(f"{target}: is a folder's name, and a VAE goes into a file")
    wanted, spelling = None if dtype is None else dtype_named(dtype), spelling_named(spelling)
    with open_model(source) as model:
        sizes, own = read_vae(model)
        if not isinstance(sizes, VAE):
            raise Refused(f"{source}: is a TAESD already, and no part of a checkpoint")
        if spelling == "diffusers":
            own = to_diffusers({name: tensor.shape for name, tensor in own.items()}).apply(own)
        verdict = identify(own)
        losses = Losses()
        recasted = recast(own, wanted, losses, verdict)
        plan = Plan(
            operation="vae_extract",
            options={
                "spelling": spelling,
                "dtype": wanted.name.lower() if wanted else None,
                "container": place.name,
            },
            lineage=lineage_of(model),
            sources=(source,),
            bytes_in=model.size,
            target=target,
            container=place,
            tensors=recasted.tensors,
            metadata=metadata_of(model, place),
            tree=tree_of(model, recasted.tensors, place, verdict.kind),
            changes=(
                f"{counted(len(own), 'tensor')} of the {verdict.title or 'VAE'}",
                *recasted.changes,
            ),
            warnings=recasted.warnings,
            losses=losses,
            strict=strict,
        )
        return carry_out(plan, force=force, dry_run=dry_run, progress=progress)
