"""Layers whose factors are computed beside them while they learn, as one product or kernel more."""

from __future__ import annotations

from operator import attrgetter
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import Parameter, functional
from torch.nn.utils import parametrize

from sfumato.engine.networks.convolution import Conv2d
from sfumato.training.kinds.factors import Factors, Site


class Beside:
    """A linear layer's call while it learns: x W + (x down) up, which never makes W + ΔW.

    Neither the changed weight is kept for the way back, nor its gradient computed. Measured on one
    core for a transformer block of rank 8, forwards and back, in milliseconds (frozen, so, with the
    weight made anew): 1006, 1081, 1095 at width 320 and 64² pixels; 320, 367, 436 at 640 and 32²;
    272, 317, 514 at 1280 and 16²; 86, 105, 272 at 8². Where nothing learns, the changed weight is
    used, made once (`parametrize.cached`).
    """

    def __init__(self, layer: nn.Linear, frozen: Tensor, factors: Factors) -> None:
        self.layer = layer
        self.frozen = frozen
        self.factors = factors

    def __call__(self, x: Tensor) -> Tensor:
        """(…, inputs) → (…, outputs)."""
        if not torch.is_grad_enabled():
            return functional.linear(x, self.layer.weight, self.layer.bias)
        out = functional.linear(x, self.frozen, self.layer.bias)
        if self.factors.thinning.skips():
            return out
        narrow = functional.linear(x, self.factors.slots["down"].to(x.dtype))
        narrow = self.factors.scale * self.factors.thinning.thinned(narrow, narrow.dim() - 1)
        up = self.factors.slots["up"].to(out.dtype)
        # Into the layer's own output, which nothing else needs: no second one of its width.
        return out.flatten(0, -2).addmm_(narrow.flatten(0, -2), up.mT).view(out.shape)


class BesideKernel:
    """A convolution's call while it learns and some of its change is left out."""

    def __init__(self, layer: Conv2d, frozen: Parameter, factors: Factors) -> None:
        self.layer = layer
        self.factors = factors
        self._plain = layer.forward  # reads the changed weight
        self._frozen = _with_kernel(layer, frozen, layer.bias)
        self._down = _with_kernel(layer, factors.slots["down"], None)

    def __call__(self, x: Tensor) -> Tensor:
        """(b, inputs, h, w) → (b, outputs, h', w')."""
        thinning = self.factors.thinning
        if not thinning.between:
            return self._plain(x)
        out = self._frozen(x)
        if thinning.skips():
            return out
        narrow = self.factors.scale * thinning.thinned(self._down(x), 1)
        return out + functional.conv2d(narrow, self.factors.slots["up"])


def _with_kernel(layer: Conv2d, kernel: Parameter, bias: Tensor | None) -> Conv2d:
    """A convolution that goes over a picture as `layer` does."""
    with torch.device("meta"):
        made = Conv2d(
            layer.in_channels, len(kernel), layer.kernel_size[0],
            stride=layer.stride[0], bias=bias is not None, around=layer.around,
        )  # fmt: skip
    made.weight, made.bias = kernel, bias
    return made


def attach(site: Site, factors: Factors) -> None:
    """Let `factors` act on their weight from now on."""
    layer = site.owner
    frozen = cast(Parameter, attrgetter(site.name)(layer))
    parametrize.register_parametrization(layer, site.name, factors, unsafe=True)
    if not factors.plain:
        return
    if isinstance(layer, nn.Linear):
        layer.forward = Beside(layer, frozen, factors)  # pyright: ignore[reportAttributeAccessIssue]
    elif isinstance(layer, Conv2d) and factors.thinning.between:
        layer.forward = BesideKernel(layer, frozen, factors)  # pyright: ignore[reportAttributeAccessIssue]
