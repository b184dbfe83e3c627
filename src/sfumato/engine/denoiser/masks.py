"""Inpainting with any model: what is outside the mask is put back at every step."""

from __future__ import annotations

from torch import Tensor

from sfumato.engine.step import Denoiser, Predicted, Predictor


def blended(x: Tensor, mask: Tensor, original: Tensor) -> Tensor:
    """x where `mask` is 1, `original` where it is 0; mask (1 or b, 1, h, w)."""
    return x * mask + original * (1 - mask)


def masked(denoise: Denoiser, mask: Tensor, original: Tensor) -> Denoiser:
    """A denoiser whose estimate is `original` (1 or b, c, h, w) outside the mask."""

    def inside(x: Tensor, sigma: Tensor) -> Tensor:
        return blended(denoise(x, sigma), mask, original)

    return inside


def masked_predictor(predict: Predictor, mask: Tensor, original: Tensor) -> Predictor:
    """A predictor that is shown the clean `original` outside the mask.

    This is how A1111's web UI inpaints with DDIM, PLMS and UniPC.
    """

    def inside(x: Tensor, t: Tensor) -> Predicted:
        return predict(blended(x, mask, original), t)

    return inside
