"""Pictures of SwarmUI (once StableSwarmUI): JSON in the place of A1111's text."""

from __future__ import annotations

from itertools import zip_longest

from sfumato.containers.strict_json import Json
from sfumato.engine.pictures.infotext import Record
from sfumato.engine.pictures.readers import names
from sfumato.engine.pictures.readers.carried import Carried
from sfumato.engine.pictures.readers.found import Found
from sfumato.engine.pictures.readers.json_text import first, parse, table, word

DRAWN = "ComfyUI painted it for SwarmUI: noise and weights of words are reckoned otherwise there"


def read_swarmui(carried: Carried) -> Found | None:
    """JSON with the key `sui_image_params`, in a PNG's text or in the EXIF comment."""
    for text in carried.accounts:
        values = table(table(parse(text)).get("sui_image_params"))
        if values:
            return Found("SwarmUI", _record(values), text, notes=(DRAWN,))
    return None


def _record(values: dict[str, Json]) -> Record:
    sampler, schedule = names.sampler(first(values, "sampler") or "euler")
    width, height = first(values, "width"), first(values, "height")
    stop = first(values, "clipstopatlayer")
    fields = {
        "Steps": first(values, "steps"),
        "Sampler": sampler,
        "Schedule type": schedule or names.schedule(first(values, "scheduler") or "normal"),
        "CFG scale": first(values, "cfgscale"),
        "Seed": first(values, "seed"),
        "Size": f"{width}x{height}" if width and height else "",
        "Model": names.stem(first(values, "model")),
        "VAE": names.stem(first(values, "vae")),
        "Variation seed": first(values, "variationseed"),
        "Variation seed strength": first(values, "variationseedstrength"),
        "Denoising strength": first(values, "initimagecreativity"),
        "Clip skip": stop.removeprefix("-") if stop.startswith("-") else "",
        "RNG": "CPU",
        "Refiner": names.stem(first(values, "refinermodel")),
    }
    prompt = first(values, "prompt") + _tags(values)
    fields = {key: value for key, value in fields.items() if value}
    return Record(prompt, first(values, "negativeprompt"), fields)


def _tags(values: dict[str, Json]) -> str:
    """LoRAs, in lists of names and weights, or in texts with commas."""
    lists = [_list(values.get(key)) for key in ("loras", "loraweights")]
    pairs = zip_longest(*lists, fillvalue="1")
    return "".join(names.tag(name, weight) for name, weight in pairs if name)


def _list(value: Json) -> list[str]:
    if isinstance(value, list):
        return [word(entry) for entry in value[:1000]]
    return [part.strip() for part in word(value).split(",")] if value else []
