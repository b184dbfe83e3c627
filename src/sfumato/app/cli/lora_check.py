"""`sfumato lora check`: what a LoRA changes, whether it fits a model, and what is dead in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from sfumato.app.cli.console import Json, counting, emit_json, say
from sfumato.app.cli.model_name import named_model
from sfumato.app.cli.writing import HELP, json_option

if TYPE_CHECKING:
    from sfumato.operations.adapters.check import LayerCheck, LoraCheck

BAR = 30
"""characters of the longest bar"""

SHOWN = 3
"""names in a sentence"""


@click.command(
    "check",
    context_settings=HELP,
    epilog="Example: sfumato lora check ink.safetensors --model anything-v3.safetensors",
)
@click.argument("source", type=named_model, metavar="LORA")
@click.option(
    "-m", "--model", type=named_model, metavar="MODEL", help="The checkpoint that it is to fit."
)
@json_option("Tell what was found as JSON, layer by layer.")
def command(source: str, *, model: str | None, as_json: bool) -> None:
    """Look through LORA: what it changes and how strongly, what is dead in it, does it fit MODEL.

    The bars are norms of the changes at weight 1, block by block; with a model, the share of the
    weights that they change is told beside. Exit status 1 where it does not fit in full, or has
    numbers in it that are none.
    """
    from sfumato.operations.adapters.check import check

    with counting("lora check") as bar:
        found = check(source, model, progress=bar)
    if as_json:
        emit_json(to_json(found))
    else:
        for line in sentences(found):
            say(line)
    if not found.sound:
        raise click.exceptions.Exit(1)


def sentences(found: LoraCheck) -> Iterator[str]:
    """What was found, for a person."""
    from sfumato.containers.sizes import counted
    from sfumato.containers.text import escape

    adapter = found.verdict.adapter
    spelled = f", {adapter.spelling} spelling" if adapter is not None and adapter.spelling else ""
    yield f"{escape(str(found.path))}: {found.verdict.title}{spelled}"
    ranks = ", ".join(f"{rank} ({count})" for rank, count in found.ranks.items() if rank)
    scales = ", ".join(f"{scale:.4g} ({count})" for scale, count in found.scales.items())
    yield f"  {counted(found.tensors, 'tensor')}, {counted(len(found.layers), 'change')} of weights"
    yield f"  rank (changes): {ranks or 'none'}; alpha / rank (changes): {scales or 'none'}"
    if found.applied is not None:
        yield (
            f"  {found.applied} of {counted(found.tensors, 'tensor')} apply to "
            f"{escape(str(found.model))}"
        )
    yield from (f"  {note}" for note in found.notes)
    if found.refusal:
        yield f"  DOES NOT FIT: {found.refusal}"
    yield from (f"  but {clause}" for clause in found.verdict.contradictions)
    yield from _states(found)
    yield from _chart(found)


def _states(found: LoraCheck) -> Iterator[str]:
    from sfumato.containers.sizes import counted

    broken = [layer for layer in found.layers if layer.state == "broken"]
    zero = [layer for layer in found.layers if layer.state == "zero"]
    unread = [layer for layer in found.layers if layer.state == "unread"]
    if broken:
        reason = broken[0].reason
        yield f"  BROKEN: {counted(len(broken), 'change')}: {_names(broken)}: {reason}"
    if zero:
        yield f"  dead: {counted(len(zero), 'change')} without effect: {_names(zero)}"
    if unread:
        yield (
            f"  {counted(len(unread), 'change')} of a kind whose strength depends on the weights: "
            "give --model"
        )
    if found.layers and not broken and not zero:
        yield "  no dead layers"


def _names(layers: list[LayerCheck]) -> str:
    from sfumato.containers.text import escape

    more = f" and {len(layers) - SHOWN} more" if len(layers) > SHOWN else ""
    return ", ".join(escape(layer.name) for layer in layers[:SHOWN]) + more


def _chart(found: LoraCheck) -> Iterator[str]:
    blocks = found.blocks
    longest = max((block.norm for block in blocks.values()), default=0.0)
    if not longest:
        return
    wide = max(map(len, blocks))
    share = "   share" if found.model is not None else ""
    yield f"  {'block':<{wide}} changes      norm{share}"
    for name, block in blocks.items():
        bar = "█" * max(1, round(BAR * block.norm / longest)) if block.norm else ""
        part = f"{block.share:>8.2%}" if block.share is not None else " " * len(share)
        yield f"  {name:<{wide}} {block.layers:>7} {block.norm:>9.4g}{part}  {bar}"


def to_json(found: LoraCheck) -> Json:
    """The same for programs."""
    adapter = found.verdict.adapter
    return {
        "path": str(found.path),
        "title": found.verdict.title,
        "family": found.verdict.family,
        "flavour": adapter.flavour if adapter is not None else "",
        "spelling": adapter.spelling if adapter is not None else "",
        "model": None if found.model is None else str(found.model),
        "tensors": found.tensors,
        "applied": found.applied,
        "sound": found.sound,
        "refusal": found.refusal,
        "notes": list(found.notes),
        "contradictions": list(found.verdict.contradictions),
        "blocks": {
            name: {"changes": block.layers, "norm": block.norm, "share": block.share}
            for name, block in found.blocks.items()
        },
        "layers": [
            {
                "name": layer.name,
                "block": layer.block,
                "kind": layer.kind,
                "rank": layer.rank,
                "scale": layer.scale,
                "norm": layer.norm,
                "share": layer.share,
                "state": layer.state,
                "reason": layer.reason,
            }
            for layer in found.layers
        ],
    }
