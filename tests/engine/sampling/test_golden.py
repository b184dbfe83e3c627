"""Levels, timesteps and runs of samplers against those of A1111's web UI and k-diffusion."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from sampling_toys import GOLDEN, SHAPE, TABLE, last, noise, toy
from sfumato.engine.model import Family
from sfumato.engine.noise.brownian import brownian
from sfumato.engine.noise.generators import generator
from sfumato.engine.request import Tuning
from sfumato.engine.sampling.levels import sigmas
from sfumato.engine.sampling.registry import find_sampler
from sfumato.engine.sampling.sampler import SamplerSettings
from sfumato.engine.sampling.strength import picture_steps
from sfumato.engine.sampling.timesteps import timestep_grid


def test_the_table_of_levels_is_that_of_the_models() -> None:
    for key, alpha in GOLDEN["alphas_cumprod"].items():
        assert float(TABLE.alphas[int(key)]) == pytest.approx(alpha, rel=1e-7)
    for key, sigma in GOLDEN["sigma_table"].items():
        assert float(TABLE.sigmas[int(key)]) == pytest.approx(sigma, rel=1e-6)


def test_sigmas_and_timesteps_lead_to_each_other_as_in_k_diffusion() -> None:
    for sigma, t in GOLDEN["sigma_to_t"].items():
        assert float(TABLE.sigma_to_t(torch.tensor(float(sigma)))) == pytest.approx(t, abs=1e-5)
    for t, sigma in GOLDEN["t_to_sigma"].items():
        assert float(TABLE.t_to_sigma(torch.tensor(float(t)))) == pytest.approx(sigma, rel=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 10, 11, 20, 30])
def test_schedules_give_the_levels_of_a1111(steps: int) -> None:
    for label, told in GOLDEN[f"sigmas_n{steps}"].items():
        family: Family = "sdxl" if "SDXL" in label else "sd1"
        name = label.removesuffix(" (SDXL)")
        levels = sigmas(name, steps, TABLE, family=family, sampler="Euler")
        assert levels.tolist() == pytest.approx(told, abs=1e-5), label


def test_timestep_samplers_visit_the_timesteps_of_a1111() -> None:
    for steps, told in GOLDEN["timestep_grid(DDIM,PLMS,UniPC)"].items():
        assert timestep_grid(int(steps)).tolist() == told
    lengths = {steps: len(timestep_grid(int(steps))) for steps in GOLDEN["timestep_grid_length"]}
    assert lengths == GOLDEN["timestep_grid_length"]


@pytest.mark.parametrize(("key", "exact"), [("plain", False), ("fix_steps_or_hires", True)])
def test_painting_over_a_picture_runs_the_steps_of_a1111(key: str, exact: bool) -> None:
    for asked, told in GOLDEN["img2img"][key].items():
        steps, denoise = asked.split("@")
        assert list(picture_steps(int(steps), float(denoise), exact=exact)) == told


@dataclass(frozen=True)
class Run:
    sampler: str
    tuning: Tuning = Tuning()  # noqa: RUF009 - frozen
    steps: int = 12
    near: float = 1e-5


RUNS = {
    "Euler churn .5/N tmin0 tmaxinf s_noise1 (s_churn=2)": Run("Euler", Tuning(churn=2.0)),
    "Euler a eta .6": Run("Euler a", Tuning(eta=0.6)),
    "DPM fast n=12 eta1": Run("DPM fast", Tuning(eta=1.0)),
    "DPM fast n=12 eta0": Run("DPM fast", Tuning(eta=0.0)),
    # The size of the first steps follows from the rounding of a difference that is nearly 0: in
    # double precision the golden run itself would be 7e-5 away.
    "DPM adaptive eta0": Run("DPM adaptive", Tuning(eta=0.0), near=1e-4),
    "DPM adaptive eta1": Run("DPM adaptive", Tuning(eta=1.0), near=1e-4),
    "Restart 24 steps karras": Run("Restart", steps=24),
    "Restart 12 steps karras": Run("Restart"),
}


@pytest.mark.parametrize("label", [key for key in GOLDEN["toy_samplers"] if key != "setup"])
def test_samplers_end_where_those_of_k_diffusion_end(label: str) -> None:
    told = GOLDEN["toy_samplers"][label]
    run = RUNS.get(label) or Run(label.removesuffix(" (discard)"))
    sampler, _ = find_sampler(run.sampler)
    levels = sigmas("Karras", run.steps, TABLE, sampler=sampler)
    x = generator(3, "CPU").randn((1, *SHAPE)) * levels[0]
    motion = brownian([7], SHAPE, levels, "CPU")
    assert sampler.sigma is not None
    settings = SamplerSettings(noise(7), motion, run.tuning)
    found = last(sampler.sigma(toy, x, levels, settings)).x.double()
    assert found[0, 0, 0, :4].tolist() == pytest.approx(told["[0,0,0,:4]"], abs=run.near)
    assert float(found.sum()) == pytest.approx(told["sum"], abs=run.near, rel=run.near)
    assert float((found**2).sum()) == pytest.approx(told["sumsq"], rel=run.near)
