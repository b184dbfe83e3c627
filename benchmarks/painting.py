"""Jobs of painting with full-size weights, ours and diffusers'; a timed one prints its seconds."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

REPEATS = 5
"""times that a timed job does its work; the median is printed"""

CHECKPOINT, LORA, FOLDER = "sd1.safetensors", "lora.safetensors", "sd1"
SMALL, SMALL_FOLDER = "small.safetensors", "small"
RANK = 32


def make(folder: str) -> None:
    """A full-size SD1.5 in fp16, a LoRA for it and a small model; both models for diffusers too."""
    import sfumato as sf
    from models import layout, sd1_lora_shapes, small_layout

    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    for name, shapes in ((CHECKPOINT, layout()), (SMALL, small_layout())):
        _write_random(place / name, shapes)
        sf.convert(place / name, place / Path(name).stem, container="diffusers-folder")
    _write_random(place / LORA, sd1_lora_shapes(RANK))


def _write_random(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """Random weights that keep what runs through them finite: layers by their inputs, norms 1."""
    import torch
    from safetensors.torch import save_file

    draw = torch.Generator().manual_seed(1)
    state: dict[str, torch.Tensor] = {}
    for name, shape in shapes.items():
        if name.endswith("position_ids"):
            state[name] = torch.arange(shape[-1])[None]
        elif name.endswith(".alpha"):
            state[name] = torch.tensor(float(RANK), dtype=torch.float16)
        elif len(shape) < 2:
            state[name] = torch.full(shape, float(name.endswith("weight")), dtype=torch.float16)
        else:
            spread = torch.Size(shape[1:]).numel() ** -0.5
            state[name] = (torch.randn(shape, generator=draw) * spread).half()
    save_file(state, path)


def _timed(work: Callable[[], object], repeats: int = REPEATS) -> None:
    """Once to warm up, then the median of several times, printed."""
    work()
    taken: list[float] = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    print(statistics.median(taken))


def step(folder: str, side: str) -> None:
    """Ours: the UNet for a prompt and a negative prompt, each with its text projected before."""
    import torch

    import sfumato as sf

    size = int(side) // 8
    with torch.inference_mode(), sf.load(Path(folder) / CHECKPOINT, vae="none") as painter:
        unet = painter.model.unet
        x, t = torch.randn(1, 4, size, size), torch.tensor([500.0])
        texts = [unet.project(torch.randn(1, 77, 768)) for _ in range(2)]
        _timed(lambda: [unet(x, t, text) for text in texts])


def peer_step(folder: str, side: str) -> None:
    """diffusers: the UNet for both prompts in one batch, as its pipelines call it."""
    import torch
    from diffusers import UNet2DConditionModel

    size = int(side) // 8
    unet = UNet2DConditionModel.from_pretrained(
        Path(folder) / FOLDER, subfolder="unet", torch_dtype=torch.float32
    )
    x, t = torch.randn(2, 4, size, size), torch.tensor(500.0)
    text = torch.randn(2, 77, 768)
    with torch.inference_mode():
        _timed(lambda: unet(x, t, text).sample)


def decode(folder: str, side: str) -> None:
    """Ours: latents to a picture, checked for numbers that are none."""
    import torch

    import sfumato as sf
    from sfumato.engine.autoencoding.decode import decode as decoded

    size = int(side) // 8
    with torch.inference_mode(), sf.load(Path(folder) / CHECKPOINT, vae="none") as painter:
        latents = torch.randn(1, 4, size, size)
        _timed(lambda: decoded(painter.model, latents), 3)


def peer_decode(folder: str, side: str) -> None:
    """diffusers: latents to a picture."""
    import torch
    from diffusers import AutoencoderKL

    size = int(side) // 8
    vae = AutoencoderKL.from_pretrained(
        Path(folder) / FOLDER, subfolder="vae", torch_dtype=torch.float32
    )
    latents = torch.randn(1, 4, size, size)
    with torch.inference_mode():
        _timed(lambda: vae.decode(latents / 0.18215).sample, 3)


def first_step(folder: str) -> None:
    """Ours: from nothing to the first step of a picture of 256 × 256."""
    import sfumato as sf

    with sf.load(Path(folder) / CHECKPOINT, vae="none") as painter:
        request = sf.Request("a lighthouse at dusk", steps=20, width=256, height=256, seed=1)
        next(iter(painter.paint(request)))


class _Stop(Exception):
    """Raised after the peer's first step."""


def peer_first_step(folder: str) -> None:
    """diffusers: the same, from a folder of safetensors."""
    pipeline = _pipeline(Path(folder) / FOLDER)

    def stop(*_: object) -> dict[str, object]:
        raise _Stop

    try:
        pipeline("a lighthouse at dusk", num_inference_steps=20, width=256, height=256,
                 callback_on_step_end=stop)  # fmt: skip
    except _Stop:
        return


def _pipeline(folder: Path):  # noqa: ANN202
    import torch
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(
        folder, torch_dtype=torch.float32, safety_checker=None, feature_extractor=None,
        local_files_only=True,
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def lora(folder: str) -> None:
    """Ours: a LoRA of rank 32 put into the weights, and taken out of them bit for bit."""
    import sfumato as sf
    from sfumato.engine.adapters.patches import Patches, Use
    from sfumato.operations.adapters.lora import read_lora

    with sf.load(Path(folder) / CHECKPOINT, vae="none") as painter:
        patches = Patches(painter.model)

        def work() -> None:
            patches.set([Use(read_lora(Path(folder) / LORA, painter.model.target), 0.8, 0.8)])
            patches.clear()

        _timed(work, 3)


def peer_lora(folder: str) -> None:
    """diffusers and PEFT: the same LoRA fused into the weights, and subtracted again."""
    pipeline = _pipeline(Path(folder) / FOLDER)

    def work() -> None:
        pipeline.load_lora_weights(folder, weight_name=LORA)
        pipeline.fuse_lora(lora_scale=0.8)
        pipeline.unfuse_lora()
        pipeline.unload_lora_weights()

    _timed(work, 3)


def peer_cold(folder: str, target: str) -> None:
    """diffusers: a script that paints one picture with the small model."""
    picture = _pipeline(Path(folder) / SMALL_FOLDER)(
        "a lighthouse at dusk", num_inference_steps=10, width=128, height=128
    )
    picture.images[0].save(target)


def paint(folder: str, side: str) -> None:
    """Ours: one whole picture, for its memory."""
    import sfumato as sf

    with sf.load(Path(folder) / CHECKPOINT, vae="none") as painter:
        painter.generate("a lighthouse at dusk", steps=1, width=int(side), height=int(side), seed=1)


def peer_paint(folder: str, side: str) -> None:
    """diffusers: the same."""
    _pipeline(Path(folder) / FOLDER)(
        "a lighthouse at dusk", num_inference_steps=1, width=int(side), height=int(side)
    )


JOBS: dict[str, Callable[..., None]] = {
    "make": make,
    "step": step,
    "peer-step": peer_step,
    "decode": decode,
    "peer-decode": peer_decode,
    "first-step": first_step,
    "peer-first-step": peer_first_step,
    "lora": lora,
    "peer-lora": peer_lora,
    "peer-cold": peer_cold,
    "paint": paint,
    "peer-paint": peer_paint,
}


if __name__ == "__main__":
    JOBS[sys.argv[1]](*sys.argv[2:])
