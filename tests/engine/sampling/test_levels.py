"""Laws of noise levels and of the names of samplers and schedules."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sampling_toys import TABLE
from sfumato.engine.request import Tuning
from sfumato.engine.sampling.beta import cumulated, quantile
from sfumato.engine.sampling.discretisation import discretisation
from sfumato.engine.sampling.lcm import consistency_levels
from sfumato.engine.sampling.levels import resolve, sigmas
from sfumato.engine.sampling.registry import SAMPLERS, find_sampler, find_schedule
from sfumato.engine.sampling.sampler import Sampler
from sfumato.engine.sampling.schedules import SCHEDULES, Schedule
from sfumato.errors import UsageError

every_schedule = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s.alias)
every_sampler = pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: s.name)

shares = st.floats(1e-6, 1 - 1e-6)
shapes = st.floats(0.05, 20)


@given(shares, shapes, shapes)
def test_the_beta_distribution_is_scipys(x: float, a: float, b: float) -> None:
    assert cumulated(x, a, b) == pytest.approx(float(stats.beta.cdf(x, a, b)), abs=1e-10)


@settings(deadline=None)
@given(shares, st.floats(0.05, 9), st.floats(0.05, 9))
def test_its_quantiles_are_scipys(p: float, a: float, b: float) -> None:
    assert quantile(p, a, b) == pytest.approx(float(stats.beta.ppf(p, a, b)), abs=1e-9)


@pytest.mark.parametrize("ends", [(0.6, 0.6), (0.05, 0.05), (9.0, 0.2)])
def test_quantiles_reach_from_0_to_1(ends: tuple[float, float]) -> None:
    assert quantile(0.0, *ends) == 0.0
    assert quantile(1.0, *ends) == 1.0
    found = [quantile(i / 50, *ends) for i in range(51)]
    assert found == sorted(found)


@every_schedule
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 20, 40, 150])
def test_levels_fall(schedule: Schedule, steps: int) -> None:
    levels = sigmas(schedule.name, steps, TABLE, sampler="Euler")
    assert (levels[1:] < levels[:-1]).all()
    assert levels.dtype == torch.float32
    end = TABLE.sigma_min if schedule.alias == "kl_optimal" else 0.0
    assert float(levels[-1]) == pytest.approx(end, abs=1e-6)


@every_schedule
def test_levels_of_zero_terminal_snr_begin_in_noise_alone(schedule: Schedule) -> None:
    levels = sigmas(schedule.name, 20, discretisation(zero_snr=True), sampler="Euler")
    ends_early = schedule.alias in ("align_your_steps", "ddim")
    # KL Optimal in single precision: a tangent near a right angle
    told = float(levels[0]) if ends_early else pytest.approx(4518.8, rel=2e-3)
    assert float(levels[0]) == told


@pytest.mark.parametrize("sampler", [s for s in SAMPLERS if s.discard], ids=lambda s: s.name)
def test_discarding_leaves_the_smallest_level_out(sampler: Sampler) -> None:
    told = sigmas("Karras", 13, TABLE, sampler="Euler")
    levels = sigmas("Karras", 12, TABLE, sampler=sampler)
    assert levels.tolist() == [*told[:-2].tolist(), 0.0]
    asked = sigmas("Karras", 12, TABLE, Tuning(discard_penultimate=True), sampler="Euler")
    assert torch.equal(asked, levels)


def test_settings_move_the_ends_and_the_curve() -> None:
    asked = Tuning(sigma_min=0.1, sigma_max=8, rho=3)
    levels = sigmas("Karras", 5, TABLE, asked, sampler="Euler")
    ramp = torch.linspace(0, 1, 5)
    assert torch.allclose(levels[:-1], (2 + ramp * (0.1 ** (1 / 3) - 2)) ** 3)
    old = sigmas("Karras", 5, TABLE, Tuning(old_karras=True), sampler="Euler")
    assert old[[0, -2]].tolist() == pytest.approx([10, 0.1])
    uniform = sigmas("Uniform", 5, TABLE, asked, sampler="Euler")
    assert torch.equal(uniform, sigmas("Uniform", 5, TABLE, sampler="Euler"))


@every_sampler
def test_automatic_is_the_schedule_of_the_sampler(sampler: Sampler) -> None:
    own = sampler.schedule or "Automatic"
    if sampler.kind == "sigma":
        automatic = sigmas("Automatic", 10, TABLE, sampler=sampler)
        assert torch.equal(automatic, sigmas(own, 10, TABLE, sampler=sampler))
    found = resolve(sampler, "Automatic")
    assert (found.name if found else "") == sampler.schedule


@every_sampler
def test_every_name_of_a_sampler_finds_it(sampler: Sampler) -> None:
    for name in (sampler.name, *sampler.aliases, sampler.name.lower(), f" {sampler.name} "):
        assert find_sampler(name) == (sampler, None)


@every_sampler
@every_schedule
def test_a_name_may_end_in_a_schedule(sampler: Sampler, schedule: Schedule) -> None:
    if (sampler.name, schedule.alias) != ("DDIM", "ddim"):
        assert find_sampler(f"{sampler.name} {schedule.name}") == (sampler, schedule)


def test_names_are_unambiguous() -> None:
    names = [name.casefold() for s in SAMPLERS for name in (s.name, *s.aliases)]
    assert len(names) == len(set(names))
    assert find_sampler("k_dpmpp_2m_karras")[1] == find_schedule("karras")


@pytest.mark.parametrize(
    ("wrong", "near"),
    [("Euler A2", "Euler a"), ("dpm++ 2m carras", "DPM++ 2M"), ("unicp", "UniPC")],
)
def test_an_unknown_sampler_is_told_the_nearest(wrong: str, near: str) -> None:
    with pytest.raises(UsageError, match="no sampler") as caught:
        find_sampler(wrong)
    assert f"the nearest is {near}" in str(caught.value)


def test_an_unknown_schedule_is_told_the_nearest() -> None:
    assert find_schedule("Automatic") is find_schedule("") is None
    with pytest.raises(UsageError, match="the nearest is Karras"):
        find_schedule("karas\x1b[2J")
    with pytest.raises(UsageError, match="there are Automatic, Uniform"):
        find_schedule("☃")


def test_no_steps_are_refused() -> None:
    with pytest.raises(UsageError, match="at least 1 step"):
        sigmas("Karras", 0, TABLE, sampler="Euler")


@given(st.floats(0.0292, 14.6))
def test_sigma_to_timestep_and_back(sigma: float) -> None:
    there = TABLE.sigma_to_t(torch.tensor(sigma))
    assert float(TABLE.t_to_sigma(there)) == pytest.approx(sigma, rel=1e-4)


def test_a_quantized_table_knows_whole_timesteps_only() -> None:
    table = discretisation(quantize=True)
    found = table.sigma_to_t(torch.tensor([14.0, 1.0, 0.03, 99.0]))
    assert torch.equal(found, found.round())
    assert (found - TABLE.sigma_to_t(torch.tensor([14.0, 1.0, 0.03, 99.0]))).abs().max() <= 0.51


def test_half_alphas_are_those_of_old_versions() -> None:
    table = discretisation(half_alphas=True)
    assert torch.equal(table.alphas, TABLE.alphas.half().float())
    assert (table.alphas - TABLE.alphas).abs().max() < 1e-3


def test_alphas_between_timesteps_lie_between() -> None:
    whole = torch.arange(1000)
    assert torch.allclose(TABLE.alpha_at(whole), TABLE.alphas, rtol=1e-5)
    middle = TABLE.alpha_at(torch.tensor(500.5))
    assert float(middle) == pytest.approx(float(TABLE.alphas[500:502].log().mean().exp()), rel=1e-5)


def test_consistency_models_have_fifty_levels() -> None:
    table = consistency_levels(TABLE)
    assert table.times is not None
    assert table.times[[0, 1, -1]].tolist() == [19, 39, 999]
    assert float(table.sigma_to_t(torch.tensor(14.0))) == 999
    assert float(table.sigma_to_t(torch.tensor(0.0))) == 19
    levels = sigmas("Automatic", 4, TABLE, sampler="LCM")
    assert levels.tolist() == pytest.approx(
        [
            float(TABLE.sigmas[999]),
            *table.t_to_sigma(torch.tensor([672.3333, 345.6667, 19.0])).tolist(),
            0.0,
        ],
        rel=1e-3,
    )
