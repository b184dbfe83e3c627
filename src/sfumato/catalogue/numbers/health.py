"""What is wrong, or will go wrong in another precision, with the numbers of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sfumato.containers.tensor import Tensors
from sfumato.containers.text import escape

if TYPE_CHECKING:  # they import numpy, which a card without numbers does not need
    from sfumato.catalogue.numbers.averages import Averages
    from sfumato.catalogue.numbers.buffers import PositionIds
    from sfumato.catalogue.numbers.measure import Measures

Progress = Callable[[int, int], None]
"""called with bytes done and bytes in all"""

SHOWN = 3
"""tensors named in a sentence"""

FLUSHED = 0.1
"""share of a tensor's numbers that fp16 cannot hold with all digits, from which on it is said"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found in one tensor."""

    sort: str
    """name of one of SORTS"""
    tensor: str
    count: int
    """numbers concerned"""
    worst: float | None = None
    """the value furthest from good, always finite; None where there is none to show"""
    detail: str = ""
    """one clause"""


@dataclass(frozen=True, slots=True)
class Sort:
    """One sort of finding."""

    name: str
    broken: bool
    """True where the model is damaged, False where it depends on what is done with it"""
    say: Callable[[list[Finding]], str]
    """the sentence for all findings of the sort"""


@dataclass(frozen=True, slots=True)
class Health:
    """What reading every number of a model showed."""

    tensors: int
    """tensors whose numbers were read"""
    numbers: int
    findings: tuple[Finding, ...] = ()
    positions: tuple[PositionIds, ...] = ()
    averages: Averages | None = None
    """averaged against trained weights; None where the file has no averages"""
    small: int = 0
    """numbers that fp16 cannot hold with all their digits, of types wider than fp16"""
    lost: int = 0
    """of these, numbers that fp16 makes zero"""

    @property
    def sound(self) -> bool:
        """True where nothing is damaged; warnings about fp16 and the like do not count."""
        broken = {sort.name for sort in SORTS if sort.broken}
        return not any(finding.sort in broken for finding in self.findings)

    def sentences(self) -> Iterator[str]:
        """The findings in words, the worst first; one sentence that all is well where it is."""
        for sort in SORTS:
            found = [finding for finding in self.findings if finding.sort == sort.name]
            if found:
                yield sort.say(found)
        if self.averages is not None:
            yield _averages(self.averages)
        if not self.numbers:
            yield "There are no numbers to examine."
        elif self.sound:
            yield f"All {self.numbers:,} numbers were read: none is NaN or infinite."


def examine(model: Tensors, *, progress: Progress | None = None) -> Health:
    """Read every number of `model` in pieces, on two threads, and say what is odd.

    Memory stays at a few pieces whatever the size of the model. Raises what reading raises.
    """
    from sfumato.catalogue.numbers.averages import compare_averages, twins
    from sfumato.catalogue.numbers.buffers import position_ids
    from sfumato.catalogue.numbers.measure import measurable, measure
    from sfumato.containers.parallel import in_order

    total = sum(tensor.nbytes for tensor in model.values())
    total += sum(model[a].nbytes + model[b].nbytes for a, b in twins(model).items())
    count = _Count(total, progress)
    read = {name: tensor for name, tensor in model.items() if measurable(tensor.dtype)}
    findings: list[Finding] = []
    numbers = small = lost = 0
    for (name, tensor), found in zip(read.items(), in_order(measure, read.values()), strict=True):
        findings += _odd(name, found)
        numbers, small, lost = numbers + found.size, small + found.small, lost + found.lost
        count.add(tensor.nbytes)
    positions = tuple(position_ids(model))
    findings += [*_unread(model), *_positions(positions), *_schedule(model)]
    averages = compare_averages(model, tell=count.add)
    count.end()
    return Health(
        len(read), numbers, tuple(findings), positions, averages, small, lost
    )  # fmt: skip


@dataclass(slots=True)
class _Count:
    """Bytes done so far, told to whoever asked."""

    total: int
    progress: Progress | None
    done: int = 0

    def add(self, nbytes: int) -> None:
        self.done += nbytes
        if self.progress is not None:
            self.progress(self.done, self.total)

    def end(self) -> None:
        self.add(self.total - self.done)


def _odd(name: str, found: Measures) -> Iterator[Finding]:
    """The findings in one tensor's counts."""
    if found.nan:
        yield Finding("nan", name, found.nan)
    if found.infinite:
        yield Finding("infinite", name, found.infinite)
    if found.huge:
        yield Finding("overflow", name, found.huge, found.largest, f"up to {found.largest:.6g}")
    if found.zero:
        yield Finding("zero", name, found.size)
    elif found.constant and not found.nan and not found.infinite:
        yield Finding("constant", name, found.size, found.largest, f"±{found.largest:.6g}")
    elif found.small > FLUSHED * found.size:
        share = f"{found.small / found.size:.0%} of its numbers, {found.lost} of them become zero"
        yield Finding("flush", name, found.small, None, share)


