"""What a comparison showed, in sentences for a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sfumato.containers.sizes import counted, human
from sfumato.containers.text import escape
from sfumato.operations.comparing.diff import Difference
from sfumato.operations.comparing.explain import Explanation, Origin
from sfumato.operations.comparing.mixture import Mixture, Term
from sfumato.operations.comparing.parts import PartDifference
from sfumato.operations.comparing.sections import Section

SHOWN = 3
"""names in a sentence"""

ALMOST = 0.01
"""how far weights may be from 1, or from each other's negative, to be written as A + x (B - C)"""


def percent(value: float) -> str:
    """A share with two digits behind the point, or how little it is."""
    return "less than 0.01%" if 0 < value < 0.0001 else f"{value:.2%}"


def verdict(found: Difference) -> str:
    """The one sentence that answers whether two models are the same."""
    states = {part.state for part in found.parts}
    if not found.parts or states == {"other"}:
        return "Two different networks: no part of one can be compared with a part of the other."
    if found.same:
        form = "" if states == {"identical"} else ", in another type"
        return f"The same model: every part has the same weights{form}."
    if "changed" not in states and "other" not in states and all(p.complete for p in found.parts):
        return "The same weights in every part that both have; parts are missing in one of the two."
    same = sum(part.state in ("identical", "same") for part in found.parts)
    return f"Different models: {same} of {counted(len(found.parts), 'common part')} the same."


def sentences(found: Difference) -> Iterator[str]:
    """Everything that differs, part by part, without the tables of blocks."""
    yield verdict(found)
    for part in found.parts:
        yield f"{escape(part.title)}: {about(part)}"
        yield from (f"  {clause}" for clause in details(part))
    for part in found.crossed:
        if part.state in ("identical", "same"):
            yield crossed(part)
    yield from (f"only in the first: {_alone(part)}" for part in found.only_first)
    yield from (f"only in the second: {_alone(part)}" for part in found.only_second)
    if found.metadata:
        yield f"the text in the headers differs: {_list(found.metadata)}"


def _alone(part: Section) -> str:
    return f"{escape(part.title)} ({counted(len(part.tensors), 'tensor')}, {human(part.nbytes)})"


def about(part: PartDifference) -> str:
    """The state of one part in one clause."""
    if part.state == "other":
        other = f" ({escape(part.other_title)})" if part.other_title != part.title else ""
        return f"another network{other}: {part.tensors} names in common"
    if part.state == "identical":
        return f"identical, {counted(part.tensors, 'tensor')}"
    if part.state == "same":
        return f"the same weights, {_form(part)}"
    share = f"{part.differing} of {counted(part.tensors, 'tensor')}"
    here, there = _types(part.dtypes), _types(part.other_dtypes)
    types = "" if here == there else f"; {here} and {there}"
    return f"changed by {percent(part.distance)} ({share}{types})"


def _form(part: PartDifference) -> str:
    """How the same weights are stored differently."""
    here, there = _types(part.dtypes), _types(part.other_dtypes)
    if part.sorts.get("rounded"):
        return f"as far as rounding lets tell ({here}, {there})"
    if part.sorts.get("cast"):
        return f"one cast from the other ({here}, {there})"
    return f"every number equal ({here}, {there})"


def _types(names: Sequence[str]) -> str:
    return "/".join(names[:2])


def details(part: PartDifference) -> Iterator[str]:
    """What else there is to say of a part that is not identical."""
    if part.state == "other":
        return
    if part.missing:
        yield f"only in the first: {_list(part.missing)}"
    if part.extra:
        yield f"only in the second: {_list(part.extra)}"
    if part.spare:
        yield f"in one of the two, and of no use: {_list(part.spare)}"
    if part.reshaped:
        first = part.reshaped[0]
        rest = f", and {len(part.reshaped) - 1} more" if len(part.reshaped) > 1 else ""
        yield f"another shape: {escape(first.name)}, {first.detail}{rest}"
    if part.unread:
        yield f"other bytes, not read as numbers: {_list([pair.name for pair in part.unread])}"
    if part.odd:
        yield f"NaN or infinite in one of the two: {counted(part.odd, 'number')}"
    if part.state == "changed" and part.furthest:
        far = part.furthest[0]
        yield f"furthest apart: {escape(far.name)}, {percent(far.distance)}"


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(escape(name) for name in names[:SHOWN])
    return f"{counted(len(names), 'name')} ({shown}{', …' if len(names) > SHOWN else ''})"


def crossed(part: PartDifference) -> str:
    """That an averaged copy in one model is the trained network of the other."""
    copy, live = (part.title, part.other_title)
    if part.role != "ema":
        copy, live = live, copy
    return f"the {escape(live)} of one is the {escape(copy)} of the other"


def formula(mixture: Mixture) -> str:
    """0.70 A + 0.30 B, or A + 0.80 (B - C) where the weights say that."""
    difference = _difference(mixture.terms)
    if difference is not None:
        return difference
    text = ""
    for number, term in enumerate(mixture.terms):
        sign = "- " if term.weight < 0 else "+ " if number else ""
        space = " " if number else ""
        text += f"{space}{sign}{abs(term.weight):.2f} {escape(term.name)}"
    return text


def _difference(terms: Sequence[Term]) -> str | None:
    if len(terms) != 3:
        return None
    for base in terms:
        plus, minus = sorted((t for t in terms if t is not base), key=lambda term: -term.weight)
        opposed = plus.weight > 0 > minus.weight and abs(plus.weight + minus.weight) < ALMOST
        if abs(base.weight - 1) < ALMOST and opposed:
            names = f"{escape(plus.name)} - {escape(minus.name)}"
            return f"{escape(base.name)} + {plus.weight:.2f} ({names})"
    return None


def origin(found: Origin) -> str:
    """Where one part comes from, in one sentence."""
    title = escape(found.title)
    nearest = next(iter(found.distances.items()), ("", 0.0))
    if found.how == "alone":
        return f"{title}: no candidate has such a part"
    if found.how == "same":
        names = " and of ".join(escape(name) for name in found.same)
        proof = "" if found.proof is None else f" ({about(found.proof)})"
        return f"{title}: is the one of {names}{proof}"
    mixture = found.mixture
    if mixture is None or found.how == "apart":
        sums = "" if mixture is None else "; no weighted sum explains it"
        return f"{title}: {percent(nearest[1])} from {escape(nearest[0])}, the nearest{sums}"
    left = f"residual {percent(mixture.residual)}"
    if found.how == "mixed":
        return f"{title}: is {formula(mixture)} ({left}{_total(mixture)})"
    if found.how == "mixed by block":
        left = f"residual {percent(mixture.by_block)} with weights for each block"
        return f"{title}: is mixed block by block, on average {formula(mixture)} ({left})"
    more = f"where {escape(nearest[0])} alone leaves {percent(nearest[1])}: something else went in"
    return f"{title}: is near to {formula(mixture)} ({left}, {more})"


def _total(mixture: Mixture) -> str:
    if abs(mixture.total - 1) < ALMOST:
        return ""
    return f"; the weights sum to {mixture.total:.2f}"


def explained(found: Explanation) -> Iterator[str]:
    """Where every part comes from."""
    for one in found.origins:
        yield origin(one)


def distances(found: Mapping[str, float]) -> str:
    """Candidates with their distances, the nearest first."""
    return ", ".join(f"{escape(name)} {percent(value)}" for name, value in found.items())
