"""Whether a LoRA belongs to a model at all, and the sentence that is said where it does not."""

from __future__ import annotations

from sfumato.catalogue.adapters.flavours import BY_NAME
from sfumato.catalogue.families import TITLES
from sfumato.catalogue.identify import identify
from sfumato.catalogue.verdict import Verdict
from sfumato.containers.sizes import counted
from sfumato.containers.text import escape
from sfumato.errors import Refused
from sfumato.operations.adapters.lora_file import Lora
from sfumato.operations.adapters.target import Target


def misplaced(lora: Lora, target: Target) -> None:
    """Raise Refused where nothing of `lora` applies, or where it is another family's.

    A LoRA for SD2 fits half of SD1's UNet by shape; applying that half would only do harm.
    """
    if lora.parts and not lora.notes:
        return
    file = lora.file
    found = identify(file, metadata=file.metadata, extras=file.extras, stem=lora.name)
    family = found.family.split("/")
    sure = found.confidence in ("certain", "likely") and found.family != "unknown"
    foreign = found.kind == "lora" and sure and target.family not in family
    if lora.parts and not foreign:
        return
    title = TITLES.get(target.family, target.family)
    count = f"{lora.applied} of {lora.total} tensors of {escape(lora.name)} fit this {title} model"
    raise Refused(f"{count}: {_reason(lora, found, foreign=foreign)}")


def _reason(lora: Lora, found: Verdict, *, foreign: bool) -> str:
    if found.kind == "unknown":
        return "the file is of no known sort"
    if found.kind != "lora" or foreign:
        return f"the file is: {found.title}"
    return lora.notes[0] if lora.notes else "the file changes nothing"


def unsubtractable(lora: Lora) -> None:
    """Raise Refused where `lora` cannot be taken out of the weights that it was added to."""
    bound = [part for part in lora.parts if part.kind.depends or "magnitude" in part.slots]
    if not bound:
        return
    first = bound[0]
    title = BY_NAME["dora" if "magnitude" in first.slots else first.kind.name].title
    raise Refused(
        f"{escape(lora.name)}: cannot be subtracted: {counted(len(bound), 'change')} of "
        f"{len(lora.parts)} ({title}; {escape(next(iter(first.slots.values())))}) depends on the "
        "weight that it met, which is gone; bake anew from the file as it was before"
    )
