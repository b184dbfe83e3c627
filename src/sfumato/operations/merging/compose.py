"""A merge of opened models as one mapping of tensors, each computed when it is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sfumato.catalogue.families import TITLES as FAMILIES
from sfumato.containers.dtype import DType
from sfumato.containers.sizes import counted
from sfumato.containers.tensor import Tensor
from sfumato.containers.text import escape
from sfumato.errors import Refused
from sfumato.operations.cast import Losses, cast, castable
from sfumato.operations.merging.channels import IS_FIRST, joined, narrowed
from sfumato.operations.merging.evaluate import Evaluation
from sfumato.operations.merging.health import Watch, faults
from sfumato.operations.merging.sides import LEFT, TITLES, Side
from sfumato.operations.merging.tree import MERGE, Merge, check_policy
from sfumato.operations.plan import SHOWN, Dropped

MERGED = ("unet", "text_encoder", "vae", "ema")
"""groups that a policy speaks of"""


@dataclass(slots=True)
class Composed:
    """The result of a merge, not computed yet."""

    tensors: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    computed: list[str] = field(default_factory=list[str])
    """names of the tensors that are merged; the others are one model's own"""
    dropped: list[Dropped] = field(default_factory=list[Dropped])
    changes: list[str] = field(default_factory=list[str])
    warnings: list[str] = field(default_factory=list[str])
    losses: Losses = field(default_factory=Losses)
    watch: Watch = field(default_factory=Watch)
    memory: int = 0
    """bytes of tensors that are held at the same time, at most"""


def compose(merge: Merge, sides: Mapping[str, Side], dtype: DType | None) -> Composed:
    """Decide every tensor of the result; nothing is read but headers.

    dtype: float type of the result; None gives every tensor the type it has in the first model.

    Raises UsageError for a policy that names no model, and Refused where the models are of several
    families, where a part that is to be merged is incomplete in one, and where shapes differ in
    more than the channels that inpainting and editing models have on top.
    """
    check_policy(merge.policy, list(sides))
    first = next(iter(sides.values()))
    _check_families(list(sides.values()))
    made = Composed()
    givers = _givers(merge, sides, made)
    evaluation = Evaluation(merge.root, sides, made.losses)
    for name, tensor in first.tensors.items():
        group = first.groups.get(name, "")
        if group in LEFT or (group == "ema" and merge.policy.ema != "merge"):
            reason = LEFT.get(group, DROPPED_EMA)
            made.dropped.append(Dropped(name, reason, tensor.nbytes))
        elif group not in MERGED or givers[group] == first.label:
            made.tensors[name] = _passed(name, group, tensor, dtype, made)
        elif givers[group] == MERGE:
            made.tensors[name] = _merged(name, dtype, evaluation, made)
    for group, giver in givers.items():
        if giver not in (MERGE, first.label):
            _take(sides[giver], group, dtype, made)
    _tell(merge, sides, givers, evaluation, made)
    return made


DROPPED_EMA = (
    "averaged (EMA) weights, which are not those of a merge: ema use merges them in place of the "
    "trained ones, ema merge beside them"
)


def _passed(name: str, group: str, tensor: Tensor, dtype: DType | None, made: Composed) -> Tensor:
    """A tensor that is not merged: cast where it is a network's, and otherwise as it is."""
    watched = made.watch.over(name, tensor)
    if dtype is None or group == "buffers":
        return watched
    return cast(name, watched, dtype, made.losses)


def _givers(merge: Merge, sides: Mapping[str, Side], made: Composed) -> dict[str, str]:
    """Group → the label of the model that it comes from, or MERGE."""
    policy, first = merge.policy, next(iter(sides.values()))
    alone = not any(first.has(group) for group in ("unet", "text_encoder"))
    vae = policy.vae or (MERGE if alone else first.label)
    wanted = {"unet": policy.unet, "text_encoder": policy.text_encoder, "vae": vae}
    wanted["ema"] = MERGE if policy.ema == "merge" else first.label
    for group, giver in list(wanted.items()):
        without = [side for side in sides.values() if not side.has(group)]
        if giver != MERGE:
            if giver != first.label and not sides[giver].has(group):
                raise Refused(f"{sides[giver].model.path}: has no {TITLES[group]} to take")
        elif without and first.has(group):
            if group == "ema":
                raise Refused(f"{without[0].model.path}: has no averaged weights to merge")
            made.changes.append(
                f"the {TITLES[group]} is that of {first.title}: {without[0].title} has none"
            )
            wanted[group] = first.label
    return wanted


def _check_families(sides: Sequence[Side]) -> None:
    first = sides[0]
    for other in sides[1:]:
        a, b = first.verdict.family, other.verdict.family
        known = "unknown" not in (a, b)
        if known and not set(a.split("/")) & set(b.split("/")):
            raise Refused(
                f"{first.model.path} is {FAMILIES.get(a, a)} and {other.model.path} is "
                f"{FAMILIES.get(b, b)}: models of two families have no layers in common to merge"
            )


