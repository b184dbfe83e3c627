"""The autoencoders: their files' keys, their sizes, and halves that say what they lack."""

from __future__ import annotations

import pytest
import torch

from sfumato.catalogue.trees.tiny_vae import TinyVAE, tiny_shapes
from sfumato.catalogue.trees.vae import VAE, vae_shapes
from sfumato.engine.networks.build import build
from sfumato.engine.networks.tiny_vae import TinyAutoencoder
from sfumato.engine.networks.vae import AutoencoderKL
from sfumato.errors import UsageError

SMALL = VAE(16, (1, 2), 1)
VAES = [
    VAE(),
    VAE(multipliers=(1, 2, 4)),
    VAE(latent=16, quant=False),
    VAE(encoder=False),
    VAE(decoder=False),
    SMALL,
    VAE(12, (2, 3, 1), 3, latent=2),
]
TINY = [
    TinyVAE(),
    TinyVAE(16, 32),
    TinyVAE(encoder=False),
    TinyVAE(decoder=False),
    TinyVAE(pooled=True),
]


def small(sizes: VAE | TinyVAE) -> AutoencoderKL | TinyAutoencoder:
    torch.manual_seed(0)
    return (AutoencoderKL(sizes) if isinstance(sizes, VAE) else TinyAutoencoder(sizes)).eval()


@pytest.mark.parametrize("sizes", [*VAES, *TINY], ids=str)
def test_an_autoencoder_has_the_keys_and_shapes_of_its_files(sizes: VAE | TinyVAE) -> None:
    tree = vae_shapes(sizes) if isinstance(sizes, VAE) else tiny_shapes(sizes)
    state = build(sizes).state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == dict(tree)


@pytest.mark.parametrize(
    ("sizes", "factor"),
    [
        (SMALL, 2),
        (VAE(12, (2, 3, 1), 3, 2), 4),
        (TinyVAE(4, 8), 8),
        (TinyVAE(4, 8, pooled=True), 8),
    ],
)
@torch.inference_mode()
def test_pictures_become_latents_and_latents_pictures(sizes: VAE | TinyVAE, factor: int) -> None:
    network = small(sizes)
    latents = network.encode(torch.randn(2, 3, 3 * factor, 5 * factor))
    assert latents.shape == (2, sizes.latent, 3, 5)
    assert network.decode(latents).shape == (2, 3, 3 * factor, 5 * factor)


@pytest.mark.parametrize("sizes", [SMALL, TinyVAE(4, 8)])
@torch.inference_mode()
def test_moments_are_means_and_logarithms_of_variances(sizes: VAE | TinyVAE) -> None:
    network, pictures = small(sizes), torch.randn(1, 3, 16, 16)
    moments = network.moments(pictures)
    assert moments.shape[1] == 8 and torch.equal(moments[:, :4], network.encode(pictures))


@pytest.mark.parametrize("sizes", [SMALL, TinyVAE(4, 8)])
def test_what_is_given_stays_and_training_computes_the_same(sizes: VAE | TinyVAE) -> None:
    network, pictures = small(sizes), torch.randn(1, 3, 16, 16)
    before = pictures.clone()
    recorded = network.decode(network.encode(pictures))
    with torch.inference_mode():
        painted = network.decode(network.encode(pictures))
    assert torch.allclose(recorded, painted, atol=1e-5) and torch.equal(pictures, before)
    recorded.square().sum().backward()
    assert all(weight.grad is not None for weight in network.parameters())


@pytest.mark.parametrize("kind", [VAE, TinyVAE])
def test_half_an_autoencoder_says_which_half_it_is(kind: type[VAE] | type[TinyVAE]) -> None:
    with pytest.raises(UsageError, match="only a decoder: it cannot encode"):
        build(kind(encoder=False)).encode(torch.zeros(1, 3, 8, 8))
    with pytest.raises(UsageError, match="only an encoder: it cannot decode"):
        build(kind(decoder=False)).decode(torch.zeros(1, 4, 1, 1))


@torch.inference_mode()
def test_taesd_keeps_wild_latents_within_three() -> None:
    network = small(TinyVAE(4, 8))
    wild = torch.full((1, 4, 2, 2), 1e6)
    assert torch.allclose(network.decode(wild), network.decode(wild * 2))
