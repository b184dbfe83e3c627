"""A LoRA, of whatever flavour and in whatever spelling: how it is recognised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sfumato.catalogue.adapters.cloneofsimo import group_numbered
from sfumato.catalogue.adapters.flavours import BY_NAME, ORDER
from sfumato.catalogue.adapters.grouping import BUNDLE, Change, Grouped, group
from sfumato.catalogue.adapters.lora_custom import custom_fits
from sfumato.catalogue.adapters.lora_family import Fit, candidates, claims, foreign
from sfumato.catalogue.adapters.lora_names import BY_NAME as FAMILIES
from sfumato.catalogue.adapters.lora_names import possible
from sfumato.catalogue.adapters.peft_config import peft_alphas, peft_contradictions
from sfumato.catalogue.adapters.spellings import spelling_of
from sfumato.catalogue.tally import tally, with_rest
from sfumato.catalogue.triggers import metadata_words, token_words
from sfumato.catalogue.verdict import Adapter, Confidence, Part, Verdict
from sfumato.containers.tensor import Tensors
from sfumato.containers.text import escape

NOT_A_LORA: tuple[str, ...] = (
    "lora_controlnet\n", "\nlllite_", "motion_modules.", "image_proj.", "ip_adapter.",
    "\nid_encoder.", "\nlora_weights.", "pulid_",
)  # fmt: skip
"""parts of keys, joined by newlines, that mark other kinds of files with LoRA tensors inside"""

MARKS: tuple[str, ...] = (
    "lora", "hada_", "lokr_", ".on_input", ".ia3_l", ".a1.weight", "oft_", ".diff\n", ".diff_b\n",
    "w_norm", "b_norm", ".set_weight", "bias_indices", ".W_down", ":down\n", ":up\n", "\n0\n",
)  # fmt: skip
"""parts of keys, joined by newlines, of which every file of the LoRA family has one"""

TARGETS: dict[str, str] = {
    "unet": "UNet",
    "dit": "transformer",
    "text_encoder": "text encoder",
    "text_encoder_2": "second text encoder",
    "text_encoder_3": "T5 text encoder",
}
"""what is changed, as a person says it, in the order in which it is listed"""

FEW_STEPS: tuple[str, ...] = ("lcm", "turbo", "lightning", "hyper-sd", "hypersd", "dmd2", "tcd")
"""words in a title that stand for painting in few steps"""


@dataclass(slots=True)
class Found:
    """Everything that is known of a LoRA before it is put into words."""

    grouped: Grouped
    spelling: str
    fits: Sequence[Fit]
    family: str = "unknown"
    title: str = ""
    """the family's title"""
    by_blocks: bool = False
    """True where only the names of its blocks tell the family"""
    evidence: list[str] = field(default_factory=list[str])
    contradictions: list[str] = field(default_factory=list[str])

    @property
    def changes(self) -> Sequence[Change]:
        """The modules that are changed."""
        return self.grouped.changes

    @property
    def fit(self) -> Fit | None:
        """How the changes sit in the family that was chosen."""
        first = self.family.split("/")[0]
        return next((fit for fit in self.fits if fit.family.name == first), None)

    def target(self, change: Change) -> str:
        """What a change belongs to; empty where its name does not tell and no family has it."""
        return change.target or ("unet" if self.fit is not None else "")


def recognise_lora(model: Tensors, metadata: Mapping[str, str]) -> Verdict | None:
    """Say what a LoRA is; None for a file that is no LoRA. Nothing is read."""
    keys = "\n" + "\n".join(model) + "\n"
    if not any(mark in keys for mark in MARKS) or any(mark in keys for mark in NOT_A_LORA):
        return None
    numbered = group_numbered(model, metadata)
    grouped = numbered.grouped if numbered else group(model)
    if 2 * grouped.used < len(model) - len(grouped.embeddings):
        return None  # a checkpoint with a few stray LoRA keys, as merges leave them
    if not grouped.changes:
        return None
    spelling = numbered.spelling if numbered else ""
    found = Found(grouped, spelling, candidates(grouped.changes))
    _choose(found, metadata)
    found.spelling = found.spelling or spelling_of(grouped, found.family)
    return _verdict(found, model, metadata)


