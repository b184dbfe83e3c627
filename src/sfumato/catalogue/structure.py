"""The verdict on a model that is built from known networks, or from nothing that is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sfumato.catalogue.averaged import Averaged, averaged
from sfumato.catalogue.component import Match, numbers
from sfumato.catalogue.configs import contradictions as config_contradictions
from sfumato.catalogue.edition import edition
from sfumato.catalogue.families import TITLES
from sfumato.catalogue.oddities import float_positions, oddities
from sfumato.catalogue.parts import divide
from sfumato.catalogue.prediction import predict
from sfumato.catalogue.reasons import (
    about_form,
    against_match,
    confidence,
    for_match,
    form,
    left_over,
    runner_up,
    said,
)
from sfumato.catalogue.sizes.hyperparameters import Number
from sfumato.catalogue.survey import Survey
from sfumato.catalogue.trees.unet import UNet
from sfumato.catalogue.triggers import metadata_words
from sfumato.catalogue.verdict import Part, Prediction, Verdict
from sfumato.containers.model_file import Leaf
from sfumato.containers.tensor import Tensors

DENOISERS = ("unet", "dit")
COMPANIONS = ("vae", "text_encoder", "text_encoder_2", "text_encoder_3")

KINDS: tuple[tuple[str, str, str], ...] = (
    ("vae", "vae", "VAE"),
    ("text_encoder", "text-encoder", "text encoder"),
    ("text_encoder_2", "text-encoder", "text encoder"),
    ("text_encoder_3", "text-encoder", "text encoder"),
    ("vision", "clip-vision", "CLIP vision tower"),
    ("control", "controlnet", "ControlNet"),
    ("adapter", "t2i-adapter", "T2I-Adapter"),
    ("depth", "depth", "depth estimator"),
)
"""role of the main part → kind of the file, as a person says it, where there is no denoiser"""


def is_whole(found: Survey) -> bool:
    """True for a checkpoint: a denoiser stands beside a VAE or a text encoder."""
    roles = _roles(found)
    return not roles.isdisjoint(DENOISERS) and not roles.isdisjoint(COMPANIONS)


def is_certain(found: Survey) -> bool:
    """True where one known network explains nearly every name, so that no other kind need be tried.

    Networks that steer others are left to those who know their many variants.
    """
    plain = [m for m in found.matches if m.role not in ("control", "adapter") and not m.faults]
    return bool(plain) and len(found.owners) >= 0.95 * len(found.shapes)


def _roles(found: Survey) -> set[str]:
    return {m.role for m in found.matches} | {x.region.role for x in found.loose}


@dataclass(frozen=True, slots=True)
class _Reading:
    """What the main network says about the whole file."""

    main: Match | None
    family: str
    variant: str
    why: tuple[str, ...] = ()


def structure(
    model: Tensors, found: Survey, metadata: Mapping[str, str], extras: Mapping[str, Leaf]
) -> Verdict:
    """The verdict by known networks; an honest "unknown" where there are none."""
    copy = averaged(found)
    parts = divide(model, found, copy)
    kind, noun = _kind(parts, found, copy)
    if kind == "unknown":
        return _unknown(parts, found)
    reading = _read(found, copy)
    prediction = _prediction(kind, reading, model, metadata, extras)
    variant = reading.variant
    if not variant and prediction is not None and prediction.type == "v":
        variant = "v-prediction"
    against = tuple(_against(kind, reading, found, parts, metadata))
    against += tuple(float_positions(model, found))
    name, note = edition(parts, extras)
    judged = found.matches or ([copy.match] if copy else [])
    return Verdict(
        kind,
        reading.family,
        variant,
        _title(kind, noun, reading, variant, parts),
        parts,
        name,
        note,
        prediction,
        trigger_words=metadata_words(metadata) if kind in ("checkpoint", *DENOISERS) else (),
        hyperparameters=_numbers(reading, found),
        confidence=confidence(judged, against),
        evidence=(
            *map(for_match, judged),
            *oddities(found, parts),
            *reading.why,
            *_loose(found),
        ),
        contradictions=against,
        left_over=left_over(parts),
        runner_up=runner_up(reading.main, reading.family) if reading.main else "",
    )


def _kind(parts: Sequence[Part], found: Survey, copy: Averaged | None) -> tuple[str, str]:
    roles = {part.role for part in parts}
    denoiser = next((role for role in DENOISERS if role in roles), "")
    copies = [m for m in (*found.matches, copy and copy.match) if m and isinstance(m.sizes, UNet)]
    if not denoiser and copies and "ema" in roles:
        denoiser = "unet"
    if denoiser:
        whole = not roles.isdisjoint(COMPANIONS)
        return ("checkpoint", "checkpoint") if whole else (denoiser, WORDS[denoiser])
    if {"vae", "text_encoder"} <= roles:
        return "checkpoint", "checkpoint"
    for role, kind, noun in KINDS:
        if role in roles:
            return kind, noun
    return "unknown", ""


WORDS = {"unet": "UNet", "dit": "transformer"}


def _read(found: Survey, copy: Averaged | None) -> _Reading:
    """Family and variant, from the denoiser if there is one, else from the largest network."""
    if found.loose and found.loose[0].region.role in DENOISERS:
        return _Reading(None, found.loose[0].family, "")
    main = _main(found, copy)
    if main is None:
        return _Reading(None, found.loose[0].family if found.loose else "unknown", "")
    if main.components:
        component = main.components[0]
        return _Reading(main, component.family, component.variant, tuple(_why(main)))
    if isinstance(main.sizes, UNet):
        family, variant = form(main.sizes)
        return _Reading(main, family, variant, (about_form(main.sizes, family), *_why(main)))
    return _Reading(main, FORMS.get(main.layout, "unknown"), "", tuple(_why(main)))


FORMS: Mapping[str, str] = {
    "sd3": "sd3",
    "sd3-diffusers": "sd3",
    "flux": "flux",
    "flux-diffusers": "flux",
    "vae-ldm": "sd1/sdxl",
    "vae-diffusers": "sd1/sdxl",
}
"""layout → family of a network of no published size"""


def _main(found: Survey, copy: Averaged | None) -> Match | None:
    for role in (*DENOISERS, "ema", *COMPANIONS, "control", "adapter", "vision"):
        if role == "ema" and copy is not None:
            return copy.match
        chosen = [match for match in found.matches if match.role == role]
        if chosen:
            return max(chosen, key=lambda match: len(match.found))
    return None


def _why(main: Match) -> Iterator[str]:
    """The sizes that tell families apart."""
    found = numbers(main.sizes)
    told = [said(name, found[name]) for name in ("context", "inputs", "labels") if found.get(name)]
    if told and main.role in ("unet", "control"):
        yield f"the {WORDS.get(main.role, 'network')} takes {', '.join(told)}"
    if main.custom:
        yield "its sizes are not those of any published model"
    if main.role == "vae" and "sd1" in "".join(c.family for c in main.components):
        yield "VAEs of SD 1.x, SD 2.x and SDXL have the same keys and shapes: only values differ"


def _prediction(
    kind: str,
    reading: _Reading,
    model: Tensors,
    metadata: Mapping[str, str],
    extras: Mapping[str, Leaf],
) -> Prediction | None:
    if kind not in ("checkpoint", *DENOISERS) or reading.family == "unknown":
        return None
    prefix = reading.main.prefix if reading.main and not reading.main.custom else None
    return predict(
        reading.family, reading.variant, prefix, model=model, metadata=metadata, extras=extras
    )


def _title(kind: str, noun: str, reading: _Reading, variant: str, parts: Sequence[Part]) -> str:
    families = " / ".join(TITLES.get(name, name) for name in reading.family.split("/"))
    words = [noun] if reading.family == "unknown" else [f"{families} {noun}"]
    if (
        kind in ("vae", "text-encoder", "clip-vision")
        and reading.main is not None
        and not reading.main.custom
    ):
        words = [reading.main.title]
    if variant:
        words.append(variant)
    if reading.main is not None and reading.main.custom:
        words.append("custom size")
    if lacking := _lacking(kind, reading.family, parts):
        words.append(f"without {' and '.join(lacking)}")
    return ", ".join(words)


def _lacking(kind: str, family: str, parts: Sequence[Part]) -> list[str]:
    """What a checkpoint of this family has and this one has not."""
    if kind != "checkpoint":
        return []
    roles = {part.role for part in parts}
    lacking = [] if roles & {*DENOISERS, "ema"} else ["UNet"]
    lacking += [] if "vae" in roles else ["VAE"]
    if not any(role.startswith("text_encoder") for role in roles):
        lacking += [] if family == "svd" or "conditioner" in roles else ["text encoder"]
    elif family == "sdxl" and not {"text_encoder", "text_encoder_2"} <= roles:
        first = "first" if "text_encoder" not in roles else "second"
        lacking.append(f"its {first} text encoder")
    return lacking


def _against(
    kind: str,
    reading: _Reading,
    found: Survey,
    parts: Sequence[Part],
    metadata: Mapping[str, str],
) -> Iterator[str]:
    for match in found.matches:
        yield from against_match(match)
    for lacking in _lacking(kind, reading.family, parts):
        yield f"{lacking} is missing" if lacking.startswith("its ") else f"no {lacking} inside"
    yield from _strangers(reading, found)
    yield from config_contradictions(found.matches, metadata)


def _strangers(reading: _Reading, found: Survey) -> Iterator[str]:
    """Text encoders that the denoiser's family does not use."""
    family = reading.family.split("-")[0]
    if reading.main is None or reading.main.role not in DENOISERS:
        return
    for match in found.matches:
        if match.role.startswith("text_encoder") and match.components:
            served = match.components[0].family.split("/")
            if family not in served and reading.family != "unknown":
                name = TITLES.get(reading.family, reading.family)
                yield f"the {match.title} is not what {name} models use"


