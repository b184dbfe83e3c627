"""The painter that a cell of a grid asks for: the last one is kept, so that each loads once."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from sfumato.app.cli.painting.files import checkpoint_named
from sfumato.app.cli.painting.opened import Opened, open_painter
from sfumato.app.cli.painting.telling import Telling

if TYPE_CHECKING:
    from sfumato.engine.painter import Painter
    from sfumato.engine.prompt.styles import Styles
    from sfumato.engine.request import Request
    from sfumato.library.find import Shelf
    from sfumato.operations.applied import Applied


class Easel:
    """Holds one checkpoint and one VAE at a time."""

    def __init__(
        self, shelf: Shelf, styles: Styles, given: Mapping[str, Any], telling: Telling
    ) -> None:
        """Nothing is loaded yet."""
        self._shelf, self._styles, self._given, self._telling = shelf, styles, given, telling
        self._opened: Opened | None = None
        self._files = ("", "")
        self._vae = ExitStack()

    def painter(self, request: Request) -> Painter:
        """The painter of the request's checkpoint and VAE; raises what loading these raises."""
        wanted = (request.model, request.vae)
        if self._opened is None or wanted[0] != self._files[0]:
            self.close()
            path = checkpoint_named(request.model, self._shelf)
            opened = open_painter(path, request, self._shelf, self._styles, self._given)
            self._opened, self._files = opened, wanted
            self._telling.say(opened.model, opened.vae, *opened.notes)
        elif wanted != self._files:
            self._vae.close()
            self._files = (request.model, "")  # if the next line fails, this VAE is not there
            self._vae.enter_context(self._opened.painter.vae(request.vae or "auto"))
            self._files = wanted
        return self._opened.painter

    @property
    def applied(self) -> tuple[Applied, ...]:
        """What became of every file of the last cell."""
        return self._opened.painter.applied if self._opened else ()

    def close(self) -> None:
        """Let go of the model."""
        self._vae.close()
        if self._opened is not None:
            self._opened.painter.close()
        self._opened, self._files = None, ("", "")