def _choose(found: Found, metadata: Mapping[str, str]) -> None:
    """Settle the family: shapes first, metadata only between families that fit alike."""
    said = claims(metadata)
    most = bool(found.fits) and found.fits[0].agreeing * 2 > len(found.changes)
    other = None if most else foreign(found.changes)
    if not most and other is None:
        found.fits = custom_fits(found.changes) or found.fits
    best = [f for f in found.fits if f.agreeing == found.fits[0].agreeing]
    if best and not other:
        named = [fit for fit in best if fit.family.name in {family for _, _, family in said}]
        chosen = named[:1] or best
        found.family = "/".join(fit.family.name for fit in chosen)
        found.title = " or ".join(fit.family.title for fit in chosen)
        found.evidence += _fitting(found)
        if named and len(best) > 1:
            what = "names" if best[0].custom else "shapes"
            found.evidence.append(f"the {what} fit {len(best)} families; the metadata decides")
    elif other:
        found.family, found.title = other
        found.by_blocks = True
        found.evidence.append(f"its modules are named as those of {found.title}")
    elif said:
        key, value, found.family = said[0]
        found.title = FAMILIES[found.family].title if found.family in FAMILIES else found.family
        found.evidence.append(f"only {key} ({value}) tells the family")
    for key, value, family in said:
        if family in found.family.split("/"):
            found.evidence.append(f"{key} says {value}")
        else:
            clause = f"{key} says {value}, but the shapes are those of {found.title}"
            found.contradictions.append(f"{clause}: the shapes are believed")


def _fitting(found: Found) -> Iterator[str]:
    fit = found.fit
    if fit is None:
        return
    counts = Counter(change.target or "unet" for change in fit.known)
    places = ", ".join(f"{TARGETS[t]} {counts[t]}" for t in TARGETS if counts[t])
    total = len(found.changes)
    if fit.custom:
        yield (
            f"{total} changed modules bear names of {found.title} modules ({places}), "
            "for a model of custom size"
        )
    else:
        yield f"{len(fit.known)} of {total} changed modules exist in {fit.family.title} ({places})"
    cross = next((c for c in fit.known if c.flat.endswith("attn2_to_k") and c.measure.inputs), None)
    if cross is not None:
        yield f"its cross-attention takes {cross.measure.inputs} values per token"


def _verdict(found: Found, model: Tensors, metadata: Mapping[str, str]) -> Verdict:
    adapter = _adapter(found, metadata)
    left = [*found.grouped.left_over]
    fit = found.fit
    if fit is not None:
        left += [key for change in fit.unknown for key in change.slots.values()]
    found.evidence += _traits(found, metadata)
    found.contradictions += _misfits(found)
    found.contradictions += peft_contradictions(metadata, adapter.ranks)
    return Verdict(
        kind="lora",
        family=found.family,
        title=_title(found, adapter),
        parts=tuple(with_rest(_parts(found, model, set(left)), model)),
        adapter=adapter,
        trigger_words=(*token_words(_tokens(found.grouped)), *metadata_words(metadata)),
        confidence=_confidence(found, left),
        evidence=tuple(found.evidence),
        contradictions=tuple(found.contradictions),
        left_over=tuple(left),
        runner_up=_runner_up(found),
    )


def _adapter(found: Found, metadata: Mapping[str, str]) -> Adapter:
    changes, fit = found.changes, found.fit
    used = {found.target(change) for change in changes}
    return Adapter(
        flavour=" + ".join(_flavours(changes)),
        spelling=found.spelling,
        ranks=tuple(sorted({c.measure.rank for c in changes} - {0})),
        alphas=_alphas(metadata) or peft_alphas(metadata),
        modules=len(changes),
        known=len(fit.known) if fit else 0,
        possible=_possible(fit) if fit and not fit.custom else 0,
        targets=tuple(target for target in TARGETS if target in used),
        bundled=tuple(_bundled(found.grouped)),
    )


def _possible(fit: Fit) -> int:
    counts = possible(fit.family.name)
    return sum(counts.get(scope, 0) for scope in {"attention", *fit.scopes})


def _flavours(changes: Iterable[Change]) -> list[str]:
    """Every flavour in the file, the telling ones first; LoCon includes plain LoRA."""
    names = {flavour for change in changes for flavour in change.flavours}
    if "locon" in names:
        names.discard("lora")
    return sorted(names, key=ORDER.__getitem__)


