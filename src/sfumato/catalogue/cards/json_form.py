"""The card as JSON: the versioned schema that docs/inspect-json.md describes."""

from __future__ import annotations

from sfumato.catalogue.cards.card import Card
from sfumato.catalogue.verdict import Adapter, Part, Verdict
from sfumato.containers.journal import Event, Journal

SCHEMA = 1
"""raised when a field changes its meaning or goes; new fields do not raise it"""

SHOWN = 20
"""keys listed where there may be thousands; the counts are always whole"""

VALUE = 4096
"""characters of a metadata value that are shown"""

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


def to_json(card: Card) -> dict[str, Json]:
    """`card` as plain values that `json.dumps` takes; none comes from an object's repr."""
    return {
        "schema": SCHEMA,
        "path": str(card.path),
        "size": card.size,
        "container": card.container.name if card.container else None,
        "verdict": card.verdict,
        "message": card.message,
        "journal": _journal(card.journal),
        **_identity(card.identity or Verdict("unknown")),
        "wrapper": card.wrapper,
        "metadata": {key: _short(value) for key, value in card.metadata.items()},
        "extras": {key: _leaf(value) for key, value in list(card.extras.items())[:SHOWN]},
        "extras_count": len(card.extras),
        "notes": list(card.notes),
        "hashes": _hashes(card),
        "fingerprints": [{**found.to_json()} for found in card.fingerprints],
        "known": [
            {
                "files": [file.title for file in match.files],
                "certainty": match.certainty,
                "by": match.by,
            }
            for match in card.known
        ],
        "waste": [
            {
                "what": item.what,
                "bytes": item.nbytes,
                "lossless": item.lossless,
                "command": item.command,
            }
            for item in card.waste
        ],
        "memory": [
            {"dtype": need.dtype, "weights": need.weights, "working": need.working}
            for need in card.memory
        ],
        "health": _health(card),
        "advice": list(card.advice),
    }


def _identity(verdict: Verdict) -> dict[str, Json]:
    prediction = verdict.prediction
    return {
        "kind": verdict.kind,
        "family": verdict.family,
        "variant": verdict.variant,
        "title": verdict.title,
        "confidence": verdict.confidence,
        "evidence": list(verdict.evidence),
        "contradictions": list(verdict.contradictions),
        "runner_up": verdict.runner_up,
        "parts": [_part(part) for part in verdict.parts],
        "edition": verdict.edition,
        "edition_note": verdict.edition_note,
        "prediction": None
        if prediction is None
        else {
            "type": prediction.type,
            "reason": prediction.reason,
            "zero_terminal_snr": prediction.zero_terminal_snr,
        },
        "adapter": None if verdict.adapter is None else _adapter(verdict.adapter),
        "trigger_words": [{"word": t.word, "source": t.source} for t in verdict.trigger_words],
        "hyperparameters": {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in verdict.hyperparameters.items()
        },
        "left_over": _keys(verdict.left_over),
    }


def _part(part: Part) -> dict[str, Json]:
    return {
        "role": part.role,
        "title": part.title,
        "prefix": part.prefix,
        "tensors": part.tensors,
        "parameters": part.parameters,
        "bytes": part.nbytes,
        "dtypes": dict(part.dtypes),
        "expected": part.expected,
        "complete": part.complete,
        "custom": part.custom,
        "missing": _keys(part.missing),
        "reshaped": _keys(part.reshaped),
    }


def _adapter(adapter: Adapter) -> dict[str, Json]:
    return {
        "flavour": adapter.flavour,
        "spelling": adapter.spelling,
        "ranks": list(adapter.ranks),
        "alphas": list(adapter.alphas),
        "modules": adapter.modules,
        "known": adapter.known,
        "possible": adapter.possible,
        "targets": list(adapter.targets),
        "vectors": adapter.vectors,
        "widths": list(adapter.widths),
        "structure": adapter.structure,
        "bundled": list(adapter.bundled),
    }


def _keys(names: tuple[str, ...]) -> dict[str, Json]:
    return {"count": len(names), "first": list(names[:SHOWN])}


def _journal(journal: Journal) -> list[Json]:
    """Every refused event; the others once per name, with their count and first place."""
    counts: dict[tuple[str, str, str], int] = {}
    first: dict[tuple[str, str, str], Event] = {}
    refused: list[Json] = []
    for event in journal:
        if event.risk == "refused":
            refused.append(_event(event, 1))
            continue
        key = (event.kind, event.name, event.risk)
        counts[key] = counts.get(key, 0) + 1
        first.setdefault(key, event)
    return refused + [_event(first[key], count) for key, count in counts.items()]


def _event(event: Event, count: int) -> Json:
    return {
        "kind": event.kind,
        "name": event.name,
        "risk": event.risk,
        "count": count,
        "offset": event.offset,
        "where": event.where,
        "arguments": event.arguments,
    }


def _hashes(card: Card) -> Json:
    if card.hashes is None:
        return None
    return {
        "sha256": card.hashes.sha256,
        "autov1": card.hashes.autov1,
        "autov2": card.hashes.autov2,
        "autov3": card.hashes.autov3,
        "payload": card.hashes.payload,
        "blake3": card.hashes.blake3,
        "crc32": card.hashes.crc32,
        "tensors": card.hashes.tensors,
    }


def _health(card: Card) -> Json:
    if card.health is None:
        return None
    return {
        "tensors": card.health.tensors,
        "findings": [
            {
                "sort": finding.sort,
                "tensor": finding.tensor,
                "count": finding.count,
                "detail": finding.detail,
            }
            for finding in card.health.findings
        ],
        "sentences": list(card.health.sentences()),
    }


def _short(text: str) -> str:
    return text if len(text) <= VALUE else f"{text[:VALUE]}… ({len(text)} characters)"


def _leaf(value: str | int | float | bool | bytes | None) -> Json:
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)  # JSON has no word for these
    if isinstance(value, str):
        return _short(value)
    return value
