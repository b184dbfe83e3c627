"""What a UNet is trained to minimise: noise at a random level, predicted."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sfumato.engine.sampling.discretisation import Discretisation
from sfumato.training.randomness import generator, normal
from sfumato.training.settings import Objective


@dataclass(frozen=True, slots=True)
class Noisy:
    """A batch of noisy latents, and what is to be said of them."""

    x: Tensor
    """(b, 4, h, w): √ᾱ z + √(1 - ᾱ) ε"""
    timesteps: Tensor
    """(b,), whole numbers as floats"""
    target: Tensor
    """(b, 4, h, w): ε, or v = √ᾱ ε - √(1 - ᾱ) z"""
    weights: Tensor
    """(b,), of each error"""


def timesteps(count: int, steps: int, seed: int, place: int, *, stratified: bool) -> Tensor:
    """Random whole timesteps (count,) in [0, steps), spread over the range where `stratified`."""
    draw = generator(seed, "timestep", place)
    u = torch.rand(count, generator=draw)
    if stratified:
        u = (torch.randperm(count, generator=draw) + u) / count
    return (u * steps).long().clamp(max=steps - 1)


def noise(shape: tuple[int, ...], seed: int, samples: list[int], offset: float) -> Tensor:
    """One noise (c, h, w) for each sample, on the CPU; `offset` shifts whole channels at random."""
    drawn = [normal(shape, seed, "noise", sample) for sample in samples]
    if offset:
        drawn = [
            each + offset * normal((shape[0], 1, 1), seed, "offset", sample)
            for each, sample in zip(drawn, samples, strict=True)
        ]
    return torch.stack(drawn)


def noised(
    latents: Tensor, eps: Tensor, t: Tensor, levels: Discretisation, *,
    prediction: str, objective: Objective,
) -> Noisy:  # fmt: skip
    """Latents (b, 4, h, w) at timesteps (b,), on their device."""
    alphas = levels.alphas[t].to(latents.device)
    a, s = (part[:, None, None, None] for part in (alphas.sqrt(), (1 - alphas).sqrt()))
    target = a * eps - s * latents if prediction == "v" else eps
    return Noisy(
        a * latents + s * eps,
        t.to(latents.device, torch.float32),
        target,
        snr_weights(alphas, prediction, objective.min_snr),
    )


def snr_weights(alphas: Tensor, prediction: str, gamma: float) -> Tensor:
    """Min-SNR weights (Hang et al. 2023, https://arxiv.org/abs/2303.09556); ones for gamma 0.

    min(SNR, γ) / SNR for ε, min(SNR, γ) / (SNR + 1) for v.
    """
    if not gamma:
        return torch.ones_like(alphas)
    snr = alphas / (1 - alphas)
    limited = snr.clamp(max=gamma)
    return limited / (snr + 1) if prediction == "v" else limited / snr.clamp(min=1e-8)


def error(predicted: Tensor, noisy: Noisy, weights: Tensor | None = None) -> Tensor:
    """The loss (): squared errors averaged over each latent, weighted, averaged over the batch."""
    each = (predicted.float() - noisy.target.float()).square().mean(dim=(1, 2, 3))
    weighted = each * noisy.weights
    return (weighted if weights is None else weighted * weights).mean()
