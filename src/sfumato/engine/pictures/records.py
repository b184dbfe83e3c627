"""The record of a picture that was painted here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from sfumato.engine.pictures.infotext import Record
from sfumato.engine.pictures.program import PROGRAM
from sfumato.engine.pictures.settings import ORDER, SETTINGS
from sfumato.engine.pictures.used import FileUsed
from sfumato.engine.pictures.values import show
from sfumato.engine.request import Request


@dataclass(frozen=True, slots=True)
class Facts:
    """What came of a request for one picture: all that the request left open."""

    seed: int
    width: int
    height: int
    """pixels, of the first pass"""
    sampler: str
    schedule: str
    """the schedule that was used; empty or "Automatic" where the sampler takes none"""
    prompt: str
    """after styles and comments, with its tags"""
    negative: str
    subseed: int = -1
    """seed of the noise that was mixed in"""
    files: tuple[FileUsed, ...] = ()
    """the checkpoint, the VAE if it is not the checkpoint's own, and every adapter in use"""
    ensd_used: bool = True
    """False for samplers that draw no noise, whose records do not tell ENSD"""
    init_hash: str = ""
    """of the picture that painting started from"""
    precision: str = ""
    """of the networks; empty for what the device computes in by itself"""
    version: str = ""
    """what the record says of the program; empty for Sfumato and its version"""
    extra: Mapping[str, str] = field(default_factory=dict[str, str])
    """further fields: those of a grid"""


def from_request(request: Request, facts: Facts) -> Record:
    """The record of one picture, with the keys and the order of A1111.

    Settings of ours that A1111 does not have stand under names of their own, which it passes over.
    """
    fields = {
        setting.key: setting.text(value)
        for setting in SETTINGS
        if (value := setting.written(request)) is not None
    }
    fields |= _resolved(request, facts)
    fields |= _strengths(request) | _noise(request, facts) | _blur(request)
    fields |= _files(facts.files) | dict(facts.extra)
    for key in _idle(request, facts):
        fields.pop(key, None)
    return Record(facts.prompt, facts.negative, ordered(fields))


def ordered(fields: Mapping[str, str]) -> dict[str, str]:
    """Fields in A1111's order; those it does not know, before its version."""
    place = {key: number for number, key in enumerate(ORDER)}
    rest = place["Version"] - 0.5
    return {key: fields[key] for key in sorted(fields, key=lambda key: place.get(key, rest))}


def _resolved(request: Request, facts: Facts) -> dict[str, str]:
    found = {
        "Sampler": facts.sampler,
        "Schedule type": facts.schedule or "Automatic",
        "Seed": str(facts.seed),
        "Size": f"{facts.width}x{facts.height}",
        "Version": facts.version or PROGRAM,
    }
    if request.variation.strength:
        found["Variation seed"] = str(facts.subseed)
    if facts.precision:
        found["Precision"] = facts.precision
    if facts.init_hash:
        found["Init image hash"] = facts.init_hash
    return {key: value for key, value in found.items() if value}


def _strengths(request: Request) -> dict[str, str]:
    """Denoising strengths: A1111 has one, since it never does both."""
    if request.init is None:
        return {} if request.hires is None else {"Denoising strength": show(request.hires.denoise)}
    second = (
        {} if request.hires is None else {"Hires denoising strength": show(request.hires.denoise)}
    )
    return {"Denoising strength": show(request.init.denoise), **second}


def _noise(request: Request, facts: Facts) -> dict[str, str]:
    found = {"RNG": request.rng}
    if request.pad != "none":
        found["Pad conds v0" if request.pad == "v0" else "Pad conds"] = "True"
    if request.tuning.eta is not None:
        key = "Eta DDIM" if facts.sampler.startswith("DDIM") else "Eta"
        found[key] = show(request.tuning.eta)
    return found


def _blur(request: Request) -> dict[str, str]:
    if request.init is None or request.init.inpaint is None:
        return {}
    x, y = request.init.inpaint.blur
    return {"Mask blur": str(x)} if x == y else {"Mask blur x": str(x), "Mask blur y": str(y)}


def _idle(request: Request, facts: Facts) -> tuple[str, ...]:
    """Keys that say nothing in this picture."""
    idle: list[str] = []
    if not facts.ensd_used:
        idle.append("ENSD")
    if not request.refiner:
        idle += ["Refiner switch at", "Refiner switch by sampling steps"]
    if not request.variation.strength:
        idle += ["Variation seed", "Variation seed strength"]
    if request.hires is not None and any(request.hires.size):
        idle.append("Hires upscale")
    if request.init is not None and request.init.inpaint is not None and request.init.inpaint.whole:
        idle.append("Masked area padding")
    if not any(mark in facts.prompt + facts.negative for mark in "(["):
        idle.append("Emphasis")
    return tuple(idle)


def _files(files: tuple[FileUsed, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for kind, key in (("checkpoint", "Model"), ("vae", "VAE"), ("refiner", "Refiner")):
        for file in files:
            if file.kind == kind:
                found[key] = file.name
                if file.sha256 and kind != "refiner":
                    found[f"{key} hash"] = file.short
    for kind, key in (("lora", "Lora"), ("embedding", "TI"), ("hypernetwork", "Hypernet")):
        hashes = [f"{f.name}: {f.short}" for f in files if f.kind == kind and f.short]
        if hashes:
            found[f"{key} hashes"] = ", ".join(hashes)
    if any(file.sha256 for file in files):
        found["Hashes"] = json.dumps(_civitai(files))
    return found


def _civitai(files: tuple[FileUsed, ...]) -> dict[str, str]:
    """The names under which Civitai looks files up, each with 10 characters of its sha256."""
    words = {"checkpoint": "model", "vae": "vae", "lora": "lora:", "embedding": "embed:"}
    words["hypernetwork"] = "hypernet:"
    return {
        words[file.kind] + (file.name if words[file.kind].endswith(":") else ""): file.sha256[:10]
        for file in files
        if file.kind in words and file.sha256
    }
