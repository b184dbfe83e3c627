"""One checkpoint at work: its adapters, its prompts, and which of its parts are in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sfumato.catalogue.families import TITLES
from sfumato.containers.text import escape
from sfumato.engine.loading.memory import Offload
from sfumato.engine.painting.attachments import Attached, Attachments
from sfumato.engine.painting.conditions import Calls, Conditions, Encoder
from sfumato.errors import Refused

if TYPE_CHECKING:
    from pathlib import Path

    from sfumato.engine.asking.texts import Texts
    from sfumato.engine.loading.cache import Models
    from sfumato.engine.model import Model, Network
    from sfumato.engine.request import Request
    from sfumato.library.find import Shelf
    from sfumato.operations.applied import Applied

TEXTS = ("text_encoder", "text_encoder_2")


class Side:
    """What the painter keeps for each model: the base, and a refiner where there is one."""

    def __init__(
        self, model: Model, shelf: Shelf, *, offload: bool = False, compiled: bool = False
    ) -> None:
        """offload, compiled: see `Painter`."""
        self.model = model
        self.attachments = Attachments(model, shelf)
        self.encoder = Encoder(model)
        self.unet: Callable[..., Tensor] = model.unet
        """the UNet, compiled where that was asked for"""
        if compiled:
            self.unet = torch.compile(model.unet)  # pyright: ignore[reportUnknownMemberType]
        self._attached = Attached()
        self._offload = Offload(model, self._returned) if offload else None
        self._stale = False
        """whether weights came back from the file without what was written into them"""

    def ready(self, texts: Texts) -> Attached:
        """Attach what the prompts of a pass ask for."""
        if self._offload is not None:
            patched = texts.calls.loras or self.attachments.standing
            self._offload.need(*TEXTS, *(("unet",) if patched else ()))
        if self._stale:
            self.attachments.clear()
            self._stale = False
        self._attached = self.attachments.set(texts.calls)
        self.encoder.forget()
        return self._attached

    def conditions(
        self, texts: Texts, calls: Calls, request: Request, size: tuple[int, int]
    ) -> Conditions:
        """The prompts of a pass that makes pictures of `size`, after `ready`."""
        return self.encoder.conditions(
            texts.prompt,
            texts.negative,
            calls,
            request,
            size=size,
            words=self.attachments.words(self._attached),
            key=self._attached.key,
        )

    def need(self, *roles: str) -> None:
        """Have these parts in memory and, where memory is to be saved, no other."""
        if self._offload is not None:
            self._offload.need(*roles)

    def reports(self) -> tuple[Applied, ...]:
        """What became of every adapter and embedding of the last pass."""
        return (*self._attached.reports, *self.encoder.reports.values())

    def at_work(self) -> tuple[str, ...]:
        """Every adapter and embedding of the last pass, with its strength: "LoRA ink at 0.8"."""
        words = (f"embedding {escape(name)}" for name in self.encoder.words)
        return (*self._attached.strengths, *words)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was asked for and is not there."""
        return self._attached.notes

    def detach(self) -> None:
        """Have the weights as the file has them."""
        self.attachments.clear()
        self._stale = False

    def refresh(self) -> None:
        """Look for embeddings again."""
        self.attachments.refresh()
        self.encoder.shrink()

    def close(self) -> None:
        """Detach, and let go of all files but the model's."""
        self.attachments.close()
        self.encoder.shrink()

    def _returned(self, network: Network) -> None:
        self._stale = True


class Refiners:
    """The model that takes over in the middle of a pass, kept until another one is named."""

    def __init__(self, models: Models, shelf: Shelf) -> None:
        """Loaded from `models`, by their names on `shelf`."""
        self._models, self._shelf = models, shelf
        self._side: Side | None = None

    def find(self, name: str) -> Path:
        """Its file; raises UsageError for a name that is nowhere."""
        return self._shelf.find("checkpoint", name)

    def get(self, name: str, base: Model) -> Side:
        """A refiner at work, on the same device and in the same precision as `base`.

        Raises UsageError for a name that is nowhere, Refused for a model that cannot go on where
        `base` leaves off, and what `load` raises.
        """
        path, where = self.find(name), base.placement
        kept = self._side
        if kept is not None and kept.model.path != path:
            self.close()
        model = self._models.get(
            path, device=where.device, dtype=where.dtype, vae_dtype=where.vae_dtype
        )
        _refuse_strangers(model, base)
        if self._side is None or self._side.model is not model:
            self._side = Side(model, self._shelf)
        return self._side

    def detach(self) -> None:
        """Have its weights as the file has them."""
        if self._side is not None:
            self._side.detach()

    def close(self) -> None:
        """Let go of it."""
        if self._side is not None:
            self._side.close()
        self._side = None
        self._models.close()


def _refuse_strangers(model: Model, base: Model) -> None:
    """A refiner goes on with the base's latents, in the base's terms."""
    kinds = [one.family.removesuffix("-refiner") for one in (model, base)]
    name = escape(str(model.path))
    if kinds[0] != kinds[1]:
        titles = [TITLES[one.family] for one in (model, base)]
        raise Refused(f"{name}: is a {titles[0]} model and cannot refine what {titles[1]} paints")
    if model.unet_sizes.inputs not in (4, base.unet_sizes.inputs):
        raise Refused(f"{name}: is made for {model.variant} and cannot refine a plain picture")
    if model.prediction != base.prediction:
        raise Refused(
            f"{name}: predicts {model.prediction} and cannot go on for a model that predicts "
            f"{base.prediction}"
        )
