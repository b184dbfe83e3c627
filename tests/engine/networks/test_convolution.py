"""Convolutions: small ones as products, and pictures that wrap around."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from sfumato.catalogue.trees.unet import sizes
from sfumato.catalogue.trees.vae import VAE
from sfumato.engine.networks.convolution import Conv2d
from sfumato.engine.networks.seamless import seamless
from sfumato.engine.networks.unet import UNetModel
from sfumato.engine.networks.vae import AutoencoderKL


@pytest.mark.parametrize("size", [(2, 3), (8, 8)], ids=["product", "convolution"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("mode", ["zeros", "circular"])
@torch.inference_mode()
def test_a_convolution_is_one_whatever_the_size(
    size: tuple[int, int], stride: int, kernel: int, mode: str
) -> None:
    torch.manual_seed(0)
    layer, x = Conv2d(8, 24, kernel, stride=stride), torch.randn(2, 8, *size)
    layer.padding_mode = mode
    around = [kernel // 2] * 4
    padded = functional.pad(x, around, mode="constant" if mode == "zeros" else mode)
    expected = functional.conv2d(padded, layer.weight, layer.bias, stride)
    for layout in (torch.contiguous_format, torch.channels_last):
        assert torch.allclose(layer(x.to(memory_format=layout)), expected, atol=1e-5)


def test_a_small_convolution_has_the_gradients_of_a_large_one() -> None:
    layer = Conv2d(4, 64).double()
    x = torch.randn(1, 4, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (x,))
    layer(x).sum().backward()
    product = layer.weight.grad
    layer.weight.grad = None
    functional.conv2d(x, layer.weight, layer.bias, padding=1).sum().backward()
    assert torch.allclose(product, layer.weight.grad)


@torch.inference_mode()
def test_a_seamless_picture_that_is_rolled_is_the_rolled_picture() -> None:
    torch.manual_seed(0)
    unet = UNetModel(sizes((16, 32), (0, 1), 1, 24)).eval()
    vae = AutoencoderKL(VAE(16, (1, 2), 1)).eval()
    x, steps, text = torch.randn(1, 4, 8, 8), torch.tensor([5.0]), torch.randn(1, 3, 24)
    picture = vae.decode(unet(x, steps, text))
    for network in (unet, vae):
        seamless(network, True)
    wrapped = vae.decode(unet(x, steps, text))
    rolled = vae.decode(unet(x.roll((2, 4), (2, 3)), steps, text))
    assert torch.allclose(rolled, wrapped.roll((4, 8), (2, 3)), atol=1e-4)
    assert torch.allclose(
        vae.encode(picture.roll((2, 4), (2, 3))),
        vae.encode(picture).roll((1, 2), (2, 3)),
        atol=1e-4,
    )
    for network in (unet, vae):
        seamless(network, False)
    assert torch.equal(vae.decode(unet(x, steps, text)), picture)
    assert not torch.allclose(wrapped, picture, atol=1e-2)
