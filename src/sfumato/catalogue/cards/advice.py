"""Plain sentences about one file, each computed from what was found in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from sfumato.catalogue.cards.card import Card
from sfumato.catalogue.cards.waste import Waste
from sfumato.catalogue.families import TITLES
from sfumato.catalogue.verdict import Verdict
from sfumato.containers.sizes import counted, human

Rule = Callable[[Card, Verdict], Iterable[str]]

PURPOSE: dict[str, str] = {
    "checkpoint": "A checkpoint: paints pictures from prompts.",
    "unet": "The painting network alone: it needs text encoders and a VAE beside it.",
    "vae": "A VAE: turns latents into pictures and back; it replaces the one in a checkpoint.",
    "text-encoder": "A text encoder: one part of a checkpoint, of no use by itself.",
    "lora": "A LoRA: changes a checkpoint while painting.",
    "embedding": "An embedding: a new word for prompts.",
    "dit": "The painting network alone: it needs text encoders and a VAE beside it.",
    "hypernetwork": "A hypernetwork: small networks that change what attention looks at.",
    "aesthetic-gradient": "An aesthetic gradient: a direction that steers the text encoder.",
    "controlnet": "A ControlNet: makes a checkpoint follow edges, poses or depth.",
    "upscaler": "An upscaler: enlarges finished pictures.",
}
"""what a file of each kind is for"""

VARIANTS: dict[str, str] = {
    "inpainting": "It is for inpainting; for plain painting take the plain edition.",
    "ip2p": "It edits a picture by instruction and needs a picture to start from.",
    "depth": "It follows the depth of a picture and needs one to start from.",
    "upscaler-x4": "It enlarges pictures four times and does not paint from prompts alone.",
}  # fmt: skip
"""what a variant is for"""


def advise(card: Card) -> Iterator[str]:
    """What a person should know and do about the file of `card`, the most important first."""
    if card.identity is None:
        yield from _unusable(card)
        return
    for rule in RULES:
        yield from rule(card, card.identity)


def _unusable(card: Card) -> Iterator[str]:
    match card.verdict:
        case "dangerous":
            yield "Delete it, or ask its maker for a safetensors edition; do not open it elsewhere."
        case "damaged":
            yield "Download it again and compare its size and hash with the publisher's."
        case _:
            return


PREVIEWS = ("TAE", "VAE-approx")
"""beginnings of the titles of VAEs that only serve previews"""


def _purpose(card: Card, verdict: Verdict) -> Iterator[str]:
    if verdict.kind == "vae" and all(part.title.startswith(PREVIEWS) for part in verdict.parts):
        yield "A small VAE for quick previews while painting; it does not replace the real one."
    elif verdict.kind in PURPOSE:
        yield PURPOSE[verdict.kind]
    if verdict.variant in VARIANTS:
        yield VARIANTS[verdict.variant]


ADDED = frozenset(
    {"lora", "embedding", "hypernetwork", "controlnet", "vae", "text-encoder", "unet"}
)
"""kinds that are used together with a checkpoint of their family, or in one"""


def _works_with(card: Card, verdict: Verdict) -> Iterator[str]:
    if verdict.family == "unknown" or verdict.kind == "unknown":
        return
    family = " or ".join(TITLES.get(name, name) for name in verdict.family.split("/"))
    if any(part.custom for part in verdict.parts):
        fit = ": adapters must fit these" if verdict.kind == "checkpoint" else ""
        yield f"Its layout is that of {family}, its sizes are its own{fit}."
    elif verdict.kind == "checkpoint":
        yield f"Works with {family} LoRAs, embeddings and ControlNets."
    elif verdict.kind in ADDED or verdict.kind.endswith(("adapter", "module")):
        yield f"Works with {family} checkpoints."


def _use(card: Card, verdict: Verdict) -> Iterator[str]:
    """How the file is called up while painting."""
    words = verdict.trigger_words
    if verdict.kind == "embedding" and words:
        yield f'Write "{words[0].word}" in a prompt to use it.'
    if verdict.kind != "lora" or verdict.adapter is None or not verdict.adapter.known:
        return
    yield f'Write "<lora:{card.path.stem}:1>" in a prompt to use it; the number is its strength.'
    if not words:
        yield "The file names no trigger word."
    if verdict.adapter.flavour.startswith("lo") and not verdict.adapter.alphas:
        yield "It stores no alpha: programs take it at full strength, as if alpha were the rank."


def _damage(card: Card, verdict: Verdict) -> Iterator[str]:
    """Parts that are not whole: nothing else that is said of the file matters as much."""
    for part in verdict.parts:
        if part.missing:
            verb = "is" if len(part.missing) == 1 else "are"
            count = f"{len(part.missing)} of {part.expected}"
            yield f"NOT WHOLE: {count} tensors of the {part.title} {verb} missing; it may not load."
        if part.reshaped:
            number = counted(len(part.reshaped), "tensor")
            yield f"NOT WHOLE: {number} of the {part.title} with an unexpected shape."


def _edition(card: Card, verdict: Verdict) -> Iterator[str]:
    roles = {part.role for part in verdict.parts}
    whole = all(part.complete for part in verdict.parts)
    if {"ema", "unet"} <= roles:
        yield (
            "For painting take the averaged (EMA) set: `sfumato ema FILE --use -o OUT`. For "
            "fine-tuning keep the trained (live) set; this file holds both. In a merge the "
            "averages are leftovers of one parent: `sfumato ema FILE --drop -o OUT`."
        )
    elif verdict.kind == "checkpoint" and "unet" in roles and whole:
        yield "It holds one set of weights: paint with it, or fine-tune from it."
    if "optimizer" in roles:
        yield "The optimizer state serves only to resume the training that wrote the file."


def _missing_parts(card: Card, verdict: Verdict) -> Iterator[str]:
    if verdict.kind != "checkpoint" or not verdict.parts:
        return
    roles = {part.role for part in verdict.parts}
    if "vae" not in roles:
        yield "There is no VAE inside: give one when painting."
    elif verdict.family == "sdxl":
        yield "SDXL's own VAE overflows in fp16: decode in fp32 or bf16, or use its fp16 fix."
    if not any(role.startswith("text_encoder") for role in roles):
        yield "There is no text encoder inside: the program that paints must supply it."


SMALL = 1_000_000
"""bytes below which nobody prunes"""


def _waste(card: Card, verdict: Verdict) -> Iterator[str]:
    free = sum(item.nbytes for item in card.waste if item.lossless)
    if free >= SMALL:
        what = ", ".join(item.what for item in card.waste if item.lossless)
        yield (
            f"{human(free)} can be dropped without changing a picture ({what}): "
            "`sfumato prune FILE -o OUT`."
        )
    for item in card.waste:
        worth = item.nbytes >= SMALL and not item.command.startswith("ema")  # said by _edition
        if not item.lossless and worth and not _harmful(card, item):
            verb, _, options = item.command.partition(" ")
            command = f"sfumato {verb} FILE {options} -o OUT".replace("  ", " ")
            yield f"{human(item.nbytes)} would go with `{command}`: {item.what}."


def _harmful(card: Card, item: Waste) -> bool:
    """True for a cast to fp16 of numbers that were read and found too large for it."""
    large = card.health is not None and any(f.sort == "overflow" for f in card.health.findings)
    return large and item.command.endswith("f16")


def _container(card: Card, verdict: Verdict) -> Iterator[str]:
    if card.container is not None and card.container.executes:
        yield (
            "Other programs run a pickle when they open it; this one holds nothing dangerous. "
            "`sfumato convert FILE -o OUT.safetensors` makes one that can hold no code."
        )


def _memory(card: Card, verdict: Verdict) -> Iterator[str]:
    if card.memory:
        sizes = ", ".join(f"{human(n.total)} in {n.dtype.lower()}" for n in card.memory)
        yield f"Painting at 512×512 takes about {sizes} (weights and the VAE's widest layers)."


def _prediction(card: Card, verdict: Verdict) -> Iterator[str]:
    if verdict.prediction is not None and verdict.prediction.type == "v":
        yield "It predicts v: programs that take it for epsilon paint noise."


def _illness(card: Card, verdict: Verdict) -> Iterator[str]:
    if card.health is not None and not card.health.sound:
        yield from card.health.sentences()


def _health(card: Card, verdict: Verdict) -> Iterator[str]:
    if card.health is not None and card.health.sound:
        yield from card.health.sentences()


def _known(card: Card, verdict: Verdict) -> Iterator[str]:
    for match in card.known:
        yield match.sentence()


RULES: tuple[Rule, ...] = (
    _damage, _illness, _purpose, _works_with, _use, _edition, _missing_parts, _prediction, _waste,
    _container, _memory, _health, _known,
)  # fmt: skip
"""what is asked of every opened file, in the order in which the answers are shown"""
