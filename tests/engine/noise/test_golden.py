"""Noise against the numbers that A1111's web UI, torch and torchsde draw."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from sampling_toys import GOLDEN
from sfumato.engine.noise.brownian import BrownianTree, brownian
from sfumato.engine.noise.generators import generator
from sfumato.engine.noise.philox import normal
from sfumato.engine.noise.variation import PictureNoise
from sfumato.engine.request import Rng, Variation

SHAPE = (4, 8, 8)


def test_the_numbers_are_those_beside_the_project(shared: Path) -> None:
    beside = json.loads((shared / "golden" / "generation.json").read_text("utf-8"))
    assert {key: beside[key] for key in GOLDEN} == GOLDEN


@pytest.mark.parametrize("seed", GOLDEN["philox_nv_4x8x8"])
def test_philox_is_cudas_to_the_last_digit(seed: str) -> None:
    told = GOLDEN["philox_nv_4x8x8"][seed]
    first, second = normal(int(seed), 0, 256), normal(int(seed), 1, 256)
    assert first[:6].tolist() == told["call1[:6]"]
    assert float(first.astype(np.float64).sum()) == told["call1_sum"]
    assert second[:4].tolist() == told["call2[:4]"]


def test_philox_draws_a_whole_latent() -> None:
    told = GOLDEN["philox_nv_4x64x64_seed42"]
    drawn = generator(42, "NV").randn((4, 64, 64))
    assert drawn[0, 0, :4].tolist() == told["[0,0,:4]"]
    assert drawn[3, 63, -4:].tolist() == told["[3,63,-4:]"]
    assert float(drawn.double().sum()) == pytest.approx(told["sum"], abs=1e-5)


@pytest.mark.parametrize("seed", GOLDEN["torch_cpu_4x8x8"])
@pytest.mark.parametrize("rng", ["CPU", "GPU"])
def test_without_a_gpu_noise_is_torchs(seed: str, rng: Rng) -> None:
    told = GOLDEN["torch_cpu_4x8x8"][seed]
    source = generator(int(seed), rng, torch.device("cpu"))
    for call in ("call1[:4]", "call2[:4]"):
        assert source.randn(SHAPE).flatten()[:4].tolist() == pytest.approx(told[call], abs=1e-6)


def test_a_variation_lies_on_the_arc() -> None:
    told = GOLDEN["variation_slerp_0.3_torchcpu_seed1_subseed2_4x8x8"]
    mixed = PictureNoise([1], [2], Variation(2, 0.3), "CPU").first(SHAPE)[0]
    assert mixed[0, 0, :4].tolist() == pytest.approx(told["[0,0,:4]"], abs=1e-6)
    assert float(mixed.double().sum()) == pytest.approx(told["sum"], abs=1e-5)


def tree() -> BrownianTree:
    ends = [float(np.float32(end)) for end in (0.0292, 14.6146)]
    return BrownianTree(42, ends[0], ends[1], lambda seed: generator(seed, "CPU").randn(SHAPE))


@pytest.mark.parametrize(
    ("ends", "key", "place"),
    [
        ((10, 14.6146), "W(10,14.6146)[0,0,:4]", (0, 0, slice(4))),
        ((5, 10), "W(5,10)[0,0,:4]", (0, 0, slice(4))),
        ((0.1, 1), "W(.1,1)[3,7,-4:]", (3, 7, slice(-4, None))),
    ],
)
def test_brownian_motion_is_torchsdes(
    ends: tuple[float, float], key: str, place: tuple[int, int, slice]
) -> None:
    told = GOLDEN["brownian_tree_cpu"][key]
    assert tree().increment(*ends)[place].tolist() == pytest.approx(told, abs=1e-6)


def test_noise_of_a_step_is_minus_the_increment_by_its_deviation() -> None:
    told = GOLDEN["brownian_noise_sampler"]
    levels = torch.tensor([14.6146, 0.0292, 0.0])
    draw = brownian([42], SHAPE, levels, "CPU")
    first = draw(torch.tensor(10.0), torch.tensor(5.0))
    second = draw(torch.tensor(1.0), torch.tensor(0.1))
    assert first[0, 0, 0, :4].tolist() == pytest.approx(told["(10,5)[0,0,0,:4]"], abs=1e-6)
    assert second[0, 3, 7, -4:].tolist() == pytest.approx(told["(1,.1)[0,3,7,-4:]"], abs=1e-6)
