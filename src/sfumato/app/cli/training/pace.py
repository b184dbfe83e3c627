"""How fast a run goes and how long it still takes, measured over its last steps."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from sfumato.training.events import Stepped

WINDOW = 50
"""steps that are measured"""

SHARE = 0.95
"""of the running mean of the loss that stays at each step"""


@dataclass(slots=True)
class Pace:
    """The last steps of a run."""

    moments: deque[float] = field(default_factory=lambda: deque[float](maxlen=WINDOW + 1))
    loss: float = 0.0
    """running mean"""
    weight: float = 0.0
    step: int = 0
    steps: int = 0

    def add(self, event: Stepped, now: float) -> None:
        """Note a step that was finished at `now`, in seconds."""
        if not self.moments:
            self.moments.append(now - event.seconds)
        self.moments.append(now)
        self.step, self.steps = event.step, event.steps
        total, weight = self.loss * self.weight, SHARE * self.weight + 1 - SHARE
        self.loss = (SHARE * total + (1 - SHARE) * event.loss) / weight
        self.weight = weight

    @property
    def seconds(self) -> float:
        """Of a step, with everything that was done between two."""
        count = len(self.moments) - 1
        return (self.moments[-1] - self.moments[0]) / count if count > 0 else 0.0

    def sentence(self) -> str:
        """The pace in a few words: "loss 0.1234, 2.10 steps/s, 3 min left"."""
        each = max(self.seconds, 1e-9)
        speed = f"{1 / each:.2f} steps/s" if each < 1 else f"{each:.1f} s/step"
        left = duration(each * (self.steps - self.step))
        return f"loss {self.loss:.4f}, {speed}, {left} left"


def duration(seconds: float) -> str:
    """Hours and minutes, or what is less: "2 h 05 min", "3 min", "12 s"."""
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min" if seconds >= 90 else f"{round(seconds)} s"
