"""A model under other names: the original (LDM) spelling and that of diffusers folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sfumato.catalogue.spelling.translation import Translation, to_diffusers, to_ldm
from sfumato.catalogue.verdict import Verdict
from sfumato.containers.model_file import DIFFUSERS, SHARDED, Container, ModelFile
from sfumato.containers.sizes import counted
from sfumato.containers.tensor import Tensor, Tensors
from sfumato.errors import Refused, UsageError
from sfumato.operations.folder_texts import folder_texts, markers, markers_text
from sfumato.operations.plan import Dropped
from sfumato.operations.recast import FACTORS


@dataclass(frozen=True, slots=True)
class Respelled:
    """A model under other names."""

    tensors: dict[str, Tensor]
    metadata: Mapping[str, str]
    dropped: tuple[Dropped, ...] = ()
    changes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def respell(model: ModelFile, verdict: Verdict, spelling: str, container: Container) -> Respelled:
    """The tensors of `model` in the spelling that the output is to have."""
    folder = model.container in (DIFFUSERS, SHARDED)
    wanted = spelling or ("diffusers" if container == DIFFUSERS else "")
    if container == DIFFUSERS and wanted != "diffusers":
        raise UsageError("a diffusers folder is written in the diffusers spelling")
    paints = any(part.role in ("unet", "vae", "text_encoder") for part in verdict.parts)
    if not wanted and folder and paints and container != DIFFUSERS:
        wanted = "ldm"
    if not wanted:
        return Respelled(dict(model), {})
    shapes = {name: tensor.shape for name, tensor in model.items()}
    ways = {"ldm": to_ldm, "diffusers": to_diffusers}
    if spelled(model, wanted):
        found = Respelled(dict(model), {})
    else:
        found = _moved(model, ways[wanted](shapes), wanted)
    return _with_settings(found, model, verdict, wanted, folder=container == DIFFUSERS)


def spelled(model: Tensors, spelling: str) -> bool:
    """True where the names are in that spelling already."""
    diffusers = any(mark in name for name in model for mark in DIFFUSERS_MARKS)
    return diffusers == (spelling == "diffusers")


DIFFUSERS_MARKS = ("down_blocks.", "mid_block.", "text_encoder.")


def _moved(model: ModelFile, translation: Translation, wanted: str) -> Respelled:
    if not translation.moves:
        raise Refused(f"{model.path}: nothing in it has a {wanted} spelling")
    if translation.lost:
        raise Refused(
            f"{model.path}: the {translation.lost[0]} would be dropped, because nothing is known "
            f"of its {wanted} spelling"
        )
    scales = [name for name in translation.dropped if name.endswith(FACTORS)]
    if scales:
        raise Refused(
            f"{model.path}: {counted(len(scales), 'weight')} would lose the scales that they mean "
            f"nothing without, which have no {wanted} spelling; a cast to f16 multiplies them out"
        )
    tensors = translation.apply(model)
    transforms = Counter(move.transform.name for move in translation.moves if move.transform)
    return Respelled(
        tensors,
        {},
        tuple(
            Dropped(name, reason, model[name].nbytes)
            for name, reason in translation.dropped.items()
        ),
        (
            f"{counted(len(tensors), 'tensor')} named in the {wanted} spelling",
            *(
                f"{counted(count, 'tensor')} changed in form: {name}"
                for name, count in transforms.items()
            ),
        ),
    )


def _with_settings(
    found: Respelled, model: ModelFile, verdict: Verdict, wanted: str, *, folder: bool
) -> Respelled:
    """A folder's own files, or the facts that only they held."""
    if wanted == "diffusers":
        texts = folder_texts(found.tensors, verdict, model.metadata, tokenizers=folder)
        encoders = any(name.startswith("text_encoder") for name in found.tensors)
        tokenizers = any(path.startswith("tokenizer") for path in texts)
        note = "no tokenizer is written: programs must bring CLIP's own"
        notes = (note,) if encoders and not tokenizers else ()
        return Respelled(
            found.tensors, texts, found.dropped, found.changes, (*found.warnings, *notes)
        )
    extra = markers(model.metadata)
    return Respelled(
        {**found.tensors, **extra},
        markers_text(model.metadata),
        found.dropped,
        found.changes,
        found.warnings,
    )
