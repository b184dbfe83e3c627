"""Settings of old programs and extensions, rewritten as today's."""

from __future__ import annotations

import math
import re

from sfumato.engine.pictures.infotext import Record
from sfumato.engine.pictures.values import show, size

_NAMED = re.compile(r"(.+)\((\w+)\)$")
"""a file of the Additional Networks extension: name(hash)"""


def modernised(record: Record) -> Record:
    """A record in which hypernetworks and LoRAs stand in the prompt, and hires passes as now."""
    fields = dict(record.fields)
    tags = (*_hypernetwork(fields), *_additional(fields))
    _first_pass(fields)
    prompt = record.prompt + "".join(tags)
    return Record(prompt, record.negative, fields)


def _hypernetwork(fields: dict[str, str]) -> tuple[str, ...]:
    """Before `<hypernet:…>` there was one hypernetwork, chosen in the settings."""
    name = fields.pop("Hypernet", "")
    strength = fields.pop("Hypernet strength", "1.0")
    fields.pop("Hypernet hash", None)
    return (f"<hypernet:{name}:{strength}>",) if name and name != "None" else ()


def _additional(fields: dict[str, str]) -> tuple[str, ...]:
    """LoRAs of the Additional Networks extension."""
    tags: list[str] = []
    for key in [key for key in fields if key.startswith("AddNet Model ")]:
        number = key.rpartition(" ")[2]
        found = _NAMED.match(fields[key])
        weight = fields.get(f"AddNet Weight A {number}") or fields.get(f"AddNet Weight {number}")
        if fields.get(f"AddNet Module {number}", "LoRA") == "LoRA":
            tags.append(f"<lora:{found[1] if found else fields[key]}:{weight or '1.0'}>")
    for key in [key for key in fields if key.startswith("AddNet ")]:
        if not key.startswith("AddNet Module ") or fields[key] == "LoRA":
            del fields[key]
    return tuple(tags)


def _first_pass(fields: dict[str, str]) -> None:
    """Once the size was that of the second pass, and the first had a size of its own."""
    first = fields.pop("First pass size", "")
    try:
        final, small = size(fields.get("Size", "")), size(first)
    except ValueError:
        return
    if not all(small):
        # 512² pixels at the same aspect, in steps of 64: A1111's rule for 0x0.
        ratio = math.sqrt(512 * 512 / max(1, final[0] * final[1]))
        small = (math.ceil(final[0] * ratio / 64) * 64, math.ceil(final[1] * ratio / 64) * 64)
    fields["Size"], fields["Hires resize"] = show(small), show(final)
