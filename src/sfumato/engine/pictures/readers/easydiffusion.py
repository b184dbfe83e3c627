"""Pictures of Easy Diffusion: a PNG's texts, or JSON, with plain or with titled keys."""

from __future__ import annotations

from itertools import zip_longest

from sfumato.containers.strict_json import Json
from sfumato.engine.pictures.infotext import Record
from sfumato.engine.pictures.readers import names
from sfumato.engine.pictures.readers.carried import Carried
from sfumato.engine.pictures.readers.found import Found
from sfumato.engine.pictures.readers.json_text import first, parse, rows, table, word

MARKS = ("negative_prompt", "Negative Prompt")
SELF = ("num_inference_steps", "Steps", "use_stable_diffusion_model", "Stable Diffusion model")
"""keys of which there is one beside a mark"""


def read_easy_diffusion(carried: Carried) -> Found | None:
    """Texts that have a negative prompt of their own, or the same as JSON in the EXIF comment."""
    texts: dict[str, Json] = dict(carried.texts)
    for values in (texts, *(table(parse(text)) for text in carried.accounts)):
        if any(mark in values for mark in MARKS) and any(mark in values for mark in SELF):
            raw = "\n".join(f"{key}: {word(values[key])}" for key in values)
            return Found("Easy Diffusion", _record(values), raw)
    return None


def _record(values: dict[str, Json]) -> Record:
    sampler, schedule = names.sampler(first(values, "sampler_name", "Sampler"))
    width, height = first(values, "width", "Width"), first(values, "height", "Height")
    fields = {
        "Steps": first(values, "num_inference_steps", "Steps"),
        "Sampler": sampler,
        "Schedule type": schedule,
        "CFG scale": first(values, "guidance_scale", "Guidance Scale"),
        "Seed": first(values, "seed", "Seed"),
        "Size": f"{width}x{height}" if width and height else first(values, "Size"),
        "Model": names.stem(first(values, "use_stable_diffusion_model", "Stable Diffusion model")),
        "VAE": names.stem(first(values, "use_vae_model", "VAE model")),
        "Clip skip": "2" if first(values, "clip_skip", "Clip Skip").lower() == "true" else "",
        "Denoising strength": first(values, "prompt_strength", "Prompt Strength"),
        "Tiling": "True" if first(values, "tiling", "Seamless Tiling").lower() not in OFF else "",
        "RNG": "CPU",
    }
    if not values.get("init_image") and "Prompt Strength" not in values:
        fields["Denoising strength"] = ""
    prompt = first(values, "prompt", "Prompt") + _tags(values) + _hypernetwork(values)
    negative = first(values, *MARKS)
    kept = {k: v for k, v in fields.items() if v and v != "None"}
    return Record(prompt, negative, kept)


OFF = ("", "none", "false")


def _tags(values: dict[str, Json]) -> str:
    lists = [
        _list(values.get(keys[0], values.get(keys[1])))
        for keys in (("use_lora_model", "LoRA model"), ("lora_alpha", "LoRA Strength"))
    ]
    pairs = zip_longest(*lists, fillvalue="1")
    return "".join(names.tag(n, weight) for n, weight in pairs if n not in ("", "None"))


def _list(value: Json) -> list[str]:
    if isinstance(value, list):
        return [word(entry) for entry in rows(value)[:1000]]
    return [part.strip() for part in word(value).split(",")] if value else []


def _hypernetwork(values: dict[str, Json]) -> str:
    name = names.stem(first(values, "use_hypernetwork_model", "Hypernetwork model"))
    strength = first(values, "hypernetwork_strength", "Hypernetwork Strength") or "1"
    return f"<hypernet:{name}:{strength}>" if name and name != "None" else ""
