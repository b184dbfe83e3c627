"""Denoisers that need no network, and what samplers are given beside them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sfumato.engine.denoiser.guided import Output
from sfumato.engine.encoding.encoded import Encoding
from sfumato.engine.networks.attention import KeysValues
from sfumato.engine.noise.brownian import brownian
from sfumato.engine.noise.generators import generator
from sfumato.engine.noise.variation import PictureNoise
from sfumato.engine.request import Rng, Tuning
from sfumato.engine.sampling.course import course
from sfumato.engine.sampling.discretisation import Discretisation, discretisation
from sfumato.engine.sampling.sampler import Sampler
from sfumato.engine.step import Denoiser, Step

GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).parent / "data" / "golden" / "sampling.json").read_text("utf-8")
)
SHAPE = (4, 8, 8)
TABLE = discretisation()


def toy(x: Tensor, sigma: Tensor) -> Tensor:
    """The denoiser that the golden runs were made with."""
    unit = x / (1 + sigma)
    return 0.7 * torch.tanh(unit) + 0.05 * torch.sin(3 * unit)


def gaussian(deviation: float) -> Denoiser:
    """The ideal denoiser of pictures that are noise of this deviation."""
    return lambda x, sigma: x * deviation**2 / (deviation**2 + sigma**2)


def gaussian_eps(deviation: float) -> Callable[[Tensor, Tensor, float], Output]:
    """The same, as a network that predicts noise from x of unit variance."""

    def predict(x: Tensor, t: Tensor, sigma: float) -> Output:
        scale = (sigma**2 + 1) ** 0.5
        eps = x * scale * sigma / (deviation**2 + sigma**2)
        return Output(eps, eps)

    return predict


def noise(seed: int, rng: Rng = "CPU") -> Callable[[], Tensor]:
    """Noise of one picture, as samplers draw it."""
    source = generator(seed, rng)
    return lambda: source.randn((1, *SHAPE))


def picture(
    sampler: Sampler,
    seeds: Sequence[int],
    *,
    steps: int = 6,
    tuning: Tuning | None = None,
    rng: Rng = "CPU",
    table: Discretisation = TABLE,
) -> Tensor:
    """Pictures (b, c, h, w) of these seeds, painted together with a toy network."""
    plan = course(sampler, "Automatic", steps, table, tuning=tuning)
    drawn = PictureNoise(seeds, rng=rng)
    x = plan.begin(drawn.first(SHAPE))
    levels = plan.whole.float()
    motion = brownian(seeds, SHAPE, levels, rng) if sampler.brownian else None
    run = plan.run(gaussian_eps(0.7), x, drawn.next, brownian=motion)
    return last(run).x


def last(steps: object) -> Step:
    """The last step of a run."""
    *_, final = steps  # pyright: ignore
    return final


class ToyNetwork:
    """A network whose prediction is the sum of all that it is told; it notes what it was asked."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.texts: list[tuple[float, ...]] = []
        self.projected = 0

    def __call__(
        self, x: Tensor, timesteps: Tensor, context: KeysValues, y: Tensor | None = None, /
    ) -> Tensor:
        """Channels beyond the fourth, the text's mean and the labels are added to x."""
        keys = context.layers[0][0]
        self.batches.append(len(x))
        self.texts.append(tuple(keys.flatten(1)[:, 0].tolist()))
        extra = x[:, 4:].sum(1, keepdim=True)
        text = keys.mean((1, 2, 3))[:, None, None, None]
        labels = 0 if y is None else y.sum(1)[:, None, None, None]
        return x[:, :4] * 0.1 + extra + text + labels + timesteps[:, None, None, None] / 1000

    def project(self, context: Tensor) -> KeysValues:
        """The text itself, as one head."""
        self.projected += 1
        return KeysValues(((context[:, None], context[:, None]),))


def text(value: float, chunks: int = 1, label: float | None = None) -> Encoding:
    """A text that is one number."""
    vector = None if label is None else torch.full((1, 3), label)
    return Encoding(torch.full((1, 77 * chunks, 2), value), vector)
