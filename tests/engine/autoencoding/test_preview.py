"""Previews: the linear map fitted to a VAE, TAESD and VAE-approx in its place."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from sfumato.catalogue.trees.tiny_vae import TinyVAE, tiny_half_shapes
from sfumato.catalogue.trees.vae import VAE
from sfumato.containers.save import save
from sfumato.engine.autoencoding.approx import read_approx
from sfumato.engine.autoencoding.load import swapped
from sfumato.engine.autoencoding.preview import (
    Previews,
    fit,
    least_squares,
    read_preview,
    show,
)
from sfumato.engine.loading.load import load
from sfumato.engine.model import Model, Network
from sfumato.errors import Refused, Unsupported
from toys import random_tensors

Small = Callable[[str], Path]


@pytest.fixture(scope="module")
def model(small: Small) -> Model:
    return load(small("sd1"), device="cpu")


class Linear(nn.Module):
    """A VAE whose colours are a linear map of the latent."""

    def __init__(self, matrix: Tensor, bias: Tensor, scale: float) -> None:
        super().__init__()
        self.matrix = nn.Parameter(matrix * scale, requires_grad=False)
        self.bias = nn.Parameter(bias, requires_grad=False)

    def decode(self, latents: Tensor) -> Tensor:
        small = torch.einsum("bchw,cr->brhw", latents, self.matrix)
        colours = small + self.bias[:, None, None]
        return nn.functional.interpolate(colours, scale_factor=8)


def linear(matrix: Tensor, bias: Tensor, scale: float = 0.18215) -> Network:
    return Network("vae", "", Linear(matrix, bias, scale), VAE())


def test_a_linear_vae_is_found_exactly(model: Model) -> None:
    torch.manual_seed(0)
    matrix, bias = 0.05 * torch.randn(4, 3), 0.1 * torch.randn(3)
    with swapped(model, linear(matrix, bias)):
        found = fit(model)
    assert torch.allclose(found.weight, matrix, atol=1e-5)
    assert torch.allclose(found.bias, bias, atol=1e-5) and found.error < 1e-5
    latent = torch.randn(4, 5, 6)
    expected = torch.einsum("chw,cr->rhw", latent, matrix) + bias[:, None, None]
    assert torch.allclose(found(latent), expected, atol=1e-5)


def test_the_fit_beats_any_other_map() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(200, 4), torch.randn(200, 3)
    best = least_squares(x, y)

    def error(weight: Tensor) -> float:
        return float((x @ weight + best.bias - y).square().mean())

    assert all(error(best.weight) < error(best.weight + 0.1 * torch.randn(4, 3)) for _ in range(20))
    assert error(best.weight) == pytest.approx(best.error**2)


def test_a_real_vae_is_fitted_better_than_by_grey(model: Model) -> None:
    found = fit(model)
    assert found.error < 1 and found.weight.shape == (4, 3)
    assert torch.equal(found.weight, fit(model).weight)


def test_a_vae_that_gives_only_nan_still_has_a_preview(model: Model) -> None:
    nan = torch.full((4, 3), float("nan"))
    with swapped(model, linear(nan, torch.zeros(3))):
        assert not fit(model)(torch.randn(4, 2, 2)).any()


def test_a_map_is_fitted_once_for_each_vae_and_forgotten_with_it(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    previews = Previews()
    own = previews.of(model)
    other = linear(torch.eye(4)[:, :3], torch.zeros(3))
    with swapped(model, other):
        assert previews.of(model) is not own
        assert previews.of(model) is previews.of(model)
    assert previews.of(model) is own
    del other
    gc.collect()
    assert len(previews._maps) == 1


def test_a_preview_is_a_picture_with_a_pixel_for_each_of_the_latent(model: Model) -> None:
    latent = torch.randn(4, 5, 7)
    picture = show(latent, fit(model))
    assert (picture.size, picture.mode) == ((7, 5), "RGB")


def test_taesd_gives_previews_at_full_size(model: Model, tmp_path: Path) -> None:
    sizes = TinyVAE(4, 8, encoder=False)
    save(tmp_path / "tiny.safetensors", random_tensors(tiny_half_shapes(sizes)))
    picture = show(torch.randn(4, 5, 7), read_preview(tmp_path / "tiny.safetensors", model))
    assert picture.size == (56, 40)


def test_half_of_taesd_that_cannot_decode_is_refused(model: Model, tmp_path: Path) -> None:
    sizes = TinyVAE(4, 8, decoder=False)
    save(tmp_path / "tiny.safetensors", random_tensors(tiny_half_shapes(sizes)))
    with pytest.raises(Refused, match="no decoder"):
        read_preview(tmp_path / "tiny.safetensors", model)


def test_a_whole_vae_is_no_quick_look(model: Model, small: Small) -> None:
    with pytest.raises(Refused, match="whole VAE"):
        read_preview(small("sd1"), model)


KNOWN = torch.tensor(
    [[0.298, 0.207, 0.208], [0.187, 0.286, 0.173], [-0.158, 0.189, 0.264], [-0.184, -0.271, -0.473]]
)
"""A1111's map for SD1 ("Approx cheap"), as a yardstick"""


def test_a_map_fitted_to_the_real_vae_approx_is_much_like_a1111s(real: Path) -> None:
    from sfumato.engine.autoencoding.preview import _samples

    network, samples = read_approx(real / "vae-approx.pt"), _samples(4)
    small = nn.functional.avg_pool2d(network(samples), 2)
    flat = [x.permute(0, 2, 3, 1).flatten(0, 2) for x in (samples, small)]
    found = least_squares(flat[0], flat[1]).weight
    assert torch.corrcoef(torch.stack([found.flatten(), KNOWN.flatten()]))[0, 1] > 0.9


def test_the_real_vae_approx_gives_previews_of_twice_the_latents_size(
    model: Model, real: Path
) -> None:
    picture = show(torch.randn(4, 5, 7), read_preview(real / "vae-approx.pt", model))
    assert picture.size == (14, 10)
    with pytest.raises(Unsupported, match="no VAE-approx"):
        read_approx(real / "embedding-EasyNegative.safetensors")
