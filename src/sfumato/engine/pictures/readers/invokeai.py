"""Pictures of InvokeAI, in the three forms that it has had."""

from __future__ import annotations

import re
import shlex

from sfumato.containers.strict_json import Json
from sfumato.engine.pictures.infotext import Record
from sfumato.engine.pictures.readers import names
from sfumato.engine.pictures.readers.carried import Carried
from sfumato.engine.pictures.readers.found import Found
from sfumato.engine.pictures.readers.json_text import first, parse, rows, table, word

PLUS = "InvokeAI weighs words with + and -; here these are plain text"
_BRACKETS = re.compile(r"\[([^\[\]]*)\]")
_PLUS = re.compile(r"[\w)][+-]+(?=[\s,.)<]|$)")

FLAGS = {
    "-s": "Steps", "-S": "Seed", "-C": "CFG scale", "-A": "Sampler", "-W": "width", "-H": "height",
    "--steps": "Steps", "--seed": "Seed", "--cfg_scale": "CFG scale", "--sampler": "Sampler",
    "--width": "width", "--height": "height", "-f": "Denoising strength",
    "--strength": "Denoising strength",
}  # fmt: skip
"""options of the command line of 2022"""


def read_invokeai(carried: Carried) -> Found | None:
    """The texts `invokeai_metadata`, `sd-metadata` or `Dream`."""
    raw = carried.named("invokeai_metadata")
    if values := table(parse(raw)):
        return _found(_today(values), raw)
    raw = carried.named("sd-metadata")
    if values := table(parse(raw)):
        return _found(_version_2(values), raw)
    raw = carried.named("Dream")
    return _found(_command(raw), raw) if raw else None


def _found(record: Record, raw: str) -> Found:
    fields = {key: value for key, value in record.fields.items() if value}
    if sampler := fields.get("Sampler"):
        fields["Sampler"], schedule = names.sampler(sampler)
        fields |= {"Schedule type": schedule} if schedule else {}
    notes = (PLUS,) if _PLUS.search(record.prompt) else ()
    return Found("InvokeAI", Record(record.prompt, record.negative, fields), raw, notes=notes)


def _today(values: dict[str, Json]) -> Record:
    model, vae = table(values.get("model")), table(values.get("vae"))
    tags = "".join(_tag(table(entry)) for entry in rows(values.get("loras"))[:1000])
    skip = first(values, "clip_skip")
    on_cpu = values.get("rand_device", "cpu") == "cpu"
    fields = {
        "Steps": first(values, "steps"),
        "Sampler": first(values, "scheduler"),
        "CFG scale": first(values, "cfg_scale"),
        "Seed": first(values, "seed"),
        "Size": _size(values),
        "Model": first(model, "name", "model_name"),
        "VAE": first(vae, "name", "model_name"),
        "CFG rescale": first(values, "cfg_rescale_multiplier"),
        "Denoising strength": first(values, "strength") if values.get("init_image") else "",
        # InvokeAI counts the layers that are left out; A1111 the one that is used.
        "Clip skip": str(int(skip) + 1) if skip.isdecimal() and len(skip) < 4 else "",
        "RNG": "CPU" if on_cpu else "",
    }
    return Record(first(values, "positive_prompt") + tags, first(values, "negative_prompt"), fields)


def _tag(entry: dict[str, Json]) -> str:
    model = table(entry.get("model")) or table(entry.get("lora"))
    name = first(model, "name", "model_name")
    return names.tag(name, first(entry, "weight") or "1") if name else ""


def _version_2(values: dict[str, Json]) -> Record:
    image = table(values.get("image"))
    prompts = rows(image.get("prompt"))
    whole = word(image.get("prompt")) or (first(table(prompts[0]), "prompt") if prompts else "")
    prompt, negative = _parted(whole)
    fields = {
        "Steps": first(image, "steps"),
        "Sampler": first(image, "sampler"),
        "CFG scale": first(image, "cfg_scale"),
        "Seed": first(image, "seed"),
        "Size": _size(image),
        "Model": first(values, "model_weights"),
        "Denoising strength": first(image, "strength") if image.get("type") == "img2img" else "",
    }
    return Record(prompt, negative, fields)


def _command(line: str) -> Record:
    """A line such as `"a fox" -s50 -S1234 -W512 -H512 -C7.5 -Ak_lms`."""
    try:
        words = shlex.split(line[: 1 << 16])
    except ValueError:
        words = line.split()
    found: dict[str, str] = {}
    free: list[str] = []
    waiting = ""
    for text in words:
        key = FLAGS.get(text) or ""
        if waiting:
            found[waiting], waiting = text, ""
        elif key:
            waiting = key
        elif text[:2] in FLAGS and len(text) > 2 and not text.startswith("--"):
            found[FLAGS[text[:2]]] = text[2:]
        elif not text.startswith("-"):
            free.append(text)
    width, height = found.pop("width", ""), found.pop("height", "")
    if width and height:
        found["Size"] = f"{width}x{height}"
    prompt, negative = _parted(" ".join(free))
    return Record(prompt, negative, found)


def _size(values: dict[str, Json]) -> str:
    width, height = first(values, "width"), first(values, "height")
    return f"{width}x{height}" if width and height else ""


def _parted(text: str) -> tuple[str, str]:
    """What stands in [brackets] was the negative prompt."""
    negative = ", ".join(part.strip() for part in _BRACKETS.findall(text))
    return _BRACKETS.sub("", text).strip(" ,"), negative
