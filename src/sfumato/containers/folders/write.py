"""The diffusers folder writer: one safetensors file for each component, and the texts beside it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from sfumato.containers.atomic import check_room, destination, sync_folder, translated, unfinished
from sfumato.containers.folders.folder import MODEL_INDEX
from sfumato.containers.model_file import DIFFUSERS
from sfumato.containers.save_file import Progress, Saved, save_file
from sfumato.containers.tensor import Tensor, Tensors
from sfumato.containers.text import escape
from sfumato.errors import Refused

TRANSFORMERS = ("text_encoder", "image_encoder", "safety_checker")
"""beginnings of the components that the transformers library reads, from model.safetensors"""


_COMPONENT = re.compile(r"[A-Za-z0-9_-]+")
_CONFIG = re.compile(r"(?:[A-Za-z0-9_-]+/)?[A-Za-z0-9_-]+\.json|[A-Za-z0-9_-]+/merges\.txt")


def weights_path(component: str) -> str:
    """Where the weights of a component lie in the folder."""
    transformers = component.startswith(TRANSFORMERS)
    stem = "model" if transformers else "diffusion_pytorch_model"
    return f"{component}/{stem}.safetensors"


def write_folder(
    path: str | os.PathLike[str],
    tensors: Tensors,
    texts: Mapping[str, str],
    *,
    force: bool = False,
    progress: Progress | None = None,
    verify: bool = True,
    accept: Callable[[], None] | None = None,
) -> Saved:
    """Write a diffusers folder from tensors whose names begin with the component (`unet.` …).

    Texts named like files (`unet/config.json`, a tokenizer's `merges.txt`) become files, the others
    metadata of the weights: of one component (`unet/…`) or of all. The folder appears complete or
    not at all. With `force` it replaces a diffusers folder, never one that holds something else.
    `accept` is called when all is written and nothing is in place, and may raise.
    Raises Refused, OutputExists, NoRoom or Unverified.
    """
    parts = _by_component(tensors)
    target = destination(path, force=force)
    _check_replaceable(path, target)
    total = sum(tensor.nbytes for tensor in tensors.values())
    check_room(path, target.parent, total)
    partial = unfinished(target)
    try:
        with translated(path, total):
            partial.mkdir()
            nbytes = _write_texts(partial, texts)
            for part, own in parts.items():
                place = partial / weights_path(part)
                place.parent.mkdir(exist_ok=True)
                saved = save_file(
                    place,
                    own,
                    _metadata(part, texts, parts),
                    progress=_shifted(progress, nbytes, total, verify),
                    verify=verify,
                )
                nbytes += saved.nbytes
            if accept is not None:
                accept()
            _swap(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Saved(Path(path), DIFFUSERS, nbytes, len(tensors), verify)


def _by_component(tensors: Tensors) -> dict[str, dict[str, Tensor]]:
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        part, dot, rest = name.partition(".")
        if not dot or not rest or not _COMPONENT.fullmatch(part):
            raise Refused(f"{escape(name)}: does not begin with a component, such as unet.")
        parts.setdefault(part, {})[rest] = tensor
    folded = {part.casefold(): part for part in parts}
    for part in parts:
        if folded[part.casefold()] != part:
            twin = folded[part.casefold()]
            raise Refused(f"{part} and {twin}: are one folder where case does not count")
    return parts


def _check_replaceable(path: str | os.PathLike[str], target: Path) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise Refused(f"{path}: is a file, and a folder was to be written")
    if any(target.iterdir()) and not (target / MODEL_INDEX).is_file():
        raise Refused(f"{path}: is not a diffusers folder, and is not replaced by one")


def _write_texts(folder: Path, texts: Mapping[str, str]) -> int:
    nbytes = 0
    for name in filter(_CONFIG.fullmatch, texts):
        place = folder / name
        place.parent.mkdir(exist_ok=True)
        nbytes += place.write_text(texts[name], encoding="utf-8")
    return nbytes


def _metadata(part: str, texts: Mapping[str, str], parts: Collection[str]) -> dict[str, str]:
    """What the weights of one component carry; `format` is what transformers asks for."""
    found = {"format": "pt"}
    for key, text in texts.items():
        owner, slash, rest = key.partition("/")
        owned = bool(slash) and owner in parts
        if not _CONFIG.fullmatch(key) and (not owned or owner == part):
            found[rest if owned else key] = text
    return found


def _shifted(progress: Progress | None, before: int, total: int, verify: bool) -> Progress | None:
    """The progress of one component as progress of the whole."""
    if progress is None:
        return None
    times = 2 if verify else 1
    return lambda done, _: progress(min(before * times + done, total * times), total * times)


def _swap(partial: Path, target: Path) -> None:
    """Put the finished folder in place; an old one is out of the way only between two renames."""
    if not target.exists():
        partial.rename(target)
    else:
        old = unfinished(target)
        target.rename(old)
        try:
            partial.rename(target)
        except OSError:
            old.rename(target)
            raise
        shutil.rmtree(old, ignore_errors=True)
    sync_folder(target.parent)