def _unread(model: Tensors) -> Iterator[Finding]:
    from sfumato.catalogue.numbers.measure import measurable

    for name, tensor in model.items():
        if tensor.dtype.kind == "float" and not measurable(tensor.dtype):
            yield Finding("unread", name, tensor.size, None, f"{tensor.dtype} numbers")


def _positions(states: tuple[PositionIds, ...]) -> Iterator[Finding]:
    for found in states:
        if found.state == "broken":
            at = ", ".join(f"{index} holds {value:.6g}" for index, value in found.broken[:SHOWN])
            yield Finding("position-ids", found.tensor, len(found.broken), None, at)
        elif found.state == "float":
            yield Finding("position-ids-float", found.tensor, 0, None, "the values are right")


def _schedule(model: Tensors) -> Iterator[Finding]:
    from sfumato.catalogue.numbers.buffers import schedule

    for found in schedule(model):
        yield Finding(f"schedule-{found.sort}", found.tensor, found.differs, found.worst)


def _names(found: list[Finding]) -> str:
    names = ", ".join(escape(finding.tensor) for finding in found[:SHOWN])
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return names + more


def _sum(found: list[Finding]) -> str:
    count = sum(finding.count for finding in found)
    return f"{count:,} numbers" if count != 1 else "1 number"


def _worst(found: list[Finding]) -> float:
    return max(finding.worst or 0.0 for finding in found)


def _nan(found: list[Finding]) -> str:
    return f"BROKEN: NaN in {_names(found)} ({_sum(found)}): pictures turn black."


def _infinite(found: list[Finding]) -> str:
    return f"BROKEN: infinite numbers in {_names(found)} ({_sum(found)}): pictures turn black."


def _broken_positions(found: list[Finding]) -> str:
    return (
        f"BROKEN: the position ids {_names(found)} are not 0, 1, 2 … ({found[0].detail}): words of "
        "the prompt are lost. `sfumato repair FILE --fix position-ids -o OUT` mends them, which "
        "changes pictures."
    )


def _float_positions(found: list[Finding]) -> str:
    return f"The position ids {_names(found)} are stored as floats; their values are right."


def _overflow(found: list[Finding]) -> str:
    return (
        f"Too large for fp16: {_sum(found)} in {_names(found)} (up to {_worst(found):.6g}): keep "
        "them in bf16 or fp32."
    )


def _flush(found: list[Finding]) -> str:
    return f"Too small for fp16 in good part: {_names(found)} ({found[0].detail} in the first)."


def _zero(found: list[Finding]) -> str:
    return f"All zeros: {_names(found)}."


def _constant(found: list[Finding]) -> str:
    return f"One number throughout: {_names(found)}."


def _rounded_schedule(found: list[Finding]) -> str:
    return (
        f"The noise schedule {_names(found)} was rounded when the file was cast: programs that "
        "read it from the file paint slightly other pictures."
    )


def _other_schedule(found: list[Finding]) -> str:
    return (
        f"The noise schedule {_names(found)} is not the standard one: programs that compute it "
        "themselves paint other pictures."
    )


def _short_schedule(found: list[Finding]) -> str:
    return f"The noise schedule {_names(found)} has not the usual 1000 steps."


def _not_read(found: list[Finding]) -> str:
    return f"Not examined, since the type is smaller than a byte: {_names(found)}."


def _averages(found: Averages) -> str:
    rest = f"; {len(found.left_out)} more cannot be compared" if found.left_out else ""
    if not found.pairs:
        return f"None of the averaged (EMA) weights can be compared with a trained one{rest}."
    if not found.distance:
        return f"The averaged (EMA) weights equal the trained ones ({found.pairs} pairs{rest})."
    return (
        f"The averaged (EMA) weights are {found.distance:.2%} away from the trained ones "
        f"({found.pairs} pairs{rest}), most in {escape(found.furthest)}."
    )


SORTS: tuple[Sort, ...] = (
    Sort("nan", True, _nan),
    Sort("infinite", True, _infinite),
    Sort("position-ids", True, _broken_positions),
    Sort("overflow", False, _overflow),
    Sort("schedule-another", False, _other_schedule),
    Sort("schedule-shape", False, _short_schedule),
    Sort("schedule-rounded", False, _rounded_schedule),
    Sort("position-ids-float", False, _float_positions),
    Sort("zero", False, _zero),
    Sort("constant", False, _constant),
    Sort("flush", False, _flush),
    Sort("unread", False, _not_read),
)
"""everything that can be found, the worst first"""
