"""Pictures of Draw Things: JSON inside the XMP packet."""

from __future__ import annotations

import html

from sfumato.containers.strict_json import Json
from sfumato.engine.pictures.infotext import Record
from sfumato.engine.pictures.readers import names
from sfumato.engine.pictures.readers.carried import XMP, Carried
from sfumato.engine.pictures.readers.found import Found
from sfumato.engine.pictures.readers.json_text import first, parse, rows, table

FIELD = "exif:UserComment"


def read_draw_things(carried: Carried) -> Found | None:
    """The field `exif:UserComment` of XMP, with the keys `c` (prompt) and `uc`."""
    raw = _comment(carried.named(XMP))
    values = table(parse(raw))
    if "c" not in values or "steps" not in values:
        return None
    return Found("Draw Things", _record(values), raw)


def _comment(xmp: str) -> str:
    """The text of the field, found without an XML parser: a stranger's entities stay closed."""
    _, _, rest = xmp.partition(f"<{FIELD}")
    inner, end, _ = rest.partition(f"</{FIELD}>")
    start = inner.find("{")
    stop = inner.rfind("}")
    return html.unescape(inner[start : stop + 1]) if end and 0 <= start < stop else ""


def _record(values: dict[str, Json]) -> Record:
    v2 = table(values.get("v2"))
    sampler, schedule = names.sampler(first(values, "sampler"))
    strength = first(values, "strength")
    tags = "".join(
        names.tag(first(entry, "model", "file"), first(entry, "weight"))
        for entry in map(table, rows(values.get("lora"))[:1000])
        if first(entry, "model", "file")
    )
    fields = {
        "Steps": first(values, "steps"),
        "Sampler": sampler,
        "Schedule type": schedule,
        "CFG scale": first(values, "scale"),
        "Seed": first(values, "seed"),
        "Size": first(values, "size"),
        "Model": names.stem(first(values, "model")),
        "Denoising strength": "" if strength in ("", "1") else strength,
        "Clip skip": first(v2, "clipSkip"),
    }
    prompt = first(values, "c") + tags
    return Record(prompt, first(values, "uc"), {k: v for k, v in fields.items() if v})
