"""Pictures of NovelAI: texts of a PNG, or the same hidden in its pixels."""

from __future__ import annotations

from sfumato.containers.strict_json import Json
from sfumato.engine.pictures.infotext import Record
from sfumato.engine.pictures.readers import names
from sfumato.engine.pictures.readers.carried import Carried
from sfumato.engine.pictures.readers.found import Found
from sfumato.engine.pictures.readers.json_text import first, parse, table, word

BRACES = "in NovelAI {braces} weigh 1.05 and [brackets] 1/1.05; here braces are plain text"


def read_novelai(carried: Carried) -> Found | None:
    """The texts `Software`, `Description` and `Comment`."""
    if carried.named("Software") != "NovelAI":
        return None
    return from_texts(dict(carried.texts), carried)


def from_texts(texts: dict[str, Json], carried: Carried) -> Found | None:
    """What the texts tell; NovelAI skips one layer of CLIP and adds 31337 to the seed of noise."""
    raw = word(texts.get("Comment"))
    comment = table(parse(raw))
    if not comment:
        return None
    sampler, schedule = names.sampler(first(comment, "sampler") or "k_euler_ancestral")
    width, height = first(comment, "width"), first(comment, "height")
    size = f"{width}x{height}" if width and height else "x".join(map(str, carried.size))
    prompt = word(texts.get("Description")) or first(comment, "prompt")
    fields = {
        "Steps": first(comment, "steps"),
        "Sampler": sampler,
        "Schedule type": schedule or names.schedule(first(comment, "noise_schedule")),
        "CFG scale": first(comment, "scale"),
        "Seed": first(comment, "seed"),
        "Size": size,
        "Model": first(texts, "Source"),
        "Denoising strength": first(comment, "strength") if "image" in comment else "",
        "Clip skip": "2",
        "ENSD": "31337",
    }
    record = Record(prompt, first(comment, "uc"), {k: v for k, v in fields.items() if v})
    notes = (BRACES,) if "{" in prompt else ()
    return Found("NovelAI", record, raw, notes=notes)
