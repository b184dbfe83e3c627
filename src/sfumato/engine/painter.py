"""A painter: a loaded model, and all that is needed to make pictures with it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from sfumato.engine.adapters.embedding import read_embedding
from sfumato.engine.asking.job import Job, job
from sfumato.engine.asking.options import request_of
from sfumato.engine.asking.standing import Standing
from sfumato.engine.autoencoding.choose import choose_vae
from sfumato.engine.autoencoding.load import load_vae, report, swapped, use_vae
from sfumato.engine.autoencoding.preview import Previews, read_preview
from sfumato.engine.loading.cache import Models
from sfumato.engine.loading.load import filled
from sfumato.engine.painting.hashing import Hashing
from sfumato.engine.painting.side import Refiners, Side
from sfumato.engine.painting.underway import Tools
from sfumato.engine.painting.work import begin, carry_out
from sfumato.engine.pictures.picture import Picture
from sfumato.engine.progress import Progress
from sfumato.engine.prompt.tags import HypernetworkCall, LoraCall
from sfumato.library.find import Shelf

if TYPE_CHECKING:
    from sfumato.engine.autoencoding.choose import Choice
    from sfumato.engine.model import Model, Network
    from sfumato.engine.prompt.styles import Styles
    from sfumato.engine.request import Request
    from sfumato.operations.applied import Applied


class Painter:
    """Paints requests with one checkpoint.

    The pictures of a batch are painted one by one on the CPU, where that costs nothing, and each is
    bit for bit what it would be alone; on GPUs they are painted together. What a prompt attached
    stays in the weights until another prompt asks for something else, so that the next picture
    need not wait for it; `detach` takes it off.
    """

    def __init__(
        self,
        model: Model,
        *,
        shelf: Shelf | None = None,
        vae: str = "auto",
        preview: str = "",
        styles: Styles | None = None,
        offload: bool = False,
        compiled: bool = False,
        models: Models | None = None,
    ) -> None:
        """shelf: where names of files are looked up. vae: "auto" (A1111's rules), "none" (the
        checkpoint's own), a name or a path. preview: the name or path of a TAESD or VAE-approx that
        makes previews; a linear map is fitted to the VAE where empty, which costs next to nothing.
        styles: by name, for requests that name them.
        offload: keep only the part of the model in memory that is at work. compiled: let torch
        compile the UNet, which pays off after many pictures of one size. models: where refiners
        are loaded from and kept.

        Raises UsageError for a VAE that is not there, and what `load_vae` raises.
        """
        self.model = model
        self.shelf = shelf if shelf is not None else Shelf()
        self.applied: tuple[Applied, ...] = ()
        """what became of every file that the last picture is, or was to be, painted with"""
        self._styles: Styles = styles or {}
        self._side = Side(model, self.shelf, offload=offload, compiled=compiled)
        self._refiners = Refiners(models if models is not None else Models(), self.shelf)
        colours = read_preview(self.shelf.find("preview", preview), model) if preview else None
        self._tools = Tools(Hashing(), Previews(), self._refiners, colours)
        self._vae: tuple[Applied, ...] = ()
        self._set_vae(vae)

    def paint(self, request: Request) -> Generator[Progress | Picture]:
        """Paint a request: every step, and every picture as soon as it is finished.

        Closing the iterator stops at once: pictures that were yielded are whole, the rest is
        dropped, and the model is as its file is. So it is after any error.

        Raises UsageError for what makes no sense, before anything is painted; Refused and what
        reading files raises for adapters that do not fit; SfumatoError for a UNet that gives NaN.
        """
        planned = job(request, self.model, self._styles)
        return self._paint(planned)

    def _paint(self, planned: Job) -> Generator[Progress | Picture]:
        try:
            now = begin(planned, self._side, self._tools, self._vae)
            for event in carry_out(now):
                self.applied = tuple(now.reports.values())
                yield event
        except BaseException:
            self.detach()
            raise

    def generate(
        self, prompt: str = "", *, cfg: float | None = None, **options: object
    ) -> list[Picture]:
        """Paint a prompt and wait for the pictures.

        cfg: the guidance scale. options: any field of `Request` (`negative`, `steps`, `seed`,
        `width` …). A picture or its path will do for `init`, True or a scale for `hires`, one name
        for `styles`, None for a `seed` that is drawn. Raises UsageError for an option or a value
        that is none, and what `paint` raises.
        """
        return [
            event
            for event in self.paint(request_of(prompt, cfg, options))
            if isinstance(event, Picture)
        ]

    @contextmanager
    def lora(
        self, name: str | Path, strength: float = 1.0, *, unet: float | None = None
    ) -> Generator[None]:
        """Paint with a LoRA inside, beside those that prompts name.

        name: a name or a path. strength: in the text encoders, and in the UNet unless `unet` says
        otherwise. Raises UsageError for a name that is nowhere.
        """
        path = self._side.attachments.find("lora", str(name))
        called = str(name) if isinstance(name, str) and path != Path(name) else path.stem
        wide = strength if unet is None else unet
        with self._standing(Standing("lora", path, LoraCall(called, strength, wide))):
            yield

    @contextmanager
    def hypernetwork(self, name: str | Path, multiplier: float = 1.0) -> Generator[None]:
        """Paint with a hypernetwork inside, beside those that prompts name."""
        path = self._side.attachments.find("hypernetwork", str(name))
        call = HypernetworkCall(path.stem, multiplier)
        with self._standing(Standing("hypernetwork", path, call)):
            yield

    @contextmanager
    def embedding(self, name: str | Path) -> Generator[None]:
        """Paint with an embedding inside, called in prompts by its file's name.

        name: a name or a path. It goes before others of its name. Raises UsageError for a name that
        is nowhere, and what `read_embedding` raises.
        """
        words = self._side.attachments
        given = read_embedding(words.find("embedding", str(name)))
        words.give(given)
        try:
            yield
        finally:
            words.take(given)

    @contextmanager
    def vae(self, name: str | Path) -> Generator[None]:
        """Paint with another VAE inside; "none" is the checkpoint's own."""
        before, own = self._vae, self._own_vae
        choice = choose_vae(self.model.path, str(name), self.shelf, baked=own is not None)
        if choice.path is None and not before:
            yield  # it is at work already
            return
        away = own is not None and next(own.module.parameters()).is_meta
        try:
            if choice.path is None:
                assert own is not None
                if away:
                    filled(own, self.model)
                network, self._vae = own, ()
            else:
                network = load_vae(choice.path, self.model)
                self._vae = (_report(network, choice),)
            with swapped(self.model, network):
                yield
        finally:
            self._vae = before
            if away and choice.path is None and own is not None:
                own.module.to("meta")

    def detach(self) -> None:
        """Take off what prompts attached: the weights are the file's, bit for bit."""
        self._side.detach()
        self._refiners.detach()

    def refresh(self) -> None:
        """Look for files again that came after the painter began."""
        self.shelf.refresh()
        self._side.refresh()

    def close(self) -> None:
        """Let go of the model and of every file."""
        self._side.close()
        self._refiners.close()
        self.model.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @contextmanager
    def _standing(self, standing: Standing) -> Generator[None]:
        self._side.attachments.standing.append(standing)
        try:
            yield
        finally:
            self._side.attachments.standing.remove(standing)

    def _set_vae(self, wish: str) -> None:
        own = [network for network in self.model.networks if network.role == "vae"]
        self._own_vae = own[0] if own else None
        choice = choose_vae(self.model.path, wish, self.shelf, baked=bool(own))
        if choice.path is not None:
            for network in own:
                network.module.to("meta")  # it can be read again
            network = load_vae(choice.path, self.model)
            use_vae(self.model, network)
            self._vae = (_report(network, choice),)


def _report(network: Network, choice: Choice) -> Applied:
    found = report(network, choice.sentence())
    return replace(found, notes=(*found.notes, *choice.notes))
