"""What is odd about the way a file's tensors are named and stored, and what mends it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from sfumato.catalogue.survey import Survey
from sfumato.catalogue.verdict import Part
from sfumato.containers.dtype import DTYPES
from sfumato.containers.tensor import Tensors

BARE = "clip-bare"
"""layout of a text encoder without `text_model.` in its names"""

MENDABLE = ("cond_stage_model.transformer.", "conditioner.embedders.0.transformer.")
"""places of a text encoder whose names the repair completes"""

_SHARD = re.compile(r"(\d{1,6})-of-(\d{1,6})$", re.ASCII)


def oddities(found: Survey, parts: Sequence[Part]) -> Iterator[str]:
    """One clause per oddity of names and of storage."""
    yield from _odd_names(found)
    yield from _odd_storage(parts)


def _odd_names(found: Survey) -> Iterator[str]:
    """Names that programs do not expect, one clause each with the repair."""
    if found.wrapper:
        yield f"all names begin with {found.wrapper}: `sfumato repair FILE --fix prefixes`"
    for match in found.matches:
        if match.layout == BARE and match.prefix.endswith(MENDABLE):
            yield (
                f"names of the {match.title} lack text_model., as NovelAI's do: "
                "`sfumato repair FILE --fix text-model`"
            )


def _odd_storage(parts: Sequence[Part]) -> Iterator[str]:
    """Weights that are quantised, one clause for each way of doing so."""
    dtypes = {name for part in parts for name in part.dtypes}
    encodings = {
        name: sum(part.dtypes.get(name, 0) for part in parts)
        for name in sorted(dtypes.difference(DTYPES))
    }
    if encodings:
        told = ", ".join(f"{name} ({count} tensors)" for name, count in encodings.items())
        yield f"weights are stored in quantised blocks: {told}"
    marks = {
        name.rpartition(".")[2]
        for part in parts
        if part.role in ("quantisation", "markers")
        for name in part.names
    }
    mark = next((m for m in SCALED if m in marks), "")
    if mark:
        kind = "fp8" if any(name.startswith("F8") for name in dtypes) else "quantised"
        yield f"weights are {kind} with scales ({mark})"


SCALED = ("scaled_fp8", "comfy_quant", "scale_weight", "weight_scale")
"""names of tensors that tell of scales, the most telling first"""


def float_positions(model: Tensors, found: Survey) -> Iterator[str]:
    """Position ids that are floats: most became wrong when a file was cast to a small type."""
    for match in found.matches:
        if not match.role.startswith("text_encoder"):
            continue
        for name in match.found:
            if name.endswith("position_ids"):
                dtype = model[match.prefix + name].dtype
                if dtype.kind == "float":
                    yield (
                        f"position ids are stored as {dtype.name}: casts may have harmed them; "
                        "--deep looks, `sfumato repair FILE --fix position-ids` mends"
                    )


def shard(stem: str) -> str:
    """That a file is one of several, where its name says so; nothing else is concluded from it."""
    match = _SHARD.search(stem)
    if match is None or int(match[2]) < 2:
        return ""
    return (
        f"by its name part {int(match[1])} of {int(match[2])} of a sharded set: "
        "open the .index.json beside it"
    )
