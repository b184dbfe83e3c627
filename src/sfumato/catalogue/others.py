"""The other sorts of files in a models folder, known by a few keys: how they are recognised."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sfumato.catalogue.families import TITLES
from sfumato.catalogue.signatures import SIGNATURES
from sfumato.catalogue.signatures.signature import Keys, Signature, fits, prefixed, read
from sfumato.catalogue.tally import tally
from sfumato.catalogue.verdict import Confidence, Verdict
from sfumato.containers.model_file import ModelFile
from sfumato.containers.tensor import Tensors

CHECKPOINT = ("first_stage_model.*", "cond_stage_model.*", "conditioner.embedders.*")
"""with the UNet's keys beside one of these a file is a checkpoint, whatever else is in it"""

MORE_TITLES: Mapping[str, str] = {
    "cascade": "Stable Cascade",
    "qwen-image": "Qwen-Image",
    "hunyuan": "HunyuanDiT",
}
"""families that have no parts list here"""


def recognise(model: Tensors, metadata: Mapping[str, str]) -> Verdict | None:
    """Say what a control net, upscaler, vision tower … is; None for a file that is none of them.

    Nothing is read. An empty file is answered too: there is nothing else it could be.
    """
    if not model:
        return _empty(model)
    keys = Keys(model)
    if keys.has("model.diffusion_model.*") and any(keys.has(pattern) for pattern in CHECKPOINT):
        return None
    found = ((s, prefix) for s in SIGNATURES if (prefix := fits(s, keys)) is not None)
    first = next(found, None)
    if first is None:
        return None
    second = next((s for s, _ in found if s.kind != first[0].kind), None)
    return _verdict(*first, keys, second)


def _empty(model: Tensors) -> Verdict:
    pickled = isinstance(model, ModelFile) and model.container.executes
    values = len(model.extras) if isinstance(model, ModelFile) else 0
    if values:
        where = f"a dictionary of {values} other values"
    else:
        where = "an empty dictionary" if pickled else "an empty header"
    return Verdict(
        "unknown", title=f"no tensors: {where}", evidence=(f"there are no tensors in it: {where}",)
    )


def _verdict(signature: Signature, prefix: str, keys: Keys, second: Signature | None) -> Verdict:
    told = next(read(signature.tells, keys, prefix), None)
    family = told[2] if told else signature.family
    scale = _scale(signature, prefix, keys)
    title = f"{_family_title(family)} {signature.title} {scale}".strip()
    return Verdict(
        kind=signature.kind,
        family=family,
        variant=signature.variant,
        title=title,
        parts=(tally(signature.kind, title, keys.model, keys.model),),
        confidence=_confidence(signature),
        evidence=tuple(_evidence(signature, prefix, keys, told)),
        runner_up=f"{second.title}: its keys are there too, but it is the wider rule"
        if second
        else "",
    )


def _family_title(family: str) -> str:
    if family == "unknown":
        return ""
    return " or ".join(TITLES.get(f) or MORE_TITLES.get(f, f) for f in family.split("/"))


def _scale(signature: Signature, prefix: str, keys: Keys) -> str:
    for key, enlargement in signature.steps:
        if keys.has(prefixed(prefix, key)):
            return enlargement
    told = next(read(signature.scale, keys, prefix), None)
    return told[2] if told else ""


def _confidence(signature: Signature) -> Confidence:
    return "certain" if len(signature.all_of) + len(signature.wants) > 1 else "likely"


def _evidence(
    signature: Signature, prefix: str, keys: Keys, told: tuple[str, int, str] | None
) -> Iterator[str]:
    wanted = [prefixed(prefix, pattern) for pattern in signature.all_of]
    either = (prefixed(prefix, pattern) for pattern in signature.any_of)
    wanted += [pattern for pattern in either if keys.has(pattern)][:1]
    yield f"it has {', '.join(wanted)}"
    for key, axis, size in signature.wants:
        yield f"size {axis} of {prefixed(prefix, key)} is {size}"
    if told:
        key, value, family = told
        yield f"{prefixed(prefix, key)} takes {value}, as in {_family_title(family)}"
