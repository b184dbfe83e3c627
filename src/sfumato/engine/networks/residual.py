"""The UNet's residual block, and the layers that halve and double a picture's size."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from sfumato.engine.networks.convolution import Conv2d
from sfumato.engine.networks.in_place import SiLU, add


class ResidualBlock(nn.Module):
    """Two convolutions around the addition of the time embedding (ResBlock of openaimodel.py)."""

    def __init__(self, inputs: int, outputs: int, time: int, groups: int) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(
            nn.GroupNorm(groups, inputs), SiLU(), Conv2d(inputs, outputs)
        )
        # The activation at number 0 is the same in all blocks: the UNet applies it once.
        self.emb_layers = nn.Sequential(nn.Identity(), nn.Linear(time, outputs))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(groups, outputs), SiLU(), nn.Identity(), Conv2d(outputs, outputs)
        )
        same = inputs == outputs
        self.skip_connection = nn.Identity() if same else Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """x (b, inputs, h, w), activated time embedding (b, time) → (b, outputs, h, w)."""
        shift: Tensor = self.emb_layers(time)
        h = add(self.in_layers(x), shift[:, :, None, None])
        return add(self.out_layers(h), self.skip_connection(x))


class Downsample(nn.Module):
    """A convolution that takes every other pixel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.op = Conv2d(width, width, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) → (b, c, ⌈h/2⌉, ⌈w/2⌉)."""
        return self.op(x)


class Upsample(nn.Module):
    """A convolution of the picture with every pixel repeated."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = Conv2d(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) → (b, c, 2h, 2w)."""
        return self.conv(functional.interpolate(x, scale_factor=2.0, mode="nearest"))
