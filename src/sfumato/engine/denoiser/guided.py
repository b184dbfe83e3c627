"""Guidance: one prediction of the network for every condition, weighed against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from sfumato.engine.encoding.encoded import Encoding
from sfumato.engine.networks.attention import KeysValues
from sfumato.engine.request import Guidance

Timed = tuple[tuple[int, Encoding], ...]
"""encodings, each with the last call of the network that it is for; the last one goes on"""

Composed = tuple[tuple[float, Timed], ...]
"""the parts of a prompt that AND joins, each with its weight"""

_KEPT = 16
"""projected texts that are kept: an alternation comes back to its options"""


class Network(Protocol):
    """What guidance asks of a UNet."""

    def __call__(
        self, x: Tensor, timesteps: Tensor, context: KeysValues, y: Tensor | None = None, /
    ) -> Tensor:
        """(b, inputs, h, w), (b,), a text, (b, labels) → (b, outputs, h, w)."""
        ...

    def project(self, context: Tensor) -> KeysValues:
        """A text (b, n, width) as every layer reads it."""
        ...


class Output(NamedTuple):
    """What the network says, in its own terms: noise or v; float32."""

    guided: Tensor
    """(b, c, h, w)"""
    uncond: Tensor
    """without the prompt; `guided` itself where that call was left out"""


class _Ask(NamedTuple):
    """One question to the network."""

    encoding: Encoding
    extra: Tensor | None


@dataclass(slots=True, eq=False, kw_only=True)
class Guided:
    """A network that is asked about a prompt: its state is how often, for that decides the text.

    One of these is made for every pass. It holds the texts as the network's layers read them,
    computed once each, so adapters must be attached before and stay for the pass.
    """

    network: Network
    positive: Composed
    negative: Timed
    guidance: Guidance
    extra: Tensor | None = None
    """(1 or b, c, h, w), channels beside the latent, which inpainting and editing models take"""
    edits: bool = False
    """InstructPix2Pix: the picture in `extra` has a weight of its own"""
    together: bool = False
    """conditions of equal length go through the network as one batch, which takes more memory.
    Quicker also on a CPU, the more so the smaller the picture: measured with SD1's UNet in fp32,
    by a quarter at 256², by an eighth at 512²."""
    total: int = 0
    """calls that are expected in this pass, for `Guidance.skip_early`"""
    factor: float = 1.0
    """what the CFG scale is multiplied with (`Sampler.cfg_factor`)"""
    calls: int = 0
    """how often it was asked"""
    _projected: dict[tuple[Encoding, ...], KeysValues] = field(default_factory=dict, init=False)

    def __call__(self, x: Tensor, t: Tensor, sigma: float) -> Output:
        """Predict from x (b, c, h, w), scaled to unit variance, at timestep t () and its sigma."""
        call, self.calls = self.calls, self.calls + 1
        parts = [(weight, _current(timed, call)) for weight, timed in self.positive]
        against = _current(self.negative, call)
        if self.edits:
            return self._edited(x, t, parts[0][1], against)
        asks = [_Ask(encoding, self.extra) for _, encoding in parts]
        skips = self._skips(call, sigma) or self._outweighed(parts)
        answers = self._ask(x, t, asks if skips else [*asks, _Ask(against, self.extra)])
        weights = [weight for weight, _ in parts]
        if skips:
            # As in A1111's web UI the first part then stands in for the negative prompt.
            alone = combined(answers[0], answers, weights, 1.0)
            return Output(alone, alone)
        *conds, uncond = answers
        scale = self.guidance.scale * self.factor
        guided = combined(uncond, conds, weights, scale)
        if self.guidance.rescale:
            cond = combined(uncond, conds, weights, 1.0)
            guided = rescaled(guided, cond, self.guidance.rescale)
        return Output(guided, uncond)

    def _edited(self, x: Tensor, t: Tensor, encoding: Encoding, against: Encoding) -> Output:
        """Equation 3 of Brooks et al. (2022), https://arxiv.org/abs/2211.09800."""
        assert self.extra is not None, "an editing model has a picture to edit"
        blank = torch.zeros_like(self.extra)
        asks = [_Ask(encoding, self.extra), _Ask(against, self.extra), _Ask(against, blank)]
        cond, picture, uncond = self._ask(x, t, asks)
        scale, image_scale = self.guidance.scale * self.factor, self.guidance.image_scale
        guided = uncond + scale * (cond - picture) + image_scale * (picture - uncond)
        return Output(guided, uncond)

    def _skips(self, call: int, sigma: float) -> bool:
        """Whether the negative prompt is left out of this call."""
        guidance = self.guidance
        if guidance.skip_early and call <= guidance.skip_early * self.total:
            return True
        return sigma < guidance.skip_below and (guidance.skip_all or call % 2 == 1)

    def _outweighed(self, parts: Sequence[tuple[float, Encoding]]) -> bool:
        """Whether the negative prompt has no weight: CFG scale 1, which distilled models want.

        CFG++ asks for its noise nevertheless.
        """
        return len(parts) == 1 and parts[0][0] == self.guidance.scale == self.factor == 1.0

    def _ask(self, x: Tensor, t: Tensor, asks: Sequence[_Ask]) -> list[Tensor]:
        """Answers (b, c, h, w) to every question, each different one asked once."""
        different = list(dict.fromkeys(asks))
        alike = len({ask.encoding.context.shape for ask in different}) == 1
        batches = [different] if self.together and alike else [[ask] for ask in different]
        answers: dict[_Ask, Tensor] = {}
        for batch in batches:
            outputs = self._answer(x, t, batch).chunk(len(batch))
            answers |= zip(batch, outputs, strict=True)
        return [answers[ask] for ask in asks]

    def _answer(self, x: Tensor, t: Tensor, asks: Sequence[_Ask]) -> Tensor:
        """Answers (n · b, c, h, w) to n questions, from one call of the network."""
        pictures, dtype = len(x), asks[0].encoding.context.dtype
        inputs = torch.cat([_with_channels(x, ask.extra) for ask in asks])
        vectors = [ask.encoding.vector for ask in asks]
        y = torch.cat(
            [v.expand(pictures, -1) for v in vectors if v is not None] or [x.new_empty(0)]
        )
        output = self.network(
            inputs.to(dtype),
            t.to(x.device, torch.float32).expand(len(inputs)),
            self._text(tuple(ask.encoding for ask in asks), pictures),
            y.to(dtype) if len(y) else None,
        )
        return output.float()

    def _text(self, encodings: tuple[Encoding, ...], pictures: int) -> KeysValues:
        """Encodings as the network's layers read them; one alone serves all pictures."""
        if encodings not in self._projected:
            contexts = [encoding.context for encoding in encodings]
            context = torch.cat(contexts)
            if len(contexts) > 1:
                context = context.repeat_interleave(pictures, dim=0)
            if len(self._projected) >= _KEPT:
                del self._projected[next(iter(self._projected))]
            self._projected[encodings] = self.network.project(context)
        return self._projected[encodings]


