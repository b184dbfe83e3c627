"""Less memory for more time: blocks whose inner values are computed again for their gradients."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import (
    checkpoint,  # pyright: ignore[reportUnknownVariableType]
)

from sfumato.engine.networks.clip import Layer
from sfumato.engine.networks.openclip import Block
from sfumato.engine.networks.vae import ResnetBlock

BLOCKS = (ResnetBlock, Layer, Block)
"""blocks of autoencoders and of text encoders; a UNet sees to its own"""


def recompute(network: nn.Module) -> None:
    """Let every block of a network keep its input only, and be run twice (Chen et al. 2016).

    https://arxiv.org/abs/1604.06174. What is computed stays the same to the last bit.
    """
    for block in network.modules():
        if isinstance(block, BLOCKS):
            block.forward = _twice(block.forward)


def _twice(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    @wraps(forward)
    def run(*inputs: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return forward(*inputs)
        # torch does not say that it returns what the function does.
        return cast(Tensor, checkpoint(forward, *inputs, use_reentrant=False))

    return run
