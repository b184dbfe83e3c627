"""Samplers against diffusers' schedulers, where those have the same formula.

Both go through our levels, since diffusers rounds the timesteps of most of its schedules, and what
the network says depends on sigma alone.
"""

from __future__ import annotations

from collections.abc import Callable

import diffusers
import pytest
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg
from diffusers.schedulers.scheduling_ddim import rescale_zero_terminal_snr
from torch import Tensor

from sampling_toys import TABLE, gaussian_eps, last, noise, toy
from sfumato.engine.denoiser.forms import predictor
from sfumato.engine.denoiser.guided import Output, rescaled
from sfumato.engine.request import Tuning
from sfumato.engine.sampling.discretisation import discretisation
from sfumato.engine.sampling.levels import sigmas
from sfumato.engine.sampling.registry import find_sampler
from sfumato.engine.sampling.sampler import SamplerSettings
from sfumato.engine.sampling.timesteps import timestep_grid

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
"""diffusers hands torch's tensors to numpy in a way that numpy 2 is going to drop"""

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
X = noise(3)()
KARRAS = sigmas("Karras", 15, TABLE, sampler="Euler")

Scheduler = diffusers.SchedulerMixin
Draw = Callable[[], Tensor]


def ours(name: str, levels: Tensor, draw: Draw | None = None) -> Tensor:
    """Our sampler over levels."""
    sampler, _ = find_sampler(name)
    assert sampler.sigma is not None
    drawn = draw or noise(7)
    settings = SamplerSettings(drawn, lambda a, b: drawn())
    return last(sampler.sigma(toy, X * levels[0], levels, settings)).x


def theirs(
    scheduler: Scheduler, levels: Tensor, *, unit: bool = False, draw: Draw | None = None
) -> Tensor:
    """A scheduler's run over the same levels; unit: it keeps x at unit variance."""
    scheduler.set_timesteps(len(levels) - 1)  # pyright: ignore
    scheduler.sigmas = levels  # pyright: ignore
    x = X * levels[0] / ((levels[0] ** 2 + 1).sqrt() if unit else 1)
    for t, sigma in zip(scheduler.timesteps, levels[:-1], strict=True):  # pyright: ignore
        scheduler.scale_model_input(x, t)  # pyright: ignore
        whole = x * (sigma**2 + 1).sqrt() if unit else x
        eps = (whole - toy(whole, sigma)) / sigma
        options = {"variance_noise": draw()} if draw else {}
        x = scheduler.step(eps, t, x, **options).prev_sample  # pyright: ignore
    return x


@pytest.mark.parametrize("schedule", ["Uniform", "Karras", "SGM Uniform"])
def test_euler_is_diffusers(schedule: str) -> None:
    levels = sigmas(schedule, 15, TABLE, sampler="Euler")
    found = theirs(diffusers.EulerDiscreteScheduler(**BETAS), levels)
    assert torch.allclose(ours("Euler", levels), found, atol=1e-5)


def test_lms_is_diffusers() -> None:
    found = theirs(diffusers.LMSDiscreteScheduler(**BETAS), KARRAS)
    assert torch.allclose(ours("LMS", KARRAS), found, atol=1e-4)


def test_euler_a_is_diffusers() -> None:
    scheduler, source = diffusers.EulerAncestralDiscreteScheduler(**BETAS), torch.Generator()
    scheduler.set_timesteps(15)
    scheduler.sigmas = KARRAS
    source.manual_seed(7)
    x = X * KARRAS[0]
    for t, sigma in zip(scheduler.timesteps, KARRAS[:-1], strict=True):
        scheduler.scale_model_input(x, t)
        x = scheduler.step((x - toy(x, sigma)) / sigma, t, x, generator=source).prev_sample
    assert torch.allclose(ours("Euler a", KARRAS), x, atol=1e-5)


@pytest.mark.parametrize("steps", [5, 15, 20])
def test_dpmpp_2m_is_diffusers(steps: int) -> None:
    levels = sigmas("Karras", steps, TABLE, sampler="DPM++ 2M")
    scheduler = diffusers.DPMSolverMultistepScheduler(**BETAS, use_karras_sigmas=True)
    assert torch.allclose(ours("DPM++ 2M", levels), theirs(scheduler, levels, unit=True), atol=2e-5)


