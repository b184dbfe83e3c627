"""What training leaves, in diffusers' hands: the same pictures; and the same objective."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers.training_utils import compute_snr
from numpy.typing import NDArray

from paintable import write
from sfumato.containers.model_file import DIFFUSERS
from sfumato.engine.loading.load import load
from sfumato.engine.noise.variation import PictureNoise
from sfumato.engine.painter import Painter
from sfumato.engine.request import Guidance, Request
from sfumato.engine.sampling.discretisation import discretisation
from sfumato.library.find import Shelf
from sfumato.operations.convert import convert
from sfumato.training.objective import noised, snr_weights
from sfumato.training.settings import EmbeddingShape, LoraShape, Objective, Optimizer
from taught import run_of, taught, write_pictures

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

Pixels = NDArray[np.uint8]
PIPELINES: dict[str, Any] = {
    "sd1": diffusers.StableDiffusionPipeline,
    "sdxl": diffusers.StableDiffusionXLPipeline,
}
SIDE, SEED, SCALE, STEPS = 64, 11, 4.0, 6
NEGATIVE = "a dog"
BOTH = Optimizer(rate=1e-2, text_rate=1e-2)
CLOSE = 2
"""of 255: both programs round in other places"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("bases")

    def path(kind: str) -> Path:
        found = folder / f"{kind}.safetensors"
        return found if found.exists() else write(found, kind)

    return path


Small = Callable[[str], Path]


def pipeline(path: Path, folder: Path, family: str) -> Any:  # noqa: ANN401
    """diffusers' pipeline of a checkpoint, from the folder that we convert it to."""
    convert(path, folder, container=DIFFUSERS.name)
    made = PIPELINES[family].from_pretrained(folder, local_files_only=True)
    made.scheduler = diffusers.EulerDiscreteScheduler.from_config(
        made.scheduler.config, timestep_spacing="linspace"
    )
    made.set_progress_bar_config(disable=True)
    return made


