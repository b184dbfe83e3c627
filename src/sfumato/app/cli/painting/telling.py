"""What painting tells a person on standard error, and a program as JSON."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sfumato.app.cli.console import Json, complain

if TYPE_CHECKING:
    from sfumato.engine.asking.job import Job
    from sfumato.engine.model import Trained
    from sfumato.engine.painting.route import Route
    from sfumato.engine.pictures.picture import Picture
    from sfumato.operations.applied import Applied


NUMBER = re.compile(r"(?<![\w./\\-])[+-]?\d+(?:[.,]\d+)*(?:e[+-]?\d+)?(?![\w/\\-]|\.\w)")
"""a number that stands by itself, and is no part of a name or a path"""


@dataclass(slots=True)
class Telling:
    """Says each sentence once, and keeps all for the JSON."""

    quiet: bool = False
    """keep, and say nothing"""
    notes: list[str] = field(default_factory=list[str])
    applied: list[Json] = field(default_factory=list[Json])
    pictures: list[Json] = field(default_factory=list[Json])
    folded: int = 0
    """sentences that were kept and not said, since one was that differs in numbers alone"""
    _said: set[str] = field(default_factory=set[str])
    _kinds: set[str] = field(default_factory=set[str])

    def say(self, *sentences: str) -> None:
        """Facts about what is being done."""
        for sentence in sentences:
            if sentence and sentence not in self._said:
                self._said.add(sentence)
                self.notes.append(sentence)
                if not self.quiet:
                    complain(f"  {sentence}")

    def fold(self, *sentences: str) -> None:
        """The same, but of those that differ in numbers alone one is said and all are kept."""
        for sentence in sentences:
            if sentence in self._said or self.is_new(sentence):
                self.say(sentence)
            elif sentence:
                self._said.add(sentence)
                self.notes.append(sentence)
                self.folded += 1

    def is_new(self, sentence: str) -> bool:
        """Whether this is the first sentence but for its numbers; it no longer is, afterwards."""
        kind = NUMBER.sub("0", sentence)
        new = kind not in self._kinds
        self._kinds.add(kind)
        return new

    def reports(self, applied: tuple[Applied, ...], *, folded: bool = False) -> None:
        """What became of every file that was to change the model."""
        say = self.fold if folded else self.say
        for report in applied:
            if report.sentence() not in self._said:
                self.applied.append(_report(report))
            say(report.sentence(), *report.notes)

    def picture(self, path: Path, picture: Picture) -> None:
        """A picture that is finished and written."""
        self.say(*picture.notes)
        self.pictures.append(
            {
                "path": str(path),
                "seed": picture.seed,
                "width": picture.image.width,
                "height": picture.image.height,
                "parameters": picture.texts().parameters,
                "files": [
                    {"kind": f.kind, "name": f.name, "sha256": f.sha256} for f in picture.files
                ],
            }
        )

    def to_json(self, **more: Json) -> Json:
        """All of it."""
        return {
            **more, "pictures": self.pictures, "applied": self.applied, "notes": [*self.notes],
        }  # fmt: skip


def _report(report: Applied) -> Json:
    return {
        "kind": report.kind,
        "name": report.name,
        "path": report.path,
        "applied": report.applied,
        "total": report.total,
        "strength": report.strength,
        "strength_text": report.strength_text,
        "change_unet": report.change_unet,
        "change_text": report.change_text,
        "notes": [*report.notes],
    }


def summary(job: Job, model: Trained, *, drawn: bool = False) -> str:
    """What is painted: "512×768, 20 steps of Euler a, Uniform, CFG 7, seed 42".

    drawn: whether the seed will be another when it is painted.
    """
    from sfumato.engine.painting.route import routes

    request, many = job.request, len(job.seeds)
    first, second = routes(job, model)
    parts = [_size(job.size), _steps(first, request.steps, job.schedule)]
    parts.append(f"CFG {request.guidance.scale:g}")
    parts += [f"denoise {request.init.denoise:g}"] if request.init is not None else []
    last = f" to {job.seeds[-1]}" if job.seeds[-1] != job.seeds[0] else ""
    seeds = f"seed{'s' if last else ''} {job.seeds[0]}{last}"
    parts.append("a seed that is drawn" if drawn else seeds)
    text = (f"{many} pictures: " if many > 1 else "") + ", ".join(parts)
    if second is None or job.second is None or request.hires is None:
        return text
    larger = (
        _size(job.second.to.size), _steps(second, job.second.steps, job.second.schedule),
        f"denoise {request.hires.denoise:g}", f"enlarged by {job.second.upscaler.name}",
    )  # fmt: skip
    return f"{text}; then {', '.join(larger)}"


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"


def _steps(way: Route, asked: int, schedule: str) -> str:
    """ "16 of 20 steps of DPM++ 2M, Karras"; no schedule where the sampler makes its own levels."""
    from sfumato.engine.sampling.levels import AUTOMATIC

    sampler, made = way.sampler, way.steps
    if sampler.alone:
        return f"as many steps as {sampler.name} takes"
    fewer = f"{made} of " if made < asked else ""
    number = asked if fewer else made
    text = f"{fewer}{number} step{'' if number == 1 else 's'} of {sampler.name}"
    if sampler.kind == "timestep" or sampler.free:
        return text
    if schedule == AUTOMATIC:
        return text if sampler.levels else f"{text}, Uniform"
    return f"{text}, {schedule}"