def combined(
    uncond: Tensor, conds: Sequence[Tensor], weights: Sequence[float], scale: float
) -> Tensor:
    """Classifier-free guidance by every part of a prompt: uncond + Σ weight · scale · change.

    Ho and Salimans (2022), https://arxiv.org/abs/2207.12598; the sum is that of Liu et al. (2022),
    https://arxiv.org/abs/2206.01714.
    """
    out = uncond
    for cond, weight in zip(conds, weights, strict=True):
        out = out + weight * scale * (cond - uncond)
    return out


def rescaled(guided: Tensor, cond: Tensor, share: float) -> Tensor:
    """`guided` with the spread of `cond`, each picture by itself; `share` of it.

    Equations 15 and 16 of Lin et al. (2023), https://arxiv.org/abs/2305.08891.
    """
    whole = tuple(range(1, guided.dim()))
    ratio = cond.std(whole, keepdim=True) / guided.std(whole, keepdim=True)
    return guided * (share * ratio + (1 - share))


def _current(timed: Timed, call: int) -> Encoding:
    """The first encoding that holds until this call or later; past all of them, the last.

    A1111's web UI falls back to the first one there, which only DPM adaptive shows.
    """
    return next((encoding for end, encoding in timed if call <= end), timed[-1][1])


def _with_channels(x: Tensor, extra: Tensor | None) -> Tensor:
    """x (b, c, h, w) and the channels beside it."""
    if extra is None:
        return x
    return torch.cat([x, extra.to(x.device, x.dtype).expand(len(x), -1, -1, -1)], dim=1)