def theirs(pipe: Any, prompt: str) -> Pixels:  # noqa: ANN401
    noise = PictureNoise([SEED]).first((4, SIDE // 8, SIDE // 8))
    found = pipe(
        prompt=prompt, negative_prompt=NEGATIVE, width=SIDE, height=SIDE,
        num_inference_steps=STEPS, guidance_scale=SCALE, latents=noise, output_type="latent",
    )  # fmt: skip
    with torch.inference_mode():
        picture = pipe.vae.decode(found.images / pipe.vae.config.scaling_factor).sample[0]
    return ((picture / 2 + 0.5).clamp(0, 1) * 255).permute(1, 2, 0).numpy().astype(np.uint8)


def ours(
    path: Path, prompt: str, *, lora: Path | None = None, shelf: Shelf | None = None
) -> Pixels:
    request = Request(
        prompt, NEGATIVE, width=SIDE, height=SIDE, steps=STEPS, seed=SEED, sampler="Euler",
        schedule="Uniform", guidance=Guidance(SCALE),
    )  # fmt: skip
    with Painter(load(path, device="cpu", dtype="f32"), vae="none", shelf=shelf) as painter:
        if lora is None:
            (event,) = [e for e in painter.paint(request) if not hasattr(e, "stage")]
        else:
            with painter.lora(lora):
                (event,) = [e for e in painter.paint(request) if not hasattr(e, "stage")]
        return np.asarray(event.image)  # pyright: ignore


def apart(one: Pixels, other: Pixels) -> int:
    return int(np.abs(one.astype(int) - other.astype(int)).max())


@pytest.mark.slow
@pytest.mark.parametrize("family", PIPELINES)
@pytest.mark.parametrize("shape", [LoraShape(rank=4, alpha=2.0), LoraShape(rank=4, conv_rank=2)])
def test_diffusers_paints_with_our_lora_as_we_do(
    family: str, shape: LoraShape, small: Small, pictures: Path, tmp_path: Path
) -> None:
    base = small(family)
    run = run_of("lora", base, pictures, tmp_path / "disc.safetensors", lora=shape, optimizer=BOTH)
    taught(run)
    pipe = pipeline(base, tmp_path / "folder", family)
    before = theirs(pipe, "a disc")
    pipe.load_lora_weights(run.output)
    expected = theirs(pipe, "a disc")
    assert apart(before, expected) > 20
    assert apart(ours(base, "a disc", lora=Path(run.output)), expected) <= CLOSE


@pytest.mark.slow
def test_diffusers_paints_with_our_embedding_as_we_do(
    small: Small, pictures: Path, tmp_path: Path
) -> None:
    base = small("sd1")
    word = EmbeddingShape(name="zork", vectors=3, start="blue dog")
    output = tmp_path / "embeddings" / "zork.pt"
    taught(run_of("embedding", base, pictures, output, embedding=word))
    pipe = pipeline(base, tmp_path / "folder", "sd1")
    before = theirs(pipe, "a picture of zork, blue")
    pipe.load_textual_inversion(str(output), token="zork", local_files_only=True)
    expected = theirs(pipe, "a picture of zork, blue")
    assert apart(before, expected) > 20
    own = ours(base, "a picture of zork, blue", shelf=Shelf((tmp_path,)))
    assert apart(own, expected) <= CLOSE


@pytest.mark.slow
def test_diffusers_paints_with_our_pair_of_embeddings_as_we_do(
    small: Small, pictures: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    base = small("sdxl")
    word = EmbeddingShape(name="zork", vectors=2, start="blue dog")
    output = tmp_path / "embeddings" / "zork.safetensors"
    taught(run_of("embedding", base, pictures, output, embedding=word))
    pipe = pipeline(base, tmp_path / "folder", "sdxl")
    state = load_file(output)
    halves = (
        ("clip_l", pipe.text_encoder, pipe.tokenizer),
        ("clip_g", pipe.text_encoder_2, pipe.tokenizer_2),
    )
    for key, encoder, tokenizer in halves:
        pipe.load_textual_inversion(
            state[key], token="zork", text_encoder=encoder, tokenizer=tokenizer
        )
    expected = theirs(pipe, "a picture of zork, blue")
    own = ours(base, "a picture of zork, blue", shelf=Shelf((tmp_path,)))
    assert apart(own, expected) <= CLOSE


@pytest.mark.slow
@pytest.mark.parametrize("family", PIPELINES)
def test_diffusers_paints_with_our_checkpoint_as_we_do(
    family: str, small: Small, pictures: Path, tmp_path: Path
) -> None:
    output = tmp_path / "disc.safetensors"
    rates = Optimizer(rate=2e-3, text_rate=1e-3)
    taught(run_of("checkpoint", small(family), pictures, output, optimizer=rates))
    expected = theirs(pipeline(output, tmp_path / "folder", family), "a disc")
    assert apart(ours(small(family), "a disc"), expected) > 20
    assert apart(ours(output, "a disc"), expected) <= CLOSE


@pytest.mark.slow
def test_diffusers_paints_with_a_checkpoint_that_learned_v_as_we_do(
    small: Small, pictures: Path, tmp_path: Path
) -> None:
    output = tmp_path / "disc.safetensors"
    run = run_of("checkpoint", small("sd1"), pictures, output, objective=Objective("v"))
    taught(run)
    pipe = pipeline(output, tmp_path / "folder", "sd1")
    assert pipe.scheduler.config.prediction_type == "v_prediction"
    assert apart(ours(output, "a disc"), theirs(pipe, "a disc")) <= CLOSE


def scheduler(prediction: str) -> Any:  # noqa: ANN401
    return diffusers.DDPMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
        prediction_type=prediction,
    )  # fmt: skip


T = torch.tensor([0, 1, 146, 354, 700, 999])


@pytest.mark.parametrize("gamma", [1.0, 5.0])
def test_min_snr_weights_are_diffusers(gamma: float) -> None:
    snr = compute_snr(scheduler("epsilon"), T)
    limited = torch.stack([snr, gamma * torch.ones_like(snr)], dim=1).min(dim=1)[0]
    alphas = discretisation().alphas[T]
    assert torch.allclose(snr_weights(alphas, "epsilon", gamma), limited / snr, rtol=1e-4)
    assert torch.allclose(snr_weights(alphas, "v", gamma), limited / (snr + 1), rtol=1e-4)


@pytest.mark.parametrize(("prediction", "called"), [("epsilon", "epsilon"), ("v", "v_prediction")])
def test_noisy_latents_and_targets_are_diffusers(prediction: str, called: str) -> None:
    draw = torch.Generator().manual_seed(0)
    latents, eps = (torch.randn((len(T), 4, 8, 8), generator=draw) for _ in range(2))
    own = noised(latents, eps, T, discretisation(), prediction=prediction, objective=Objective())
    peer = scheduler(called)
    assert torch.allclose(own.x, peer.add_noise(latents, eps, T), atol=1e-5)
    target = eps if prediction == "epsilon" else peer.get_velocity(latents, eps, T)
    assert torch.allclose(own.target, target, atol=1e-5)
