"""From a file's name to a painter, in one call."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from sfumato.engine.loading.load import load
from sfumato.engine.loading.mixed import is_mix, open_checkpoint
from sfumato.engine.painter import Painter
from sfumato.engine.prompt.styles import read_styles
from sfumato.library.find import Shelf
from sfumato.starter.wares import CHECKPOINT

if TYPE_CHECKING:
    import torch

    from sfumato.operations.original import Weights

AnyPath = str | PathLike[str]


def load_painter(
    model: AnyPath = CHECKPOINT,
    vae: str = "auto",
    *,
    models: Iterable[AnyPath] = (),
    preview: str = "",
    styles: Iterable[AnyPath] = (),
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    vae_dtype: str | torch.dtype | None = None,
    weights: Weights = "live",
    offload: bool = False,
    compiled: bool = False,
) -> Painter:
    """Load a checkpoint, ready to paint.

    model: a path, or a name in `models`, in the folders of SFUMATO_MODELS or among the starter
    models, where LoRAs and all else that prompts name are looked for too; or a merge of such in no
    file, "0.7*A + 0.3*B". vae: "auto" (A1111's
    rules), "none" (the checkpoint's own), a name or a path. styles: files like A1111's styles.csv.
    The rest is explained at `engine.loading.load` and at `Painter`; raises what these raise.
    """
    shelf = Shelf.from_environment(models)
    path = Path(model)
    known = is_mix(str(model), shelf) or path.exists()
    loaded = load(
        open_checkpoint(path if known else shelf.find("checkpoint", str(model)), shelf),
        device=device,
        dtype=dtype,
        weights=weights,
        vae_dtype=vae_dtype,
    )
    try:
        return Painter(
            loaded,
            shelf=shelf,
            vae=vae,
            preview=preview,
            styles=read_styles(styles),
            offload=offload,
            compiled=compiled,
        )
    except BaseException:
        loaded.close()
        raise
