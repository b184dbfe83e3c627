"""From the record of a picture to a request that paints it again, as far as it can be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from sfumato.containers.text import escape
from sfumato.engine.pictures.infotext import Record
from sfumato.engine.pictures.known import AUTOMATIC, STAND_IN, knows_sampler, knows_schedule
from sfumato.engine.pictures.legacy import modernised
from sfumato.engine.pictures.records import Facts as Facts
from sfumato.engine.pictures.records import from_request as from_request
from sfumato.engine.pictures.settings import SETTINGS, has_part
from sfumato.engine.pictures.unmet import unmet
from sfumato.engine.pictures.upscale import find_upscaler
from sfumato.engine.pictures.values import flag, number, size, whole
from sfumato.engine.pictures.versions import adapted
from sfumato.engine.request import Hires, Init, Inpaint, Request
from sfumato.errors import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

Changes = dict[str, dict[str, object]]
"""part of a request → field → value"""

NAMED = (
    ("Sampler", "", "sampler"),
    ("Schedule type", "", "schedule"),
    ("Hires sampler", "hires", "sampler"),
    ("Hires schedule type", "hires", "schedule"),
)
"""keys that name a sampler or a schedule, and the fields these are"""

PARTS = ("", "guidance", "variation", "tuning", "hires", "init", "init.inpaint")


def to_request(
    record: Record, *, image: Image | None = None, mask: Image | None = None
) -> tuple[Request, tuple[str, ...]]:
    """A request that repeats a record as far as it can, and a sentence on each thing it cannot.

    A record holds no pictures: what was painted from one needs `image` (and `mask`) again. What a
    record does not say has A1111's meaning, except that noise "of the GPU", which is what A1111
    means by saying nothing, becomes "NV": CUDA's own numbers, on any machine. Names of samplers
    and schedules that are known are left as they are ("DPM++ 2M Karras"). Never fails: what cannot
    be read is a note.
    """
    old = modernised(record)
    fields, told = adapted(old.fields, old.prompt + old.negative), list[str]()
    hires = Hires() if _has_hires(fields) else None
    inpaint = Inpaint(mask) if mask is not None else None
    init = Init(image, inpaint=inpaint) if image is not None else None
    request = Request(prompt=old.prompt, negative=old.negative, hires=hires, init=init)
    changes = _changes(request, fields, told)
    specials = (_size, _eta, _noise_source, _padding, _denoise, _blur, _upscaler, _samplers)
    for special in specials:
        special(request, fields, changes, told)
    told += unmet(fields, from_picture=image is not None)
    return _changed(request, changes), tuple(told)


def _has_hires(fields: Mapping[str, str]) -> bool:
    marks = ("Hires upscale", "Hires resize", "Hires upscaler", "Hires steps")
    return any(mark in fields for mark in marks)


def _changes(request: Request, fields: Mapping[str, str], told: list[str]) -> Changes:
    """The plain settings: one value of one field each."""
    found: Changes = {part: {} for part in PARTS}
    for setting in SETTINGS:
        text = fields.get(setting.key)
        if text is not None and has_part(request, setting.part):
            value = _tried(setting.key, text, setting.value, told)
            if value is not None:
                found[setting.part][setting.field] = value
    return found


Value = TypeVar("Value")


def _tried(key: str, text: str, read: Callable[[str], Value], told: list[str]) -> Value | None:
    """The value of a text; None, and a note, where it has none."""
    try:
        return read(text)
    except ValueError as error:
        told.append(f"{escape(key, 40)}: '{escape(text, 40)}' is {error}, and is left out")
        return None


def _changed(request: Request, changes: Changes) -> Request:
    init, hires = request.init, request.hires
    if init is not None:
        inner = init.inpaint
        inpaint = None if inner is None else replace(inner, **changes["init.inpaint"])
        init = replace(init, inpaint=inpaint, **changes["init"])
    return replace(
        request,
        guidance=replace(request.guidance, **changes["guidance"]),
        variation=replace(request.variation, **changes["variation"]),
        tuning=replace(request.tuning, **changes["tuning"]),
        hires=None if hires is None else replace(hires, **changes["hires"]),
        init=init,
        **changes[""],
    )


def _size(_: Request, fields: Mapping[str, str], changes: Changes, told: list[str]) -> None:
    found = _tried("Size", fields["Size"], size, told) if "Size" in fields else None
    if found is not None:
        changes[""].update(width=found[0], height=found[1])


def _eta(_: Request, fields: Mapping[str, str], changes: Changes, told: list[str]) -> None:
    """One setting here; A1111 has two, for DDIM and for the others."""
    for key in ("Eta", "Eta DDIM"):
        if key in fields:
            changes["tuning"]["eta"] = _tried(key, fields[key], number(0), told)


def _noise_source(_: Request, fields: Mapping[str, str], changes: Changes, told: list[str]) -> None:
    source = fields.get("RNG", "GPU").upper()
    ours = fields.get("Version", "").startswith("Sfumato")
    if source not in ("NV", "CPU", "GPU"):
        told.append(f"RNG: '{escape(source, 40)}' is not one of NV, CPU, GPU; NV is used")
        source = "NV"
    # Without a word it is the GPU of the one who painted: CUDA's numbers, which NV has anywhere.
    changes[""]["rng"] = "NV" if source == "GPU" and not ours else source


def _padding(_: Request, fields: Mapping[str, str], changes: Changes, told: list[str]) -> None:
    for key, padding in (("Pad conds", "empty"), ("Pad conds v0", "v0")):
        if key in fields and _tried(key, fields[key], flag, told):
            changes[""]["pad"] = padding


def _denoise(
    request: Request, fields: Mapping[str, str], changes: Changes, told: list[str]
) -> None:
    """A1111 has one strength: that of the only pass that starts from a picture."""
    for key in ("Denoising strength", "Hires denoising strength"):
        value = _tried(key, fields[key], number(0, 1), told) if key in fields else None
        if value is not None and request.init is not None and not key.startswith("Hires"):
            changes["init"]["denoise"] = value
        elif value is not None and request.hires is not None:
            changes["hires"]["denoise"] = value


def _blur(request: Request, fields: Mapping[str, str], changes: Changes, told: list[str]) -> None:
    if request.init is None or request.init.inpaint is None:
        return
    x, y = request.init.inpaint.blur
    read = whole(0, 1024)
    for key in ("Mask blur", "Mask blur x", "Mask blur y"):
        value = _tried(key, fields[key], read, told) if key in fields else None
        if value is not None:
            x = x if key.endswith("y") else value
            y = y if key.endswith("x") else value
    changes["init.inpaint"]["blur"] = (x, y)


def _upscaler(_: Request, fields: Mapping[str, str], changes: Changes, told: list[str]) -> None:
    name = fields.get("Hires upscaler")
    if name is None:
        return
    try:
        changes["hires"]["upscaler"] = find_upscaler(name).name
    except UsageError:
        told.append(f"Hires upscaler: {escape(name, 60)} is a network of its own; Lanczos is used")
        changes["hires"]["upscaler"] = "Lanczos"


def _samplers(
    request: Request, fields: Mapping[str, str], changes: Changes, told: list[str]
) -> None:
    """Samplers and schedules that are not here give way to ones that are."""
    for key, place, field in NAMED:
        name = changes[place].get(field)
        known, instead = (
            (knows_schedule, AUTOMATIC) if field == "schedule" else (knows_sampler, STAND_IN)
        )
        if isinstance(name, str) and name and not known(name):
            told.append(f"{key}: {escape(name, 60)} is not to be had here; {instead} is used")
            changes[place][field] = instead
