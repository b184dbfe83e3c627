"""Laws of denoisers and predictors: what a network says in noise or in v is one and the same."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sampling_toys import TABLE
from sfumato.engine.denoiser.forms import denoiser, predictor
from sfumato.engine.denoiser.guided import Output
from sfumato.engine.denoiser.masks import blended, masked, masked_predictor
from sfumato.engine.sampling.discretisation import discretisation
from sfumato.engine.step import Predicted

CLEAN = torch.linspace(-2, 2, 64).view(1, 4, 4, 4)
NOISE = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(1))


def says(output: Tensor) -> object:
    """A network that knows the answer."""
    return lambda x, t, sigma: Output(output, output)


@pytest.mark.parametrize("t", [0, 1, 400, 999])
@pytest.mark.parametrize("zero_snr", [False, True])
def test_noise_and_v_denoise_alike(t: int, zero_snr: bool) -> None:
    table = discretisation(zero_snr=zero_snr)
    a, sigma = table.alphas[t], table.sigmas[t]
    v = a.sqrt() * NOISE - (1 - a).sqrt() * CLEAN
    x = CLEAN + sigma * NOISE
    # in noise a level of noise alone says nothing about what is under it
    near = 1e-4 * max(float(sigma), 1.0)
    from_eps = denoiser(says(NOISE), table, "epsilon")(x, sigma)  # pyright: ignore
    from_v = denoiser(says(v), table, "v")(x, sigma)  # pyright: ignore
    assert torch.allclose(from_eps, CLEAN, atol=near)
    assert torch.allclose(from_v, CLEAN, atol=1e-3)


@pytest.mark.parametrize("t", [0, 1, 400, 999])
def test_predictors_turn_v_into_noise(t: int) -> None:
    a = TABLE.alphas[t]
    x = a.sqrt() * CLEAN + (1 - a).sqrt() * NOISE
    v = a.sqrt() * NOISE - (1 - a).sqrt() * CLEAN
    found = predictor(says(v), TABLE, "v")(x, torch.tensor(t))  # pyright: ignore
    assert torch.allclose(found.eps, NOISE, atol=1e-4)
    assert torch.equal(found.eps, found.uncond)
    plain = predictor(says(NOISE), TABLE, "epsilon")(x, torch.tensor(t))  # pyright: ignore
    assert torch.equal(plain.eps, NOISE)


def test_the_network_sees_unit_variance_and_timesteps_between_whole_ones() -> None:
    seen: list[tuple[Tensor, float]] = []

    def ask(x: Tensor, t: Tensor, sigma: float) -> Output:
        seen.append((x, float(t)))
        return Output(x, x)

    sigma = TABLE.t_to_sigma(torch.tensor(500.25))
    denoiser(ask, TABLE, "epsilon")(CLEAN * 0 + sigma, sigma)
    denoiser(ask, discretisation(quantize=True), "epsilon")(CLEAN, sigma)
    x, t = seen[0]
    assert torch.allclose(x, sigma / (sigma**2 + 1).sqrt() * torch.ones_like(x))
    assert t == pytest.approx(500.25, abs=1e-3)
    assert seen[1][1] == 500


def test_outside_the_mask_the_picture_stays() -> None:
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., :2] = 1
    mask[..., 2] = 0.5
    inside = masked(lambda x, sigma: x * 0 + 7, mask, CLEAN)(NOISE, torch.tensor(1.0))
    assert (inside[..., :2] == 7).all()
    assert torch.allclose(inside[..., 2], (7 + CLEAN[..., 2]) / 2)
    assert torch.equal(inside[..., 3], CLEAN[..., 3])


def test_predictors_are_shown_the_clean_picture_outside_the_mask() -> None:
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., 0] = 1
    predict = masked_predictor(lambda x, t: Predicted(x, x), mask, CLEAN)
    assert torch.equal(predict(NOISE, torch.tensor(5)).eps, blended(NOISE, mask, CLEAN))
