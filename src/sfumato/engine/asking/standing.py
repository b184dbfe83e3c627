"""LoRAs and hypernetworks that a caller attached, and how a record asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sfumato.containers.text import escape
from sfumato.engine.pictures.values import show
from sfumato.engine.prompt.tags import HypernetworkCall, LoraCall
from sfumato.library.folders import bare

UNFIT = frozenset("<>:=\n")
"""characters that a name in a tag cannot have"""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a caller attached, beside what prompts ask for."""

    kind: Literal["lora", "hypernetwork"]
    path: Path
    call: LoraCall | HypernetworkCall


def tags_of(standing: Sequence[Standing]) -> tuple[str, tuple[str, ...]]:
    """The tags that ask for the same in a prompt, and a sentence on each that none can ask for."""
    tags: list[str] = []
    unsaid: list[str] = []
    for one in standing:
        name = next((n for n in (one.call.name, bare(one.path.name)) if not UNFIT & set(n)), None)
        if name is None:
            unsaid.append(f"{escape(one.call.name)} has a name that no prompt can say: the record "
                          "does not ask for it")  # fmt: skip
        else:
            tags.append(_tag(name, one.call))
    return "".join(tags), tuple(unsaid)


def _tag(name: str, call: LoraCall | HypernetworkCall) -> str:
    if isinstance(call, HypernetworkCall):
        return f"<hypernet:{name}:{show(call.multiplier)}>"
    strengths = (call.te,) if call.unet == call.te else (call.te, call.unet)
    return f"<lora:{name}:{':'.join(map(show, strengths))}>"
