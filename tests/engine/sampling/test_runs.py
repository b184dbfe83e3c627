"""Laws of a pass of any sampler: where it begins, which levels it runs, masks and extra noise."""

from __future__ import annotations

import pytest
import torch
from PIL import Image
from torch import Tensor

from sampling_toys import GOLDEN, SHAPE, TABLE, gaussian_eps, last, noise, plan
from sfumato.engine.denoiser.guided import Output
from sfumato.engine.request import Init, Tuning
from sfumato.engine.sampling.registry import SAMPLERS
from sfumato.engine.sampling.sampler import Sampler
from sfumato.engine.sampling.timesteps import timestep_grid

NOISE = noise(1)()
PICTURE = torch.full((1, *SHAPE), 0.5)
every_sampler = pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: s.name)


def test_painting_from_noise_begins_at_the_highest_level() -> None:
    euler = plan("Euler")
    assert torch.equal(euler.begin(NOISE), NOISE * euler.way.levels[0])
    stronger = plan("Euler", tuning=Tuning(sgm_noise=True))
    assert torch.allclose(stronger.begin(NOISE), NOISE * (1 + euler.way.levels[0] ** 2).sqrt())
    assert torch.equal(plan("DDIM").begin(NOISE), NOISE)


@pytest.mark.parametrize(("key", "exact"), [("plain", False), ("fix_steps_or_hires", True)])
def test_painting_over_a_picture_takes_as_many_steps_as_a1111(key: str, exact: bool) -> None:
    for asked, (length, last_step) in GOLDEN["img2img"][key].items():
        steps, denoise = int(asked.split("@")[0]), float(asked.split("@")[1])
        euler = plan("Euler", steps, denoise=denoise, exact=exact)
        assert euler.way.steps == last_step + 1
        assert len(euler.way.whole) == length + 1
        ddim = plan("DDIM", steps, denoise=denoise, exact=exact)
        assert torch.equal(ddim.way.levels, timestep_grid(length)[:last_step])


def test_a_picture_is_met_at_its_level_of_noise() -> None:
    euler = plan("Euler", denoise=0.75)
    assert euler.way.steps == 16
    sigma = euler.way.whole[4]
    assert torch.equal(euler.begin(NOISE, PICTURE), PICTURE + NOISE * sigma)
    init = Init(Image.new("RGB", (64, 64)), noise=2.0, extra_noise=0.25)
    more = plan("Euler", denoise=0.75, init=init).begin(NOISE, PICTURE)
    assert torch.allclose(more, PICTURE + 2 * NOISE * (sigma + 0.25))


def test_samplers_in_timesteps_meet_it_one_step_above_the_first() -> None:
    ddim = plan("DDIM", denoise=0.5)
    a = TABLE.alphas[timestep_grid(20)[10]]
    assert torch.allclose(ddim.begin(NOISE, PICTURE), PICTURE * a.sqrt() + NOISE * (1 - a).sqrt())
    assert int(ddim.way.levels[-1]) == 451


@every_sampler
def test_nothing_to_paint_is_no_step(sampler: Sampler) -> None:
    assert plan(sampler, denoise=0.0, exact=True).way.steps == 0


@every_sampler
@pytest.mark.parametrize("denoise", [0.0, 0.05, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("steps", [1, 7, 20])
def test_every_strength_gives_a_picture(sampler: Sampler, denoise: float, steps: int) -> None:
    settled = plan(sampler, steps, denoise=denoise)
    x = settled.begin(NOISE, PICTURE)
    found = [x]
    if settled.way.steps:
        found += [step.x for step in settled.run(gaussian_eps(0.5), x, noise(2))]
    assert torch.isfinite(found[-1]).all()
    assert sampler.alone or sampler.name == "DPM fast" or len(found) - 1 == settled.way.steps


@every_sampler
def test_outside_a_mask_the_picture_comes_back(sampler: Sampler) -> None:
    mask = torch.zeros(1, 1, *SHAPE[1:])
    mask[..., :4] = 1
    shown: list[Tensor] = []

    def ask(x: Tensor, t: Tensor, sigma: float) -> Output:
        shown.append(x)
        return gaussian_eps(0.5)(x, t, sigma)

    settled = plan(sampler, 12, denoise=0.9)
    x = settled.begin(NOISE, PICTURE)
    run = settled.run(ask, x, noise(2), mask=(mask, PICTURE))
    final = last(run)
    if sampler.kind == "sigma":
        assert torch.allclose(final.denoised[..., 4:], PICTURE[..., 4:], atol=1e-4)
        near = TABLE.sigma_min * 5 if sampler.name.startswith("DPM ") else 1e-4
        assert torch.allclose(final.x[..., 4:], PICTURE[..., 4:], atol=near)
    else:
        assert all(torch.equal(x[..., 4:], PICTURE[..., 4:]) for x in shown)


def test_a_longer_schedule_than_the_model_has_levels_is_no_trap() -> None:
    for name in ("Euler", "DDIM", "UniPC"):
        settled = plan(name, 1200, denoise=0.9)
        assert len(settled.way.levels)
    assert len(plan("Euler", 1200, schedule="DDIM", denoise=0.5).way.levels) > 1


def test_one_more_timestep_is_made_where_the_last_but_one_is_left_out() -> None:
    settled = plan("DDIM", 19, tuning=Tuning(discard_penultimate=True))
    assert torch.equal(settled.way.levels, timestep_grid(20))
