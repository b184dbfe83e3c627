"""Laws of samplers: they converge, keep the distribution, and treat each picture by itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from sampling_toys import (
    GOLDEN,
    SHAPE,
    TABLE,
    gaussian,
    gaussian_eps,
    last,
    noise,
    picture,
    plan,
    toy,
)
from sfumato.engine.denoiser.forms import predictor
from sfumato.engine.denoiser.guided import Output
from sfumato.engine.noise.brownian import brownian
from sfumato.engine.noise.generators import generator
from sfumato.engine.request import Rng, Tuning
from sfumato.engine.sampling.heun import restart_plan
from sfumato.engine.sampling.lms import weights
from sfumato.engine.sampling.registry import SAMPLERS, find_sampler
from sfumato.engine.sampling.sampler import Sampler, SamplerSettings
from sfumato.engine.sampling.schedules import karras_sigmas
from sfumato.engine.sampling.timesteps import timestep_grid
from sfumato.engine.step import Step

DEVIATION = 0.8
every_sampler = pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: s.name)


def none() -> Tensor:
    return torch.zeros(())


def still(sigma: Tensor, sigma_next: Tensor) -> Tensor:
    return torch.zeros(())


def error_in_sigma(sampler: Sampler, steps: int) -> float:
    """How far a run from 10 to 0.1 ends from the exact solution, relative."""
    levels = karras_sigmas(steps + 1, 0.1, 10.0, rho=3.0)[:-1].double()
    levels[0], levels[-1] = 10.0, 0.1
    assert sampler.sigma is not None
    settings = SamplerSettings(none, still, Tuning(eta=0.0))
    x = torch.ones(1, dtype=torch.float64)
    final = last(sampler.sigma(gaussian(DEVIATION), x, levels, settings)).x
    exact = math.sqrt((DEVIATION**2 + 0.1**2) / (DEVIATION**2 + 10.0**2))
    return abs(float(final) / exact - 1)


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("Euler", 1),
        ("Euler a", 1),
        ("Heun", 2),
        ("LMS", 2),  # its first steps have few slopes to look back at
        ("DPM2", 2),
        ("DPM2 a", 2),
        ("DPM++ 2S a", 2),
        ("DPM++ 2M", 2),
        ("DPM++ SDE", 2),
        ("DPM++ 2M SDE", 2),
        ("DPM++ 2M SDE Heun", 2),
        ("DPM++ 3M SDE", 2),
        ("DPM fast", 2),
    ],
)
def test_halving_the_steps_costs_what_the_order_says(name: str, order: int) -> None:
    sampler, _ = find_sampler(name)
    errors = [error_in_sigma(sampler, steps) for steps in (48, 96, 192)]
    assert errors[0] < 0.2
    assert math.log2(errors[1] / errors[2]) > order - 0.25


def test_more_slopes_are_closer_than_fewer() -> None:
    three, two, one = (
        error_in_sigma(find_sampler(name)[0], 48) for name in ("LMS", "DPM++ 2M", "Euler")
    )
    assert three < two < one / 4


def error_in_timesteps(sampler: Sampler, steps: int, tuning: Tuning) -> float:
    grid = timestep_grid(steps)
    assert sampler.timestep is not None
    predict = predictor(gaussian_eps(DEVIATION), TABLE, "epsilon")
    settings = SamplerSettings(none, None, tuning, TABLE, resumed=True)
    final = last(sampler.timestep(predict, torch.ones(1), grid, TABLE, settings))
    start = TABLE.alphas[grid[-1]].double()
    end = 1 / (1 + final.sigma.double() ** 2)
    exact = math.sqrt((1 - end + end * DEVIATION**2) / (1 - start + start * DEVIATION**2))
    return abs(float(final.x) / exact - 1)


LOG = Tuning(unipc_skip="logSNR")
"""even steps in λ, where the last one does not hide the order"""


@pytest.mark.parametrize(
    ("name", "tuning", "steps", "order"),
    [
        ("DDIM", Tuning(), (40, 200), 1),
        ("DDIM CFG++", Tuning(), (40, 200), 1),
        ("PLMS", Tuning(), (40, 200), 1.5),
        ("UniPC", Tuning(unipc_skip="time_quadratic"), (40, 200), 1),
        ("UniPC", Tuning(), (40, 200), 1),
        ("UniPC", replace(LOG, unipc_order=1), (20, 40), 2),
        ("UniPC", replace(LOG, unipc_order=1, unipc_variant="bh2"), (20, 40), 2),
        ("UniPC", replace(LOG, unipc_order=2), (10, 20), 3),
        ("UniPC", replace(LOG, unipc_order=2, unipc_variant="bh2"), (20, 40), 3),
        ("UniPC", replace(LOG, unipc_order=2, unipc_variant="vary_coeff"), (20, 40), 3),
        ("UniPC", replace(LOG, unipc_variant="vary_coeff"), (10, 20), 4),
    ],
)
def test_samplers_in_timesteps_converge_too(
    name: str, tuning: Tuning, steps: tuple[int, int], order: float
) -> None:
    sampler, _ = find_sampler(name)
    few, many = (error_in_timesteps(sampler, count, tuning) for count in steps)
    assert few < 0.1
    assert math.log(few / many) / math.log(steps[1] / steps[0]) > order - 0.25


def test_the_adaptive_sampler_keeps_its_tolerance() -> None:
    assert error_in_sigma(find_sampler("DPM adaptive")[0], 10) < 0.06


@pytest.mark.parametrize(
    "sampler", [s for s in SAMPLERS if s.ancestral or s.churn], ids=lambda s: s.name
)
def test_fresh_noise_keeps_the_distribution(sampler: Sampler) -> None:
    levels = karras_sigmas(80, 0.03, 10.0)
    shape = (1, 4, 48, 48)
    source = generator(1)
    x = source.randn(shape) * (DEVIATION**2 + 100) ** 0.5
    motion = brownian([3], shape[1:], levels)
    settings = SamplerSettings(lambda: source.randn(shape), motion, Tuning(churn=20.0))
    assert sampler.sigma is not None
    final = last(sampler.sigma(gaussian(DEVIATION), x, levels, settings)).x
    assert float(final.std()) == pytest.approx(DEVIATION, rel=0.08)


def test_ddim_with_noise_keeps_the_distribution() -> None:
    sampler, shape, source = find_sampler("DDIM")[0], (1, 4, 48, 48), generator(1)
    settings = SamplerSettings(lambda: source.randn(shape), None, Tuning(eta=1.0), TABLE)
    predict = predictor(gaussian_eps(DEVIATION), TABLE, "epsilon")
    assert sampler.timestep is not None
    run = sampler.timestep(predict, source.randn(shape), timestep_grid(100), TABLE, settings)
    assert float(last(run).x.std()) == pytest.approx(DEVIATION, rel=0.05)


@pytest.mark.parametrize("sampler", [s for s in SAMPLERS if not s.alone], ids=lambda s: s.name)
@pytest.mark.parametrize("rng", ["NV", "CPU"])
def test_a_picture_of_a_batch_is_the_picture_alone(sampler: Sampler, rng: Rng) -> None:
    tuning = Tuning(churn=2.0) if sampler.churn else Tuning(eta=1.0 if sampler.ancestral else 0.5)
    both = picture(sampler, (5, 6), tuning=tuning, rng=rng)
    for i, seed in enumerate((5, 6)):
        alone = picture(sampler, (seed,), tuning=tuning, rng=rng)
        assert torch.equal(both[i : i + 1], alone)


@every_sampler
def test_the_same_seed_gives_the_same_picture(sampler: Sampler) -> None:
    assert torch.equal(picture(sampler, (5,)), picture(sampler, (5,)))
    assert not torch.equal(picture(sampler, (5,)), picture(sampler, (6,)))


def counted(sampler: Sampler, steps: int) -> tuple[list[Step], int]:
    calls = 0
    settled = plan(sampler, steps)
    predict = gaussian_eps(DEVIATION)

    def ask(x: Tensor, t: Tensor, sigma: float) -> Output:
        nonlocal calls
        calls += 1
        return predict(x, t, sigma)

    return list(settled.run(ask, settled.begin(noise(3)()), noise(5))), calls


@pytest.mark.parametrize(
    ("name", "calls"),
    [
        ("Euler", 20), ("Euler a", 20), ("LMS", 20), ("DPM++ 2M", 20), ("DPM++ 2M SDE", 20),
        ("DPM++ 3M SDE", 20), ("LCM", 20), ("UniPC", 20),
        ("Heun", 39), ("DPM2", 39), ("DPM2 a", 39), ("DPM++ 2S a", 39), ("DPM++ SDE", 39),
        ("DPM fast", 20), ("DDIM", 19), ("DDIM CFG++", 19), ("PLMS", 20),
    ],
)  # fmt: skip
def test_twenty_steps_ask_the_network_so_often(name: str, calls: int) -> None:
    sampler, _ = find_sampler(name)
    steps, found = counted(sampler, 20)
    assert found == calls
    if name != "DPM fast":
        assert len(steps) == plan(sampler, 20).way.steps


@every_sampler
def test_levels_fall_from_step_to_step_and_estimates_have_the_shape(sampler: Sampler) -> None:
    steps, _ = counted(sampler, 12)
    sigmas = [float(step.sigma) for step in steps]
    assert sigmas == sorted(sigmas, reverse=True)
    assert all(step.x.shape == step.denoised.shape == (1, *SHAPE) for step in steps)
    assert all(step.x.dtype == torch.float32 and step.sigma.shape == () for step in steps)


@every_sampler
def test_a_sampler_stops_when_nobody_asks_for_more(sampler: Sampler) -> None:
    calls = 0

    def ask(x: Tensor, t: Tensor, sigma: float) -> Output:
        nonlocal calls
        calls += 1
        return gaussian_eps(DEVIATION)(x, t, sigma)

    settled = plan(sampler, 12)
    run = settled.run(ask, settled.begin(noise(3)()), noise(5))
    assert isinstance(run, Iterator)
    assert calls == 0
    next(run)
    run.close()  # pyright: ignore
    before = calls
    assert next(run, None) is None
    assert calls == before


@every_sampler
def test_one_step_is_a_step(sampler: Sampler) -> None:
    steps, _ = counted(sampler, 1)
    if sampler.kind == "sigma" or sampler.full:
        assert steps
    assert all(torch.isfinite(step.x).all() for step in steps)


@every_sampler
def test_zero_terminal_snr_gives_numbers(sampler: Sampler) -> None:
    found = picture(sampler, (5,), steps=8, zero_snr=True)
    assert torch.isfinite(found).all()


@every_sampler
def test_no_sampler_computes_in_double_precision(sampler: Sampler) -> None:
    """MPS has none; single numbers stay on the CPU, and they are float32 as well."""
    seen: set[torch.dtype] = set()

    def ask(x: Tensor, t: Tensor, sigma: float) -> Output:
        seen.add(x.dtype)
        return gaussian_eps(DEVIATION)(x, t, sigma)

    settled = plan(sampler, 8)
    for step in settled.run(ask, settled.begin(noise(3)()), noise(5)):
        seen |= {step.x.dtype, step.denoised.dtype, step.sigma.dtype}
    assert seen == {torch.float32}


def test_weights_of_multisteps_integrate_polynomials_exactly() -> None:
    nodes, end = [3.0, 5.0, 8.0, 13.0], 1.5
    for power in range(4):
        found = sum(w * node**power for w, node in zip(weights(nodes, end), nodes, strict=True))
        exact = (end ** (power + 1) - nodes[0] ** (power + 1)) / (power + 1)
        assert found == pytest.approx(exact, rel=1e-12)
    assert weights([3.0], 1.0) == [-2.0]


@pytest.mark.parametrize(("steps", "back"), [(19, 0), (20, 1), (35, 1), (36, 2), (60, 2)])
def test_restarts_keep_the_number_of_steps(steps: int, back: int) -> None:
    found = restart_plan(karras_sigmas(steps, 0.03, 14.6))
    rises = sum(a[1] < b[0] for a, b in pairwise(found))
    assert (len(found), rises) == (steps, back)


def test_churn_noise_is_drawn_also_where_it_is_not_used() -> None:
    drawn = 0

    def draw() -> Tensor:
        nonlocal drawn
        drawn += 1
        return torch.zeros(1)

    sampler, _ = find_sampler("Euler")
    assert sampler.sigma is not None
    tuning = Tuning(churn=2.0, churn_min=100.0)
    plain, churned = (
        last(sampler.sigma(toy, torch.ones(1), karras_sigmas(6, 0.03, 14.6), settings)).x
        for settings in (SamplerSettings(draw), SamplerSettings(draw, tuning=tuning))
    )
    assert drawn == 6
    assert torch.equal(plain, churned)


@pytest.mark.parametrize("name", ["Euler a", "DPM2 a", "DPM++ 2S a", "DPM++ SDE", "DDIM", "LCM"])
def test_the_factor_of_noise_is_honoured(name: str) -> None:
    sampler, _ = find_sampler(name)
    quiet = picture(sampler, (5,), tuning=Tuning(eta=0.0 if name != "LCM" else None, noise=1.0))
    silent = picture(sampler, (5,), tuning=Tuning(eta=1.0, noise=0.0))
    loud = picture(sampler, (5,), tuning=Tuning(eta=1.0))
    assert not torch.allclose(silent, loud, atol=1e-4)
    assert name == "LCM" or not torch.allclose(quiet, loud, atol=1e-4)


def test_consistency_models_answer_with_the_picture_itself() -> None:
    settled = plan("LCM", 4)

    def ask(x: Tensor, t: Tensor, sigma: float) -> Output:
        assert float(t) in (19 + 20 * torch.arange(50)).tolist()
        eps = (x * (sigma**2 + 1) ** 0.5 - 0.25) / sigma  # the clean latent is 0.25
        return Output(eps, eps)

    final = last(settled.run(ask, settled.begin(noise(3)()), noise(5)))
    assert torch.allclose(final.x, torch.full_like(final.x, 0.25), atol=1e-3)


def test_golden_runs_cover_every_sampler_in_sigma() -> None:
    runs = " ".join(GOLDEN["toy_samplers"])
    assert all(s.name in runs for s in SAMPLERS if s.kind == "sigma" and s.name != "LCM")


def test_a_denoiser_may_be_any_function() -> None:
    euler: Callable[..., Iterator[Step]] = find_sampler("Euler")[0].run
    levels = torch.tensor([1.0, 0.0])
    assert (
        last(euler(lambda x, s: x * 0, torch.ones(2), levels, SamplerSettings(none))).x.sum() == 0
    )
