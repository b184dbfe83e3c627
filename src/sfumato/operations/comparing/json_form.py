"""Comparisons as JSON: plain values that `json.dumps` takes."""

from __future__ import annotations

from math import isfinite

from sfumato.operations.comparing.diff import Difference, Side
from sfumato.operations.comparing.explain import Explanation, Origin
from sfumato.operations.comparing.parts import PartDifference
from sfumato.operations.comparing.sections import Section
from sfumato.operations.comparing.words import formula, sentences

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

SHOWN = 20
"""names listed where there may be thousands; the counts are always whole"""


def difference(found: Difference) -> dict[str, Json]:
    """What `diff` found."""
    return {
        "first": _side(found.first),
        "second": _side(found.second),
        "same": found.same,
        "parts": [_part(part) for part in found.parts],
        "only_first": [_alone(part) for part in found.only_first],
        "only_second": [_alone(part) for part in found.only_second],
        "crossed": [_part(part) for part in found.crossed],
        "metadata": _names(found.metadata),
        "sentences": list(sentences(found)),
    }


def _side(found: Side) -> Json:
    return {
        "path": str(found.path),
        "container": found.container.name,
        "title": found.title,
        "size": found.size,
    }


def _alone(part: Section) -> Json:
    return {
        "role": part.role,
        "title": part.title,
        "tensors": len(part.tensors),
        "bytes": part.nbytes,
    }


def _part(part: PartDifference) -> Json:
    return {
        "role": part.role,
        "title": part.title,
        "other_title": part.other_title,
        "state": part.state,
        "dtypes": list(part.dtypes),
        "other_dtypes": list(part.other_dtypes),
        "tensors": part.tensors,
        "sorts": {**part.sorts},
        "distance": _number(part.distance),
        "largest": _number(part.largest),
        "numbers": part.numbers,
        "changed": part.changed,
        "odd": part.odd,
        "missing": _names(part.missing),
        "extra": _names(part.extra),
        "spare": _names(part.spare),
        "reshaped": _names(tuple(pair.name for pair in part.reshaped)),
        "furthest": [{"name": p.name, "distance": _number(p.distance)} for p in part.furthest],
        "blocks": [
            {
                "block": block.name,
                "tensors": block.tensors,
                "changed": block.changed,
                "distance": _number(block.distance),
            }
            for block in part.blocks
        ],
    }


def explanation(found: Explanation) -> dict[str, Json]:
    """What `explain` found."""
    return {
        "subject": _side(found.subject),
        "candidates": {name: _side(side) for name, side in found.candidates.items()},
        "parts": [_origin(origin) for origin in found.origins],
    }


def _origin(found: Origin) -> Json:
    mixture = found.mixture
    return {
        "role": found.role,
        "title": found.title,
        "how": found.how,
        "distances": {name: _number(value) for name, value in found.distances.items()},
        "same": list(found.same),
        "proof": None if found.proof is None else _part(found.proof),
        "matrices": found.matrices,
        "mixture": None
        if mixture is None
        else {
            "formula": formula(mixture),
            "terms": {term.name: _number(term.weight) for term in mixture.terms},
            "total": _number(mixture.total),
            "residual": _number(mixture.residual),
            "residual_by_block": _number(mixture.by_block),
            "rounding": _number(found.noise),
            "blocks": [
                {"block": b.block, "weights": [*map(_number, b.weights)], "residual": b.residual}
                for b in mixture.blocks
            ],
        },
    }


def _number(value: float) -> Json:
    return value if isfinite(value) else None


def _names(names: tuple[str, ...]) -> Json:
    return {"count": len(names), "first": list(names[:SHOWN])}
