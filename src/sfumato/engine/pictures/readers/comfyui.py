"""Pictures of ComfyUI: the graph that painted them, walked back from the sampler."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sfumato.engine.pictures.infotext import Record
from sfumato.engine.pictures.readers import names
from sfumato.engine.pictures.readers.carried import Carried
from sfumato.engine.pictures.readers.comfy_graph import Graph, Node, read_graph
from sfumato.engine.pictures.readers.found import Found
from sfumato.engine.pictures.readers.json_text import table, word

OTHERWISE = "ComfyUI weighs words, and draws the noise after the first, otherwise than A1111 does"
JOINED = "prompts were joined in the graph; here they stand in one text"
SECOND = "the graph has {count} samplers; the settings are those of the first pass"
CONTROL = "a ControlNet took part; none is used here"

TEXTS = ("text", "text_g", "text_l", "prompt", "string", "value", "positive", "populated_text")
"""inputs that hold a prompt"""

SOURCES = (
    "text",
    "text_g",
    "text_l",
    "string",
    "value",
    "prompt",
    "a",
    "b",
    "string_a",
    "string_b",
)
"""inputs that lead from a prompt to a node with its text"""

PARTS = ("noise", "guider", "sampler", "sigmas")
"""inputs of a sampler that is put together from parts"""

_EMBEDDING = re.compile(r"\bembedding:\s*([\w./\\-]+)")


def read_comfyui(carried: Carried) -> Found | None:
    """The graph under `prompt`; in WebP and JPEG it stands in an EXIF field, after "prompt:"."""
    exif = (carried.exif.model, carried.exif.make, carried.exif.description)
    marked = (text.partition(":")[2] for text in exif if text.lower().startswith("prompt:"))
    for text in (carried.named("prompt"), *marked):
        graph = read_graph(text) if text else None
        if graph is not None:
            return _found(graph, text)
    return None


def _found(graph: Graph, raw: str) -> Found:
    samplers = [node for node in graph.nodes.values() if _is_sampler(node)]
    # A pass that begins from an empty latent is the first; the others begin from its result.
    first = next((node for node in samplers if not _passes_before(graph, node)), None)
    if first is None:
        return Found("ComfyUI", Record(), raw, notes=("its graph has no sampler that is known",))
    positive, negative = _conditions(graph, first)
    notes = [OTHERWISE]
    prompt, undone = _prompt(graph, positive), _prompt(graph, negative)
    if len(samplers) > 1:
        notes.append(SECOND.format(count=len(samplers)))
    if _is_joined(graph, positive):
        notes.append(JOINED)
    if any("ControlNet" in node.kind for node in graph.back(positive, _conditioning)):
        notes.append(CONTROL)
    tags = "".join(_tags(graph, first))
    fields = {key: value for key, value in _fields(graph, first, positive).items() if value}
    return Found("ComfyUI", Record(prompt + tags, undone, fields), raw, notes=tuple(notes))


def _is_sampler(node: Node) -> bool:
    named = "Sampler" in node.kind and ("latent_image" in node.inputs or "steps" in node.inputs)
    return named and ({"positive", "guider"} & node.inputs.keys() != set[str]())


def _conditioning(_: Node, name: str) -> bool:
    return name.startswith(("conditioning", "positive", "negative", "guider", "cond"))


def _model(_: Node, name: str) -> bool:
    return "model" in name.lower() or name in ("guider", "base_ctx", "ctx", "pipe", "lora_stack")


def _latent(_: Node, name: str) -> bool:
    return name.startswith(("latent", "samples", "pixels", "image"))


def _passes_before(graph: Graph, node: Node) -> bool:
    behind = graph.back(graph.behind(node, "latent_image", "latent"), _latent)
    return any(_is_sampler(other) for other in behind if other.number != node.number)


def _conditions(graph: Graph, sampler: Node) -> tuple[Node | None, Node | None]:
    """The nodes of prompt and negative prompt, of the sampler or of its guider."""
    guider = graph.behind(sampler, "guider")
    owner = sampler if guider is None else guider
    return graph.behind(owner, "positive", "conditioning"), graph.behind(owner, "negative")


def _prompt(graph: Graph, start: Node | None) -> str:
    """The texts of a condition; those of one node that are equal stand once."""
    found: list[str] = []
    for node in graph.back(start, _conditioning):
        for text in _texts(graph, node):
            if text and text not in found:
                found.append(text)
    return _EMBEDDING.sub(lambda match: names.stem(match[1]), "\n".join(found))


def _texts(graph: Graph, node: Node) -> Iterator[str]:
    """The texts of an encoder, its own or those of the nodes that its inputs lead to."""
    if "clip" not in node.inputs and "text" not in node.inputs:
        return
    for name in TEXTS:
        if name in node.inputs:
            source = graph.behind(node, name)
            yield node.text(name) if source is None else _literal(graph, source)


def _literal(graph: Graph, start: Node) -> str:
    behind = graph.back(start, lambda _, name: name in SOURCES)
    parts = [text for node in behind if (text := node.text(*SOURCES))]
    return " ".join(parts)


def _is_joined(graph: Graph, start: Node | None) -> bool:
    kinds = (node.kind for node in graph.back(start, _conditioning))
    return any(kind.startswith(("ConditioningCombine", "ConditioningConcat")) for kind in kinds)


def _tags(graph: Graph, sampler: Node) -> Iterator[str]:
    """The LoRAs between the sampler and the checkpoint, the one that is added first first."""
    found: list[str] = []
    for node in graph.back(sampler, _model):
        if name := node.text("lora_name"):
            unet = node.text("strength_model", "lora_model_strength") or "1"
            # Without a strength of its own the text encoder is left alone.
            alone = "ModelOnly" in node.kind
            text = "0" if alone else node.text("strength_clip", "lora_clip_strength") or unet
            found.append(names.tag(name, text, unet))
        found += _many(node)
    yield from (tag for tag in reversed(found) if ":None:" not in tag)


def _many(node: Node) -> Iterator[str]:
    """LoRAs of nodes that take several: `lora_1` as an object."""
    for value in node.inputs.values():
        entry = table(value)
        if entry.get("on") is True and word(entry.get("lora")):
            unet = word(entry.get("strength")) or "1"
            yield names.tag(word(entry["lora"]), word(entry.get("strengthTwo")) or unet, unet)


def _fields(graph: Graph, sampler: Node, positive: Node | None) -> dict[str, str]:
    name, schedule = names.sampler(_near(graph, sampler, "sampler_name") or "euler")
    denoise = _near(graph, sampler, "denoise")
    return {
        "Steps": _near(graph, sampler, "steps"),
        "Sampler": name,
        "Schedule type": schedule or names.schedule(_near(graph, sampler, "scheduler")),
        "CFG scale": _near(graph, sampler, "cfg"),
        "Seed": _near(graph, sampler, "seed", "noise_seed"),
        "Size": _size(graph, sampler),
        "Model": names.stem(_along(graph, sampler, "ckpt_name", "unet_name")),
        "VAE": names.stem(_vae(graph)),
        "Denoising strength": denoise if denoise not in ("", "1") else "",
        "Clip skip": _clip_skip(graph, positive),
        "RNG": "CPU",
    }


def _near(graph: Graph, sampler: Node, *inputs: str) -> str:
    """A value of the sampler, or of the nodes that stand for its parts; linked or not."""
    for node in graph.back(sampler, lambda _, name: name in PARTS):
        source = graph.behind(node, *inputs)
        linked = source.text(*inputs, "value", "int", "float") if source is not None else ""
        if found := node.text(*inputs) or linked:
            return found
    return ""


def _along(graph: Graph, sampler: Node, *inputs: str) -> str:
    """A value of the first node that has it, between the sampler and the checkpoint."""
    return next(filter(None, (node.text(*inputs) for node in graph.back(sampler, _model))), "")


def _size(graph: Graph, sampler: Node) -> str:
    start = graph.behind(sampler, "latent_image", "latent")
    for node in graph.back(start, _latent):
        width, height = (_side(graph, node, name) for name in ("width", "height"))
        if width and height:
            return f"{width}x{height}"
    return ""


def _side(graph: Graph, node: Node, name: str) -> str:
    source = graph.behind(node, name)
    return node.text(name) if source is None else source.text("value", "int", name)


def _vae(graph: Graph) -> str:
    """The file of the VAE that decodes; empty where it is the checkpoint's own."""
    for node in graph.nodes.values():
        if node.kind.startswith("VAEDecode"):
            source = graph.behind(node, "vae")
            return source.text("vae_name") if source is not None else ""
    return ""


def _clip_skip(graph: Graph, positive: Node | None) -> str:
    """ComfyUI counts from the end: -2 is A1111's 2."""
    follows = ("clip", "conditioning")
    for node in graph.back(positive, lambda _, name: name.startswith(follows)):
        if stop := node.text("stop_at_clip_layer"):
            return stop.removeprefix("-") if stop.startswith("-") else ""
    return ""
