"""One job per process, so that its time and memory are its own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

BLOCK = 8 << 20


def make_safetensors(folder: str, count: str) -> None:
    """Sparse safetensors files, half of them SD1 checkpoints, half LoRAs."""
    from models import layout, sd1_lora_shapes, sparse_safetensors

    _many(Path(folder), int(count), ".safetensors", sparse_safetensors, layout, sd1_lora_shapes)


def make_zips(folder: str, count: str) -> None:
    """Sparse torch zips of the same sorts."""
    from models import layout, sd1_lora_shapes, sparse_torch_zip

    _many(Path(folder), int(count), ".ckpt", sparse_torch_zip, layout, sd1_lora_shapes)


def make_checkpoint(path: str, ema: str) -> None:
    """A full-size SD1 checkpoint, with averages or without."""
    from models import write_checkpoint

    write_checkpoint(Path(path), ema=ema == "ema")


Shapes = dict[str, tuple[int, ...]]


def _many(
    folder: Path,
    count: int,
    suffix: str,
    write: Callable[[Path, Shapes], None],
    *kinds: Callable[[], Shapes],
) -> None:
    folder.mkdir(parents=True)
    shapes = [kind() for kind in kinds]
    for number in range(count):
        write(folder / f"{number:04}{suffix}", shapes[number % len(shapes)])


def inspect(folder: str) -> None:
    """Ours: a card for every file."""
    from sfumato.catalogue.cards.inspect import inspect as look

    for path in sorted(Path(folder).iterdir()):
        card = look(path)
        assert card.identity is not None and card.identity.family == "sd1", path


def start(_folder: str) -> None:
    """Ours, with nothing to do: subtracted where files per second are told."""
    import sfumato.catalogue.cards.inspect  # noqa: F401


def safe_open(folder: str) -> None:
    """The safetensors library: every name, shape and dtype of every file."""
    from safetensors import safe_open as opened

    for path in sorted(Path(folder).iterdir()):
        with opened(path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118
                part = file.get_slice(name)
                part.get_shape(), part.get_dtype()


def torch_load(folder: str) -> None:
    """torch: every file, mapped, without reading its numbers."""
    import torch

    for path in sorted(Path(folder).iterdir()):
        torch.load(path, mmap=True, weights_only=True, map_location="cpu")


def ema_half(source: str, target: str) -> None:
    """Ours: the averaged UNet in place of the trained one, in fp16."""
    from sfumato.operations.ema import ema

    ema(source, target, action="use", dtype="f16", container="safetensors", force=True)


def same(source: str, target: str) -> None:
    """Ours: another container, the same numbers."""
    from sfumato.operations.convert import convert

    convert(source, target, container="safetensors", force=True)


def torch_ema_half(source: str, target: str) -> None:
    """torch and safetensors: load everything, choose, cast, save."""
    import torch
    from safetensors.torch import save_file

    loaded = torch.load(source, weights_only=True, map_location="cpu")["state_dict"]
    kept = {name: t for name, t in loaded.items() if not name.startswith("model_ema.")}
    for name in kept:
        flat = "model_ema." + name.removeprefix("model.").replace(".", "")
        kept[name] = loaded.get(flat, kept[name])
        if kept[name].dtype == torch.float32:
            kept[name] = kept[name].half()
    save_file(kept, target)


def torch_same(source: str, target: str) -> None:
    """torch and safetensors: load everything, save it."""
    import torch
    from safetensors.torch import save_file

    save_file(torch.load(source, weights_only=True, map_location="cpu")["state_dict"], target)


def floor(source: str, target: str, wanted: str) -> None:
    """The floor: read the source once, and write as many bytes as the job writes, to the disk."""
    import os

    left = int(wanted)
    with Path(source).open("rb", buffering=0) as file, Path(target).open("wb", buffering=0) as out:
        while block := file.read(BLOCK):
            out.write(block[:left])
            left -= min(left, len(block))
        os.fsync(out.fileno())


JOBS: dict[str, Callable[..., None]] = {
    "make-safetensors": make_safetensors,
    "make-zips": make_zips,
    "make-checkpoint": make_checkpoint,
    "inspect": inspect,
    "start": start,
    "peer-safe-open": safe_open,
    "peer-torch-load": torch_load,
    "ema-half": ema_half,
    "same": same,
    "peer-ema-half": torch_ema_half,
    "peer-same": torch_same,
    "floor": floor,
}

if __name__ == "__main__":
    JOBS[sys.argv[1]](*sys.argv[2:])