def _merged(name: str, dtype: DType | None, evaluation: Evaluation, made: Composed) -> Tensor:
    """One tensor that all models have a say in, or the first one's where that cannot be."""
    sides = evaluation.sides
    first = next(iter(sides.values()))
    own = first.tensors[name]
    wanted = dtype or own.dtype
    if not castable(name, own):
        return own
    lacking = next((side for side in sides.values() if name not in side.tensors), None)
    if lacking is not None:
        if name in lacking.needed:
            raise Refused(f"{lacking.model.path}: lacks {escape(name)}, so it cannot be merged")
        return _passed(name, "", own, wanted, made)
    there = {label: side.tensors[name] for label, side in sides.items()}
    channels = _common_channels(name, first, sides)
    if channels is not None:
        there = {label: narrowed(tensor, channels) for label, tensor in there.items()}
    made.computed.append(name)
    made.memory = max(made.memory, evaluation.memory(next(iter(there.values())).size))
    result = evaluation.tensor(name, there, wanted)
    if channels is not None and channels < own.shape[1]:
        return joined(result, cast(name, own, wanted, made.losses), channels)
    return result


def _common_channels(name: str, first: Side, sides: Mapping[str, Side]) -> int | None:
    """None where all shapes are equal; else how many input channels all models have.

    Raises Refused where shapes differ in anything else, or another model has more than the first.
    """
    own = first.tensors[name].shape
    for other in sides.values():
        shape = other.tensors[name].shape
        if shape == own:
            continue
        alike = len(shape) == len(own) == 4 and (shape[0], *shape[2:]) == (own[0], *own[2:])
        if not (alike and name.endswith(IS_FIRST)):
            raise Refused(
                f"{escape(name)} is {list(own)} in {first.model.path} and {list(shape)} in "
                f"{other.model.path}: only tensors of one shape can be merged"
            )
        if shape[1] > own[1]:
            raise Refused(
                f"{other.model.path}: takes {shape[1]} channels and {first.model.path} {own[1]}: "
                "name the inpainting or editing model first, whose further channels are kept"
            )
    widths = {side.tensors[name].shape[1] for side in sides.values() if len(own) == 4}
    return None if len(widths) < 2 else min(widths)


def _take(side: Side, group: str, dtype: DType | None, made: Composed) -> None:
    """A part of another model, whole."""
    for name, tensor in side.tensors.items():
        if side.groups.get(name) == group:
            made.tensors[name] = _passed(name, group, tensor, dtype, made)


def _tell(
    merge: Merge,
    sides: Mapping[str, Side],
    givers: Mapping[str, str],
    evaluation: Evaluation,
    made: Composed,
) -> None:
    first = next(iter(sides.values()))
    counts = Counter(first.groups.get(name, "") for name in made.computed)
    told = [f"{counted(counts[group], 'tensor')} of the {TITLES[group]}" for group in MERGED
            if counts[group]]  # fmt: skip
    if told:
        made.changes.insert(0, f"merged: {', '.join(told)}")
    for group, giver in givers.items():
        if giver != MERGE and sides[giver].has(group) and group != "ema":
            sentence = f"the {TITLES[group]} is that of {sides[giver].title}"
            if not any(change.startswith(sentence) for change in made.changes):
                made.changes.append(sentence)
    made.changes.extend(note for side in sides.values() for note in side.notes)
    made.changes.extend(_kept(first, sides, givers, made))
    made.warnings.extend(_doubts(list(sides.values())))
    made.warnings.extend(evaluation.doubts())
    made.warnings.extend(faults(made.tensors))


def _kept(
    first: Side, sides: Mapping[str, Side], givers: Mapping[str, str], made: Composed
) -> Iterator[str]:
    """What only some of the models have."""
    computed = set(made.computed)
    kept = [
        name
        for name in made.tensors
        if givers.get(first.groups.get(name, "")) == MERGE and name not in computed
    ]
    if kept:
        yield f"{counted(len(kept), 'tensor')} as in {first.title}: {_names(kept)}"
    for side in list(sides.values())[1:]:
        merged = (n for n, g in side.groups.items() if givers.get(g) in (MERGE, first.label))
        alone = [n for n in merged if n not in first.tensors and side.groups[n] != "ema"]
        if alone:
            count = counted(len(alone), "tensor")
            yield f"{count} of {side.title} left out, which {first.title} lacks: {_names(alone)}"


def _names(names: Sequence[str]) -> str:
    return ", ".join(map(escape, names[:SHOWN])) + (", …" if len(names) > SHOWN else "")


def _doubts(sides: Sequence[Side]) -> Iterator[str]:
    """What may be meant, and mostly is not."""
    first = sides[0]
    for other in sides[1:]:
        a, b = first.verdict.prediction, other.verdict.prediction
        if a is not None and b is not None and a.type != b.type:
            yield (
                f"{first.title} predicts {a.type} and {other.title} {b.type}: what lies between "
                "them predicts neither"
            )
