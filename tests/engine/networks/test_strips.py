"""Large pictures in strips are the same pictures, and take less memory."""

from __future__ import annotations

import pytest
import torch

from ledger import Ledger
from sfumato.catalogue.trees.vae import VAE
from sfumato.engine.networks import strips
from sfumato.engine.networks.convolution import Conv2d
from sfumato.engine.networks.strips import activated, enlarged
from sfumato.engine.networks.vae import AutoencoderKL

SMALL = VAE(16, (1, 2, 2), 1)


@pytest.mark.parametrize("strip", [1, 40, 700, 3000])
@pytest.mark.parametrize("batch", [1, 2])
@torch.inference_mode()
def test_a_picture_in_strips_is_the_picture(
    monkeypatch: pytest.MonkeyPatch, strip: int, batch: int
) -> None:
    torch.manual_seed(0)
    network = AutoencoderKL(SMALL).eval()
    pictures, latents = torch.rand(batch, 3, 22, 36), torch.randn(batch, 4, 7, 5)
    whole = network.moments(pictures), network.decode(latents)
    monkeypatch.setattr(strips, "STRIP", strip)
    assert torch.allclose(network.moments(pictures), whole[0], atol=1e-5)
    assert torch.allclose(network.decode(latents), whole[1], atol=1e-5)


@torch.inference_mode()
def test_norms_are_those_of_the_whole_picture_however_far_from_zero(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    norm, conv = torch.nn.GroupNorm(4, 16, eps=1e-6), Conv2d(16, 8)
    norm.weight.normal_()
    x = torch.randn(1, 16, 9, 11) * torch.arange(1, 10)[:, None] + 50
    x = x.to(memory_format=torch.channels_last)
    whole, large = activated(norm, conv, x), enlarged(conv, x)
    monkeypatch.setattr(strips, "STRIP", 300)
    assert torch.allclose(activated(norm, conv, x), whole, atol=1e-4)
    assert torch.allclose(enlarged(conv, x), large, atol=1e-4)


@torch.inference_mode()
def test_strips_take_less_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    network, latents = AutoencoderKL(SMALL).eval(), torch.randn(1, 4, 32, 32)

    def most() -> int:
        with Ledger() as ledger:
            network.decode(latents)
        return ledger.most

    whole = most()
    monkeypatch.setattr(strips, "STRIP", 8192)
    assert most() < 0.8 * whole


def test_where_gradients_are_recorded_nothing_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    network, latents = AutoencoderKL(SMALL), torch.randn(1, 4, 4, 4)
    whole = network.decode(latents)
    monkeypatch.setattr(strips, "STRIP", 8)
    assert torch.equal(network.decode(latents), whole)
    network.decode(latents).sum().backward()