def _loose(found: Survey) -> Iterator[str]:
    for loose in found.loose:
        yield f"its keys are those of the {loose.region.title}, which are not compared one by one"


def _numbers(reading: _Reading, found: Survey) -> dict[str, Number]:
    """The main network's sizes under their own names, those of others under their role's."""
    main = reading.main
    sizes = dict(numbers(main.sizes)) if main is not None else {}
    for match in found.matches:
        if match is not main:
            sizes |= {f"{match.role}.{name}": v for name, v in numbers(match.sizes).items()}
    return sizes


def _unknown(parts: Sequence[Part], found: Survey) -> Verdict:
    """What can be said of names that mean nothing."""
    heads: dict[str, int] = {}
    for name in found.shapes:
        head = name.partition(".")[0]
        heads[head] = heads.get(head, 0) + 1
    most = sorted(heads.items(), key=lambda item: -item[1])[:5]
    listed = ", ".join(f"{head} ({count})" for head, count in most)
    dtypes = sorted({name for part in parts for name in part.dtypes})
    return Verdict(
        "unknown",
        title="unknown model",
        parts=tuple(parts),
        evidence=(
            f"{len(found.shapes)} tensors of {', '.join(dtypes)}; their names begin with {listed}",
        ),
        left_over=left_over(parts),
    )
