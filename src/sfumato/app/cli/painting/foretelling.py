"""What painting would do, as far as it can be known before a weight is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfumato.app.cli.painting.telling import summary
from sfumato.containers.open import open_model
from sfumato.containers.text import escape
from sfumato.errors import UsageError

if TYPE_CHECKING:
    from sfumato.engine.asking.texts import Texts
    from sfumato.engine.loading.load import Plan
    from sfumato.engine.prompt.styles import Styles
    from sfumato.engine.request import Request
    from sfumato.library.find import Shelf
    from sfumato.library.folders import Kind


def foretold(
    path: Path, request: Request, shelf: Shelf, given: Mapping[str, Any]
) -> tuple[Plan, list[str]]:
    """What a checkpoint is, and sentences on it and its VAE.

    Raises what loading would raise at its headers.
    """
    from sfumato.catalogue.families import TITLES
    from sfumato.engine.autoencoding.choose import choose_vae
    from sfumato.engine.loading.load import plan_of
    from sfumato.engine.loading.mixed import open_checkpoint
    from sfumato.engine.loading.placement import placement

    placement(given.get("device") or "auto", given.get("dtype") or "auto")
    with open_checkpoint(path, shelf) as file:
        plan, path = plan_of(file, request.weights), file.path
    variant = f" {plan.variant}" if plan.variant else ""
    what = f"{escape(path.name)}: {TITLES[plan.family]}{variant}, predicts {plan.prediction}"
    choice = choose_vae(path, request.vae or "auto", shelf, baked="vae" in plan.parts)
    if choice.path is not None:
        with open_model(choice.path):
            pass
    return plan, [what, choice.sentence(), *plan.notes, *choice.notes]


def remarked(request: Request, plan: Plan, shelf: Shelf, styles: Styles) -> Iterator[str]:
    """What is odd in a request: its prompts, its sizes, files that its tags name.

    The last sentence says what is painted. Raises what painting would raise at once.
    """
    from sfumato.engine.asking.job import job

    settled = job(request, plan, styles)
    yield from settled.notes
    yield from _called(settled.texts, shelf)
    if settled.second is not None:
        yield from _called(settled.second.texts, shelf)
    yield summary(settled, plan, drawn=request.seed < 0)


def _called(texts: Texts, shelf: Shelf) -> Iterator[str]:
    """What becomes of the files that tags name: none of them is opened further than its headers."""
    yield from texts.calls.notes
    loras: list[tuple[Kind, str]] = [("lora", call.name) for call in texts.calls.loras]
    acting: list[tuple[Kind, str]] = [
        ("hypernetwork", call.name) for call in texts.calls.hypernetworks
    ]
    for kind, name in (*loras, *acting):
        try:
            found = shelf.resolve(kind, name, paths=False)
        except UsageError as error:
            yield f"{error}; it is left out"
            continue
        yield found.note
        with open_model(found.path):
            pass
