"""Whole pictures against diffusers' pipelines, made from folders that we wrote."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from paintable import write
from sfumato.containers.model_file import DIFFUSERS
from sfumato.engine.loading.load import load
from sfumato.engine.noise.variation import PictureNoise
from sfumato.engine.painter import Painter
from sfumato.engine.request import Guidance, Request
from sfumato.operations.convert import convert

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

PIPELINES: dict[str, Any] = {
    "sd1": diffusers.StableDiffusionPipeline,
    "sdxl": diffusers.StableDiffusionXLPipeline,
}

PROMPTS = {"prompt": "a lighthouse at dusk, naïve painting", "negative_prompt": "a dog"}
SIZE, SEED, SCALE = (48, 64), 11, 5.0

Peer = Callable[[str], Any]
Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Any]]:
    """A small checkpoint, and diffusers' pipeline of the folder that it was converted to."""
    kept: dict[str, tuple[Path, Any]] = {}

    def both(kind: str) -> tuple[Path, Any]:
        if kind not in kept:
            place = tmp_path_factory.mktemp(kind)
            path = write(place / f"{kind}.safetensors", kind)
            convert(path, place / "folder", container=DIFFUSERS.name)
            pipeline = PIPELINES[kind].from_pretrained(place / "folder", local_files_only=True)
            pipeline.set_progress_bar_config(disable=True)
            kept[kind] = path, pipeline
        return kept[kind]

    return both


def ours(path: Path, sampler: str, steps: int, negative: str) -> Pixels:
    request = Request(
        PROMPTS["prompt"],
        negative,
        width=SIZE[0],
        height=SIZE[1],
        steps=steps,
        seed=SEED,
        sampler=sampler,
        schedule="Uniform",
        guidance=Guidance(SCALE),
    )
    with Painter(load(path)) as painter:
        (event,) = [e for e in painter.paint(request) if not hasattr(e, "stage")]
        return np.asarray(event.image)


def theirs(pipeline: Any, steps: int, *, last: int, **prompts: str) -> Pixels:  # noqa: ANN401
    """The picture as it is after the step `last`, from 0, of diffusers' pipeline."""
    found: dict[int, torch.Tensor] = {}

    def keep(_: object, step: int, time: object, values: dict[str, torch.Tensor]) -> dict[str, Any]:
        found[step] = values["latents"]
        return {}

    noise = PictureNoise([SEED]).first((4, SIZE[1] // 8, SIZE[0] // 8))
    pipeline(
        **prompts,
        width=SIZE[0],
        height=SIZE[1],
        num_inference_steps=steps,
        guidance_scale=SCALE,
        latents=noise,
        output_type="latent",
        callback_on_step_end=keep,
    )
    with torch.inference_mode():
        latent = found[last] / pipeline.vae.config.scaling_factor
        picture = pipeline.vae.decode(latent).sample[0]
    return ((picture / 2 + 0.5).clamp(0, 1) * 255).permute(1, 2, 0).numpy().astype(np.uint8)


def apart(one: Pixels, other: Pixels) -> int:
    return int(np.abs(one.astype(int) - other.astype(int)).max())


@pytest.mark.parametrize("kind", PIPELINES)
@pytest.mark.parametrize("negative", ["a dog", ""])
def test_euler_pictures_are_diffusers_pictures(
    kind: str, negative: str, made: Callable[[str], tuple[Path, Any]]
) -> None:
    path, pipeline = made(kind)
    pipeline.scheduler = diffusers.EulerDiscreteScheduler.from_config(
        pipeline.scheduler.config, timestep_spacing="linspace"
    )
    # An empty negative prompt is told to diffusers as none: it is zeros for SDXL then.
    prompts = PROMPTS | {"negative_prompt": negative} if negative else {"prompt": PROMPTS["prompt"]}
    expected = theirs(pipeline, 8, last=7, **prompts)
    assert expected.std() > 20
    assert apart(ours(path, "Euler", 8, negative), expected) <= 2


@pytest.mark.parametrize("kind", PIPELINES)
def test_ddim_pictures_are_diffusers_pictures_one_step_before_their_end(
    kind: str, made: Callable[[str], tuple[Path, Any]]
) -> None:
    path, pipeline = made(kind)
    pipeline.scheduler = diffusers.DDIMScheduler.from_config(
        pipeline.scheduler.config, timestep_spacing="leading", steps_offset=1, clip_sample=False
    )
    expected = theirs(pipeline, 10, last=8, **PROMPTS)
    assert apart(ours(path, "DDIM", 10, PROMPTS["negative_prompt"]), expected) <= 2
