"""Autoencoders while they learn: what stays as it was, and what the file says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sfumato.engine.networks.vae import AutoencoderKL
from sfumato.training.events import Stepped
from sfumato.training.kinds.vae import SCALE, VaeTrainee, read_autoencoder, whitened
from sfumato.training.loop import train
from sfumato.training.prepare import prepare
from sfumato.training.settings import Data, Ema, Optimizer, Run, VaeShape
from taught import SIDE, apart, identified, run_of

pytestmark = pytest.mark.slow

Small = Callable[[str], Path]


@pytest.fixture
def wish(small: Small, pictures: Path, tmp_path: Path) -> Callable[..., Run]:
    def run(**changes: object) -> Run:
        output = tmp_path / "vae.safetensors"
        settings = {"optimizer": Optimizer(rate=1e-3)} | changes
        return run_of("vae", small("sd1"), pictures, output, **settings)

    return run


def course(run: Run) -> tuple[VaeTrainee, list[float]]:
    trainee = prepare(run)
    losses = [event.loss for event in train(run, trainee) if isinstance(event, Stepped)]
    assert isinstance(trainee, VaeTrainee)
    return trainee, losses


@torch.no_grad()
def latents(network: AutoencoderKL, trainee: VaeTrainee) -> Tensor:
    pictures = [trainee.lesson.still(item) for item in range(len(trainee.lesson.items))]
    return torch.cat([network.encode(picture[None]) for picture in pictures])


def test_a_trained_decoder_leaves_latents_bit_for_bit_as_they_were(
    wish: Callable[..., Run], small: Small
) -> None:
    run = wish()
    trainee, _ = course(run)
    before, after = read_autoencoder(small("sd1")), read_autoencoder(Path(run.output))
    assert torch.equal(latents(before, trainee), latents(after, trainee))
    same = {n for n, w in before.state_dict().items() if torch.equal(w, after.state_dict()[n])}
    assert all(name in same for name in before.state_dict() if name.startswith("encoder."))
    assert not any(name in same for name, _ in before.named_parameters() if "decoder.conv" in name)


def test_a_whole_autoencoder_is_written_with_white_latents(wish: Callable[..., Run]) -> None:
    run = wish(vae=VaeShape(part="whole"))
    trainee, _ = course(run)
    written = read_autoencoder(Path(run.output))
    seen = (latents(written, trainee) * SCALE).transpose(0, 1).flatten(1)
    assert torch.allclose(seen.mean(dim=1), torch.zeros(4), atol=1e-3)
    assert torch.allclose(seen.std(dim=1), torch.ones(4), atol=1e-2)
    picture = trainee.lesson.still(0)[None]
    with torch.no_grad():
        back = written.decode(written.encode(picture))
        own = trainee.network.decode(trainee.network.encode(picture))
    assert apart(back, own) < 1e-4


def test_whitening_changes_neither_pictures_nor_the_spread_around_the_mean(small: Small) -> None:
    network = read_autoencoder(small("sd1"))
    draw = torch.Generator().manual_seed(0)
    mean, spread = torch.randn(4, generator=draw), torch.rand(4, generator=draw) + 0.5
    white = read_autoencoder(small("sd1"))
    white.load_state_dict(whitened(network.state_dict(), mean, spread))
    picture = torch.rand((1, 3, 32, 32), generator=draw) * 2 - 1
    with torch.no_grad():
        one, other = network.moments(picture), white.moments(picture)
        factor = 1 / (spread * SCALE)
        expected = (one[:, :4] - mean[:, None, None]) * factor[:, None, None]
        assert apart(other[:, :4], expected) < 1e-5
        deviation = (one[:, 4:] / 2).exp() * factor[:, None, None]
        assert apart((other[:, 4:] / 2).exp(), deviation) < 1e-4
        assert apart(white.decode(other[:, :4]), network.decode(one[:, :4])) < 1e-4


def test_a_tint_is_learned_as_what_comes_back(wish: Callable[..., Run]) -> None:
    trainee, _ = course(wish(vae=VaeShape(tint=(1.0, 0.5, 0.0)), steps=1))
    white = torch.ones(1, 3, 8, 8)
    target = trainee._target(white)  # pyright: ignore[reportPrivateUsage]
    assert target[0, :, 0, 0].tolist() == [1.0, 0.0, -1.0]


@pytest.mark.parametrize("part", ["decoder", "whole"])
def test_the_file_is_a_vae(part: str, wish: Callable[..., Run]) -> None:
    run = wish(vae=VaeShape(part=part), ema=Ema(0.9), steps=1)  # pyright: ignore
    course(run)
    found = identified(run.output)
    assert (found.kind, found.left_over) == ("vae", ())


@pytest.mark.slow
def test_two_pictures_are_learned_by_heart(wish: Callable[..., Run], pictures: Path) -> None:
    data = Data(str(pictures), resolution=SIDE, validation=str(pictures))
    run = wish(vae=VaeShape(part="whole", crop=32), steps=80, data=data)
    trainee, losses = course(run)
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])
    assert trainee.validate() is not None
