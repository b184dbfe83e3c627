"""Which text holds until which step of a pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from sfumato.engine.prompt.grammar import Alternation, Editing, changes, evaluate, read


class Scheduled(NamedTuple):
    """A text, and the last step it holds at, counted from 1."""

    end: int
    text: str


def schedule(
    text: str, steps: int, *, hires_steps: int | None = None, old: bool = False
) -> tuple[Scheduled, ...]:
    """The texts of one pass, in order; the last one ends with the pass.

    steps: of the first pass. hires_steps: of the second pass, when it is the second that is asked
    for. For samplers that call the network twice in a step both are twice the number of steps.
    old: AUTOMATIC1111's rule before 1.6: below 1 a share of the pass, else a step of either pass.

    New rule: with a dot `when` is a share (0 … 1 of the first pass, 1 … 2 of the second), without
    one a step, counted on into the second pass. A text that breaks the grammar is one entry.
    """
    pass_ = _Pass(steps, hires_steps, old)
    nodes = read(text)
    if nodes is None:
        return (Scheduled(pass_.length, text),)
    ends = {pass_.length}
    for change in changes(nodes):
        if isinstance(change, Alternation):
            ends.update(range(1, pass_.length + 1))
        elif (end := pass_.last(change)) >= 1:
            ends.add(end)
    return tuple(Scheduled(end, evaluate(nodes, end, pass_.last)) for end in sorted(ends))


@dataclass(frozen=True, slots=True)
class _Pass:
    steps: int
    hires_steps: int | None
    old: bool

    @property
    def length(self) -> int:
        return self.steps if self.hires_steps is None else self.hires_steps

    def last(self, editing: Editing) -> int:
        """The last step of this pass at which the text before the change holds; ≤ 0 for none."""
        value, hires = float(editing.when), self.hires_steps is not None
        if self.old:
            value = value * self.length if value < 1 else value
        elif "." in editing.when:
            value = (value - hires) * self.length
        else:
            value -= self.steps if hires else 0
        return int(max(-1.0, min(self.length, value)))
