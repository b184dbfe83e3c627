"""A painter made ready as the options say, and the sentences that say what it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfumato.containers.text import escape
from sfumato.errors import MissingExtra

if TYPE_CHECKING:
    from sfumato.engine.model import Model
    from sfumato.engine.painter import Painter
    from sfumato.engine.prompt.styles import Styles
    from sfumato.engine.request import Request
    from sfumato.library.find import Shelf


@dataclass(frozen=True, slots=True)
class Opened:
    """A painter, and what it is."""

    painter: Painter
    model: str
    """one sentence on the checkpoint"""
    vae: str
    """one sentence on the VAE and why it was taken"""
    notes: tuple[str, ...] = ()


def check_names(request: Request) -> None:
    """Raises UsageError for a sampler, schedule or upscaler that is not there, with the nearest,
    and MissingExtra where what painting needs is not installed."""
    try:
        import tokenizers  # noqa: F401  # pyright: ignore[reportUnusedImport]
        import torch  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"painting needs {error.name}: pip install 'sfumato[generate]'"
        ) from error
    from sfumato.engine.pictures.upscale import find_upscaler
    from sfumato.engine.sampling.registry import find_sampler, find_schedule

    find_sampler(request.sampler)
    find_schedule(request.schedule)
    if request.hires is not None:
        find_upscaler(request.hires.upscaler)
        find_sampler(request.hires.sampler or request.sampler)
        find_schedule(request.hires.schedule or request.schedule)


def open_painter(
    path: Path, request: Request, shelf: Shelf, styles: Styles, given: Mapping[str, Any]
) -> Opened:
    """Load a checkpoint with the weights and the VAE of a request; raises what these raise."""
    from sfumato.engine.autoencoding.choose import choose_vae
    from sfumato.engine.loading.load import load
    from sfumato.engine.loading.mixed import open_checkpoint
    from sfumato.engine.painter import Painter

    model = load(
        open_checkpoint(path, shelf),
        device=given.get("device") or "auto",
        dtype=given.get("dtype") or "auto",
        weights=request.weights,
    )
    try:
        baked = any(network.role == "vae" for network in model.networks)
        choice = choose_vae(model.path, request.vae or "auto", shelf, baked=baked)
        painter = Painter(
            model,
            shelf=shelf,
            vae=str(choice.path) if choice.path is not None else "none",
            preview=given.get("preview_model") or "",
            styles=styles,
            offload=bool(given.get("offload")),
            compiled=bool(given.get("compile")),
        )
    except BaseException:
        model.close()
        raise
    return Opened(painter, sentence(model), choice.sentence(), (*model.notes, *choice.notes))


def sentence(model: Model) -> str:
    """What was loaded: "lighthouse.safetensors: SD 1.x, predicts epsilon, fp32 on cpu"."""
    from sfumato.catalogue.families import TITLES
    from sfumato.engine.loading.placement import DTYPES

    names = {dtype: name for name, dtype in DTYPES.items()}
    variant = f" {model.variant}" if model.variant else ""
    where = model.placement
    return (
        f"{escape(model.path.name)}: {TITLES[model.family]}{variant}, predicts {model.prediction}, "
        f"{names[where.dtype]} on {where.device}"
    )
