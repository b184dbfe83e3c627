"""Laws of the course of a pass: where it begins, which levels it runs, masks and extra noise."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sampling_toys import GOLDEN, SHAPE, TABLE, gaussian_eps, last, noise
from sfumato.engine.denoiser.guided import Output
from sfumato.engine.noise.brownian import brownian
from sfumato.engine.request import Tuning
from sfumato.engine.sampling.course import Course, course
from sfumato.engine.sampling.registry import SAMPLERS, find_sampler
from sfumato.engine.sampling.sampler import Sampler
from sfumato.engine.sampling.timesteps import timestep_grid

NOISE = noise(1)()
PICTURE = torch.full((1, *SHAPE), 0.5)
every_sampler = pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: s.name)


def plan(name: str, steps: int = 20, **options: object) -> Course:
    return course(find_sampler(name)[0], "Automatic", steps, TABLE, **options)  # pyright: ignore


def test_painting_from_noise_begins_at_the_highest_level() -> None:
    euler = plan("Euler")
    assert torch.equal(euler.begin(NOISE), NOISE * euler.levels[0])
    stronger = plan("Euler", tuning=Tuning(sgm_noise=True))
    assert torch.allclose(stronger.begin(NOISE), NOISE * (1 + euler.levels[0] ** 2).sqrt())
    assert torch.equal(plan("DDIM").begin(NOISE), NOISE)


@pytest.mark.parametrize(("key", "exact"), [("plain", False), ("fix_steps_or_hires", True)])
def test_painting_over_a_picture_takes_as_many_steps_as_a1111(key: str, exact: bool) -> None:
    for asked, (length, last_step) in GOLDEN["img2img"][key].items():
        steps, denoise = int(asked.split("@")[0]), float(asked.split("@")[1])
        euler = plan("Euler", steps, denoise=denoise, exact=exact)
        assert euler.steps == last_step + 1
        assert len(euler.whole) == length + 1
        ddim = plan("DDIM", steps, denoise=denoise, exact=exact)
        assert torch.equal(ddim.levels, timestep_grid(length)[:last_step])


def test_a_picture_is_met_at_its_level_of_noise() -> None:
    euler = plan("Euler", denoise=0.75)
    assert euler.steps == 16
    sigma = euler.whole[4]
    assert torch.equal(euler.begin(NOISE, PICTURE), PICTURE + NOISE * sigma)
    more = euler.begin(NOISE, PICTURE, extra_noise=0.25)
    assert torch.allclose(more, PICTURE + NOISE * (sigma + 0.25))


def test_samplers_in_timesteps_meet_it_one_step_above_the_first() -> None:
    ddim = plan("DDIM", denoise=0.5)
    a = TABLE.alphas[timestep_grid(20)[10]]
    assert torch.allclose(ddim.begin(NOISE, PICTURE), PICTURE * a.sqrt() + NOISE * (1 - a).sqrt())
    assert int(ddim.levels[-1]) == 451


@every_sampler
def test_nothing_to_paint_leaves_the_picture(sampler: Sampler) -> None:
    settled = course(sampler, "Automatic", 20, TABLE, denoise=0.0, exact=True)
    assert settled.steps == 0
    x = settled.begin(NOISE, PICTURE)
    assert torch.equal(x, PICTURE)
    motion = (lambda a, b: NOISE) if sampler.brownian else None
    assert list(settled.run(gaussian_eps(0.5), x, noise(2), brownian=motion)) == []


@every_sampler
@pytest.mark.parametrize("denoise", [0.0, 0.05, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("steps", [1, 7, 20])
def test_every_strength_gives_a_picture(sampler: Sampler, denoise: float, steps: int) -> None:
    settled = course(sampler, "Automatic", steps, TABLE, denoise=denoise)
    motion = brownian([5], SHAPE, settled.whole) if sampler.brownian else None
    x = settled.begin(NOISE, PICTURE)
    found = [x, *(s.x for s in settled.run(gaussian_eps(0.5), x, noise(2), brownian=motion))]
    assert torch.isfinite(found[-1]).all()
    assert sampler.alone or sampler.name == "DPM fast" or len(found) - 1 == settled.steps


@every_sampler
def test_outside_a_mask_the_picture_comes_back(sampler: Sampler) -> None:
    mask = torch.zeros(1, 1, *SHAPE[1:])
    mask[..., :4] = 1
    shown: list[Tensor] = []

    def ask(x: Tensor, t: Tensor, sigma: float) -> Output:
        shown.append(x)
        return gaussian_eps(0.5)(x, t, sigma)

    settled = course(sampler, "Automatic", 12, TABLE, denoise=0.9)
    motion = brownian([5], SHAPE, settled.whole) if sampler.brownian else None
    x = settled.begin(NOISE, PICTURE)
    run = settled.run(ask, x, noise(2), brownian=motion, mask=(mask, PICTURE))
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
        assert len(settled.levels)
    assert len(course(find_sampler("Euler")[0], "DDIM", 1200, TABLE, denoise=0.5).levels) > 1


def test_one_more_timestep_is_made_where_the_last_but_one_is_left_out() -> None:
    settled = plan("DDIM", 19, tuning=Tuning(discard_penultimate=True))
    assert torch.equal(settled.levels, timestep_grid(20))
