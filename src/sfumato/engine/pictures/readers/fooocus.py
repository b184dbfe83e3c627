"""Pictures of Fooocus, RuinedFooocus and Fooocus-MRE: JSON, under keys that differ."""

from __future__ import annotations

import re

from sfumato.containers.strict_json import Json
from sfumato.engine.pictures.infotext import Record
from sfumato.engine.pictures.readers import names
from sfumato.engine.pictures.readers.carried import Carried
from sfumato.engine.pictures.readers.found import Found
from sfumato.engine.pictures.readers.json_text import first, parse, rows, table, word

MARKS = ("base_model", "base_model_name", "metadata_scheme", "performance", "sharpness")
"""keys of which its JSON has one or more"""

SHARPENED = "Fooocus rewrites prompts and sharpens the guidance: the picture will differ"

_NUMBERS = re.compile(r"\d{1,6}")


def read_fooocus(carried: Carried) -> Found | None:
    """JSON in a PNG's `parameters` or `Comment`, or in the EXIF comment."""
    for text in (*carried.accounts, carried.named("Comment")):
        values = table(parse(text)) if text.lstrip().startswith("{") else {}
        if any(mark in values for mark in MARKS):
            program = first(values, "software") or "Fooocus"
            return Found(program, _record(values), text, notes=(SHARPENED,))
    return None


def _record(values: dict[str, Json]) -> Record:
    sampler, schedule = names.sampler(first(values, "sampler", "sampler_name"))
    fields = {
        "Steps": first(values, "steps"),
        "Sampler": sampler,
        "Schedule type": schedule or names.schedule(first(values, "scheduler")),
        "CFG scale": first(values, "guidance_scale", "cfg", "cfg_scale"),
        "Seed": first(values, "seed"),
        "Size": _size(values),
        "Model hash": first(values, "base_model_hash"),
        "Model": names.stem(first(values, "base_model", "base_model_name")),
        "VAE": names.stem(first(values, "vae")).removeprefix("Default (model)"),
        "Clip skip": first(values, "clip_skip"),
        "RNG": "CPU",
        "Refiner": names.stem(first(values, "refiner_model", "refiner_model_name")),
        "Refiner switch at": first(values, "refiner_switch"),
    }
    if fields["Refiner"] == "None":
        fields["Refiner"] = fields["Refiner switch at"] = ""
    prompt = first(values, "prompt", "Prompt") + "".join(_tags(values))
    negative = first(values, "negative_prompt", "Negative", "negative")
    return Record(prompt, negative, {key: value for key, value in fields.items() if value})


def _size(values: dict[str, Json]) -> str:
    """Two sides, or "(1152, 896)"."""
    width, height = first(values, "width"), first(values, "height")
    found = [width, height] if width and height else _NUMBERS.findall(first(values, "resolution"))
    return "x".join(found) if len(found) == 2 else ""


def _tags(values: dict[str, Json]) -> list[str]:
    """`loras`: lists that end in name and weight; or `lora_combined_1`: "name : weight"."""
    tags: list[str] = []
    for entry in rows(values.get("loras"))[:1000]:
        parts = [word(part) for part in rows(entry)]
        if len(parts) > 1 and " - " in parts[1]:
            name, _, weight = parts[1].rpartition(" - ")
            tags.append(names.tag(name, weight))
        elif len(parts) > 1:
            tags.append(names.tag(parts[0], parts[1]))
    combined = [key for key in values if key.startswith("lora_combined_")]
    for key in combined:
        name, _, weight = word(values[key]).rpartition(" : ")
        tags += [names.tag(name, weight)] if name else []
    return tags