def _alphas(metadata: Mapping[str, str]) -> tuple[float, ...]:
    """The alpha that kohya's metadata gives for the whole file."""
    try:
        alpha = float(metadata.get("ss_network_alpha", ""))
    except ValueError:  # "None", "Dynamic", nothing
        return ()
    return (alpha,) if 0 < alpha < 1e9 else ()


def _bundled(grouped: Grouped) -> list[str]:
    names = (key[len(BUNDLE) :].split(".")[0] for key in grouped.embeddings if BUNDLE in key[:11])
    return list(dict.fromkeys([*names, *_tokens(grouped)]))


def _tokens(grouped: Grouped) -> list[str]:
    return [key for key in grouped.embeddings if not key.startswith(BUNDLE)]


def _traits(found: Found, metadata: Mapping[str, str]) -> Iterator[str]:
    notes = Counter(change.measure.note for change in found.changes if change.measure.note)
    for note, count in notes.items():
        yield f"{count} modules: {note}"
    targets = {found.target(change) for change in found.changes}
    if found.fit is None and not found.by_blocks:
        yield "its modules are of no known family"
    elif targets == {"unet"}:
        yield "only the UNet is changed"
    elif targets and all(target.startswith("text") for target in targets):
        yield "only text encoders are changed"
    for key in ("modelspec.title", "ss_output_name", "modelspec.tags", "ssmd_display_name"):
        text = metadata.get(key, "")[:500]
        if word := next((word for word in FEW_STEPS if word in text.lower()), ""):
            yield f'a hint: {key} has "{word}"; such LoRAs want few steps and a CFG scale of 1 to 2'
            return


def _misfits(found: Found) -> Iterator[str]:
    fit = found.fit
    if fit is not None and fit.reshaped:
        first = fit.reshaped[0]
        sizes = f"{first.measure.outputs} × {first.measure.inputs}"
        yield (
            f"{len(fit.reshaped)} of {len(fit.known)} modules have other sizes than "
            f"{fit.family.title}'s, the first is {escape(first.name)} with {sizes}"
        )
    if fit is not None and fit.unknown:
        yield (
            f"{len(fit.unknown)} of {len(found.changes)} modules do not exist in "
            f"{fit.family.title}, the first is {escape(fit.unknown[0].name)}"
        )


def _confidence(found: Found, left_over: Sequence[str]) -> Confidence:
    fit = found.fit
    if fit is None and found.by_blocks:
        return "likely"
    if fit is None:
        return "guess" if found.family != "unknown" else "none"
    if fit.custom:
        return "guess" if "/" in found.family or left_over else "likely"
    if fit.perfect and not left_over:
        return "certain" if "/" not in found.family else "likely"
    return "likely" if fit.agreeing * 10 >= len(found.changes) * 9 else "guess"


def _runner_up(found: Found) -> str:
    chosen = found.family.split("/")
    other = next((fit for fit in found.fits if fit.family.name not in chosen), None)
    if other is None or other.custom:
        return ""
    return f"{other.family.title}: only {other.agreeing} of {len(found.changes)} modules fit"


def _title(found: Found, adapter: Adapter) -> str:
    names = (BY_NAME[name].title for name in adapter.flavour.split(" + "))
    ranks = adapter.ranks
    if len(ranks) > 2:
        rank = f", ranks {ranks[0]} to {ranks[-1]}"
    else:
        rank = f", rank {' and '.join(str(r) for r in ranks)}" if ranks else ""
    flavours = " + ".join(names)
    kind = flavours if "LoRA" in flavours else f"LoRA ({flavours})"
    size = ", custom size" if found.fit is not None and found.fit.custom else ""
    return f"{found.title or 'Unknown'} {kind}{rank}{size}"


def _parts(found: Found, model: Tensors, left_over: set[str]) -> Iterator[Part]:
    piles: dict[str, list[str]] = {target: [] for target in (*TARGETS, "")}
    for change in found.changes:
        keys = (key for key in change.slots.values() if key not in left_over)
        piles[found.target(change)] += keys
    for target, keys in piles.items():
        if keys and target:
            yield tally(f"lora-{target}", f"changes to the {TARGETS[target]}", keys, model)
        elif keys:
            yield tally("lora", "changes to modules of no known network", keys, model)
    if found.grouped.embeddings:
        title = "embeddings carried along"
        yield tally("embedding", title, found.grouped.embeddings, model)
