"""Stable Diffusion model files: known, kept, changed and slimmed, without executing them.

    import sfumato as sf

    with sf.open_model("anything-v3.ckpt") as model:      # Mapping[str, Tensor]; nothing is run
        print(len(model), model.container.title)
    print(sf.inspect("anything-v3.ckpt").identity.title)
    sf.convert("anything-v3.ckpt", "anything-v3.safetensors", dtype="f16")

    painter = sf.load("anything-v3.safetensors", models=["models"])
    for picture in painter.generate("a lighthouse at dusk <lora:ink:0.8>", steps=20, seed=1):
        picture.save("lighthouse.png")

Every name below is loaded when it is first used.
"""

from __future__ import annotations

TYPE_CHECKING = False
"""what type checkers take for True; importing it would cost more than all else here"""

if TYPE_CHECKING:
    from sfumato.catalogue.cards.card import Card
    from sfumato.catalogue.cards.inspect import inspect
    from sfumato.catalogue.identify import identify
    from sfumato.catalogue.verdict import Verdict
    from sfumato.containers.dtype import DTYPES, DType
    from sfumato.containers.model_file import ModelFile
    from sfumato.containers.open import open_model
    from sfumato.containers.save import save
    from sfumato.containers.tensor import Tensor
    from sfumato.engine.open import load_painter as load
    from sfumato.engine.painter import Painter
    from sfumato.engine.pictures.picture import Picture
    from sfumato.engine.progress import Progress
    from sfumato.engine.request import Hires, Init, Inpaint, Request
    from sfumato.errors import (
        BadFile,
        Damaged,
        Dangerous,
        NotAModel,
        SfumatoError,
        Unsupported,
    )
    from sfumato.operations.adapters.check import check as check_lora
    from sfumato.operations.bake import bake, unbake
    from sfumato.operations.comparing.diff import diff
    from sfumato.operations.comparing.explain import explain
    from sfumato.operations.comparing.fingerprints import fingerprints
    from sfumato.operations.convert import convert
    from sfumato.operations.ema import ema
    from sfumato.operations.lora.extract import extract as extract_lora
    from sfumato.operations.lora.merging import merge as merge_loras
    from sfumato.operations.lora.resize import resize as resize_lora
    from sfumato.operations.lora.translate import translate as translate_lora
    from sfumato.operations.merging.merge import merge
    from sfumato.operations.metadata import metadata
    from sfumato.operations.prune import prune
    from sfumato.operations.repair import repair
    from sfumato.operations.rerun import rerun
    from sfumato.operations.split import join, split
    from sfumato.operations.vae import vae_extract, vae_replace

__version__ = "0.1.0"

__all__ = [
    "DTYPES", "BadFile", "Card", "DType", "Damaged", "Dangerous", "Hires", "Init", "Inpaint",
    "ModelFile", "NotAModel", "Painter", "Picture", "Progress", "Request", "SfumatoError", "Tensor",
    "Unsupported", "Verdict", "__version__", "bake", "check_lora", "convert", "diff", "ema",
    "explain", "extract_lora", "fingerprints", "identify", "inspect", "join", "load", "merge",
    "merge_loras", "metadata", "open_model", "prune", "repair", "rerun", "resize_lora", "save",
    "split", "translate_lora", "unbake", "vae_extract", "vae_replace",
]  # fmt: skip


def _containers() -> dict[str, object]:
    from sfumato import errors
    from sfumato.containers import dtype, model_file, open, save, tensor

    return {
        **{name: value for name, value in vars(errors).items() if isinstance(value, type)},
        "DTYPES": dtype.DTYPES,
        "DType": dtype.DType,
        "ModelFile": model_file.ModelFile,
        "open_model": open.open_model,
        "save": save.save,
        "Tensor": tensor.Tensor,
    }


def _catalogue() -> dict[str, object]:
    from sfumato.catalogue import identify, verdict
    from sfumato.catalogue.cards import card, inspect

    return {
        "Card": card.Card,
        "inspect": inspect.inspect,
        "identify": identify.identify,
        "Verdict": verdict.Verdict,
    }


def _operations() -> dict[str, object]:
    from sfumato.operations import bake, convert, ema, metadata, prune, repair, rerun, split, vae
    from sfumato.operations.merging import merge

    return {
        "bake": bake.bake,
        "convert": convert.convert,
        "ema": ema.ema,
        "merge": merge.merge,
        "metadata": metadata.metadata,
        "prune": prune.prune,
        "repair": repair.repair,
        "rerun": rerun.rerun,
        "split": split.split,
        "join": split.join,
        "unbake": bake.unbake,
        "vae_extract": vae.vae_extract,
        "vae_replace": vae.vae_replace,
    }


def _comparing() -> dict[str, object]:
    from sfumato.operations.comparing import diff, explain, fingerprints

    return {
        "diff": diff.diff,
        "explain": explain.explain,
        "fingerprints": fingerprints.fingerprints,
    }


def _requests() -> dict[str, object]:
    """What painting is asked with, and what it gives: of use without torch."""
    from sfumato.engine import progress, request
    from sfumato.engine.pictures import picture

    return {
        "Hires": request.Hires,
        "Init": request.Init,
        "Inpaint": request.Inpaint,
        "Picture": picture.Picture,
        "Progress": progress.Progress,
        "Request": request.Request,
    }


def _loras() -> dict[str, object]:
    from sfumato.operations.adapters import check
    from sfumato.operations.lora import extract, merging, resize, translate

    return {
        "check_lora": check.check,
        "extract_lora": extract.extract,
        "merge_loras": merging.merge,
        "resize_lora": resize.resize,
        "translate_lora": translate.translate,
    }


def _engine() -> dict[str, object]:
    from sfumato.engine import open as opening
    from sfumato.engine import painter

    return {"load": opening.load_painter, "Painter": painter.Painter}


def __getattr__(name: str) -> object:
    """Load a public name when it is first asked for, so that `import sfumato` costs nothing."""
    if name in __all__:
        for room in (_containers, _catalogue, _operations, _comparing, _requests, _loras, _engine):
            found = room()
            globals().update({key: value for key, value in found.items() if key in __all__})
            if name in found:
                return found[name]
    raise AttributeError(f"module 'sfumato' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