@pytest.mark.parametrize(
    ("name", "form"), [("DPM++ 2M SDE", "midpoint"), ("DPM++ 2M SDE Heun", "heun")]
)
def test_dpmpp_2m_sde_is_diffusers(name: str, form: str) -> None:
    scheduler = diffusers.DPMSolverMultistepScheduler(
        **BETAS, use_karras_sigmas=True, algorithm_type="sde-dpmsolver++", solver_type=form
    )
    found = theirs(scheduler, KARRAS, unit=True, draw=noise(7))
    assert torch.allclose(ours(name, KARRAS), found, atol=2e-5)


@pytest.mark.parametrize("eta", [0.0, 0.7])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_ddim_is_diffusers_up_to_its_last_step(eta: float, prediction: str) -> None:
    scheduler = diffusers.DDIMScheduler(
        **BETAS,
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction,
    )
    scheduler.set_timesteps(20)
    ask, own, drawn = gaussian_eps(0.6), noise(7), noise(7)
    x = X
    for t in scheduler.timesteps[:-1]:
        sigma = float(TABLE.sigmas[t])
        output = ask(x, t, sigma).guided
        x = scheduler.step(output, int(t), x, eta=eta, variance_noise=drawn()).prev_sample
    sampler, _ = find_sampler("DDIM")
    assert sampler.timestep is not None
    predict = predictor(ask, TABLE, "v" if prediction == "v_prediction" else "epsilon")
    settings = SamplerSettings(own, tuning=Tuning(eta=eta))
    found = last(sampler.timestep(predict, X, timestep_grid(20), TABLE, settings)).x
    assert timestep_grid(20).flip(0).tolist() == scheduler.timesteps.tolist()
    assert torch.allclose(found, x, atol=2e-5)


@pytest.mark.parametrize("variant", ["bh1", "bh2"])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_unipc_is_diffusers(variant: str, order: int) -> None:
    seen: list[Tensor] = []
    sampler, _ = find_sampler("UniPC")
    assert sampler.timestep is not None
    ask = gaussian_eps(0.6)

    def noted(x: Tensor, t: Tensor, sigma: float) -> Output:
        seen.append(torch.tensor(sigma))
        return ask(x, t, sigma)

    predict = predictor(noted, TABLE, "epsilon")
    tuning = Tuning(unipc_order=order, unipc_variant=variant)  # pyright: ignore
    settings = SamplerSettings(noise(7), tuning=tuning, table=TABLE)
    final = last(sampler.timestep(predict, X, timestep_grid(12), TABLE, settings))

    scheduler = diffusers.UniPCMultistepScheduler(
        **BETAS, solver_order=order, solver_type=variant, use_karras_sigmas=True,
        final_sigmas_type="sigma_min",
    )  # fmt: skip
    scheduler.set_timesteps(len(seen))
    scheduler.sigmas = torch.stack([*seen, final.sigma])
    x = X
    for t, sigma in zip(scheduler.timesteps, seen, strict=True):
        x = scheduler.step(ask(x, t, float(sigma)).guided, t, x).prev_sample
    assert torch.allclose(final.x, x, atol=1e-4)


@pytest.mark.parametrize(
    ("schedule", "flag"),
    [("Karras", "use_karras_sigmas"), ("Exponential", "use_exponential_sigmas"),
     ("Beta", "use_beta_sigmas")],
)  # fmt: skip
def test_schedules_are_diffusers(schedule: str, flag: str) -> None:
    options = {flag: True}
    scheduler = diffusers.EulerDiscreteScheduler(**BETAS, timestep_spacing="linspace", **options)
    scheduler.set_timesteps(20)
    found = sigmas(schedule, 20, TABLE, sampler="Euler")
    assert torch.allclose(found, scheduler.sigmas, atol=1e-4)


def test_zero_terminal_snr_is_diffusers_but_for_the_last_level() -> None:
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    found = (1 - rescale_zero_terminal_snr(betas)).cumprod(0)
    table = discretisation(zero_snr=True)
    assert torch.allclose(table.alphas[:-1], found[:-1], atol=1e-5)
    assert (float(found[-1]), float(table.alphas[-1])) == (0.0, pytest.approx(4.8973e-08))


def test_rescaled_guidance_is_diffusers() -> None:
    guided, cond = noise(1)() * 5, noise(2)()
    found = rescale_noise_cfg(guided, cond, guidance_rescale=0.7)
    assert torch.allclose(rescaled(guided, cond, 0.7), found, atol=1e-5)
