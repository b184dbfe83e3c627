"""What painting tells a person on standard error, and a program as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sfumato.app.cli.console import Json, complain

if TYPE_CHECKING:
    from sfumato.engine.applied import Applied
    from sfumato.engine.pictures.picture import Picture
    from sfumato.engine.request import Request


@dataclass(slots=True)
class Telling:
    """Says each sentence once, and keeps all for the JSON."""

    quiet: bool = False
    """keep, and say nothing"""
    notes: list[str] = field(default_factory=list[str])
    applied: list[Json] = field(default_factory=list[Json])
    pictures: list[Json] = field(default_factory=list[Json])
    _said: set[str] = field(default_factory=set[str])

    def say(self, *sentences: str) -> None:
        """Facts about what is being done."""
        for sentence in sentences:
            if sentence and sentence not in self._said:
                self._said.add(sentence)
                self.notes.append(sentence)
                if not self.quiet:
                    complain(f"  {sentence}")

    def reports(self, applied: tuple[Applied, ...]) -> None:
        """What became of every file that was to change the model."""
        for report in applied:
            if report.sentence() not in self._said:
                self.applied.append(_report(report))
            self.say(report.sentence(), *report.notes)

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


def summary(request: Request) -> str:
    """What is painted, in one sentence: "512×768, 20 steps of Euler a, CFG 7, seed 42"."""
    size = f"{request.width}×{request.height}, " if request.width and request.height else ""
    schedule = "" if request.schedule == "Automatic" else f", {request.schedule}"
    seed = f"seed {request.seed}" if request.seed >= 0 else "a seed that is drawn"
    many = request.batch * request.count
    return (
        f"{f'{many} pictures: ' if many > 1 else ''}{size}{request.steps} steps of "
        f"{request.sampler}{schedule}, CFG {request.guidance.scale:g}, {seed}"
    )
