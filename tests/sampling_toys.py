"""Denoisers that need no network, and what samplers are given beside them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from sfumato.engine.denoiser import denoiser, masked, masked_predictor, predictor
from sfumato.engine.denoiser.guided import Output
from sfumato.engine.encoding.encoded import Encoding
from sfumato.engine.networks.attention import KeysValues
from sfumato.engine.noise.brownian import brownian
from sfumato.engine.noise.generators import generator
from sfumato.engine.noise.variation import PictureNoise
from sfumato.engine.painting.route import Route, first_latent, route
from sfumato.engine.request import Request, Rng
from sfumato.engine.sampling.discretisation import discretisation
from sfumato.engine.sampling.registry import find_sampler
from sfumato.engine.sampling.sampler import Sampler, SamplerSettings
from sfumato.engine.step import Denoiser, Step

Ask = Callable[[Tensor, Tensor, float], Output]
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


def gaussian_eps(deviation: float) -> Ask:
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


@dataclass(frozen=True)
class Plan:
    """A pass over a toy, routed as the painter routes it."""

    way: Route
    request: Request

    def begin(self, noise: Tensor, latent: Tensor | None = None) -> Tensor:
        """The first latent."""
        return first_latent(self.way, noise, latent, self.request)

    def run(
        self,
        ask: Ask,
        x: Tensor,
        draw: Callable[[], Tensor],
        *,
        seeds: Sequence[int] = (5,),
        mask: tuple[Tensor, Tensor] | None = None,
    ) -> Iterator[Step]:
        """Steps from x on; mask: the mask, and the clean latent outside it."""
        way, rng = self.way, self.request.rng
        motion = brownian(seeds, SHAPE, way.whole, rng) if way.sampler.brownian else None
        settings = SamplerSettings(draw, motion, self.request.tuning, way.table, way.over)
        if way.sampler.sigma is not None:
            denoise = denoiser(ask, way.table, "epsilon")
            denoise = masked(denoise, *mask) if mask else denoise
            return way.sampler.sigma(denoise, x, way.levels, settings)
        assert way.sampler.timestep is not None
        predict = predictor(ask, way.table, "epsilon")
        predict = masked_predictor(predict, *mask) if mask else predict
        return way.sampler.timestep(predict, x, way.levels, way.table, settings)


def plan(
    sampler: Sampler | str,
    steps: int = 20,
    *,
    schedule: str = "Automatic",
    denoise: float | None = None,
    exact: bool = False,
    **asked: object,
) -> Plan:
    """A pass of a model that is not there; `asked`: fields of the request."""
    found = find_sampler(sampler)[0] if isinstance(sampler, str) else sampler
    request = Request(**{"rng": "CPU", **asked})  # pyright: ignore
    model: Any = SimpleNamespace(family="sd1", zero_snr=False)
    way = route(found, schedule, steps, request, model, denoise=denoise, exact=exact)
    return Plan(way, request)


def picture(sampler: Sampler, seeds: Sequence[int], *, steps: int = 6, **asked: object) -> Tensor:
    """Pictures (b, c, h, w) of these seeds, painted together with a toy network."""
    settled = plan(sampler, steps, **asked)  # pyright: ignore
    drawn = PictureNoise(seeds, rng=settled.request.rng)
    x = settled.begin(drawn.first(SHAPE))
    return last(settled.run(gaussian_eps(0.7), x, drawn.next, seeds=seeds)).x


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
