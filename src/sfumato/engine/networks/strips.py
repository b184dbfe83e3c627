"""Convolutions of pictures too large to be held several times over: a strip of rows at a time.

Exact, unlike tiling: a strip sees the rows above and below it, and norms are those of the whole.
Measured for SD's VAE decoding one picture of 512² in float32 (one core): 496 MB beside the weights
and 19.6 s of processor time; whole 784 MB and 20.3 s; diffusers 1032 MB and 21.8 s. Strips four
times as large are no faster.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from sfumato.engine.networks.convolution import Conv2d
from sfumato.engine.networks.in_place import silu

STRIP = 1 << 20
"""numbers in a strip: 4 MB in float32"""

Rows = slice
"""rows of a picture"""


def is_large(conv: Conv2d, numbers: int, x: Tensor) -> bool:
    """True where `x` becomes `numbers` numbers that are better made in strips.

    Only in float32 on the CPU, where no gradient is recorded and the picture does not wrap around.
    """
    plain = x.device.type == "cpu" and x.dtype == torch.float32 and conv.padding_mode == "zeros"
    recorded = torch.is_grad_enabled() or torch.compiler.is_compiling()
    return plain and not recorded and numbers > 2 * STRIP


def activated(norm: nn.GroupNorm, conv: Conv2d, x: Tensor) -> Tensor:
    """conv(silu(norm(x))) of (b, c, h, w), for a 3×3 convolution."""
    if not is_large(conv, x.numel(), x):
        return conv(silu(norm(x)))
    out = _empty(x, conv.out_channels, *x.shape[2:])
    for rows, part in activated_strips(norm, conv, x):
        out[:, :, rows] = part
    return out


def activated_strips(norm: nn.GroupNorm, conv: Conv2d, x: Tensor) -> Iterator[tuple[Rows, Tensor]]:
    """The same in strips; rows that were given may be overwritten in `x` before the next are."""
    scale, shift = _moments(norm, x)
    height = x.shape[2]
    above = x[:, :, :0]
    for rows in _rows(x):
        below = x[:, :, rows.stop : rows.stop + 1]
        strip = torch.cat([above, x[:, :, rows], below], dim=2)
        above = x[:, :, rows.stop - 1 : rows.stop].clone(memory_format=torch.channels_last)
        strip = silu(strip.mul_(scale).add_(shift))
        yield rows, _convolved(conv, strip, first=rows.start == 0, last=rows.stop == height)


def enlarged(conv: Conv2d, x: Tensor) -> Tensor:
    """conv of (b, c, h, w) with every pixel repeated: (b, c, 2h, 2w), for a 3×3 convolution."""
    if not is_large(conv, 4 * x.numel(), x):
        return conv(functional.interpolate(x, scale_factor=2.0, mode="nearest"))
    height, width = x.shape[2:]
    out = _empty(x, conv.out_channels, 2 * height, 2 * width)
    for rows in _rows(x, 4):
        first, last = rows.start == 0, rows.stop == height
        source = x[:, :, rows.start - (not first) : rows.stop + (not last)]
        strip = functional.interpolate(source, scale_factor=2.0, mode="nearest")
        # Of the repeated neighbours above and below only the nearer row is seen.
        strip = strip[:, :, int(not first) : strip.shape[2] - int(not last)]
        part = _convolved(conv, strip, first=first, last=last)
        out[:, :, 2 * rows.start : 2 * rows.stop] = part
    return out


def _rows(x: Tensor, factor: int = 1) -> Iterator[Rows]:
    """Rows of `x` in slices of about STRIP numbers, where each becomes `factor` numbers."""
    height = x.shape[2]
    step = max(1, STRIP * height // (factor * x.numel()))
    for start in range(0, height, step):
        yield slice(start, min(start + step, height))


def _convolved(conv: Conv2d, strip: Tensor, *, first: bool, last: bool) -> Tensor:
    """A strip with its neighbouring rows, or with zeros beyond the picture, through `conv`."""
    if first or last:
        strip = functional.pad(strip, (0, 0, int(first), int(last)))
    return functional.conv2d(strip, conv.weight, conv.bias, padding=(0, 1))


def _moments(norm: nn.GroupNorm, x: Tensor) -> tuple[Tensor, Tensor]:
    """What a whole picture's norm multiplies each channel with and adds to it, (b, c, 1, 1) each.

    Means and variances of strips are combined as by Chan et al. (1979).
    """
    batch, channels, height, width = x.shape
    means, squares, shares = list[Tensor](), list[Tensor](), list[float]()
    for rows in _rows(x):
        count = rows.stop - rows.start
        strip = x[:, :, rows].contiguous(memory_format=torch.channels_last)
        _, mean, deviation = torch.native_group_norm(
            strip, None, None, batch, channels, count * width, norm.num_groups, norm.eps
        )
        means.append(mean)
        squares.append(deviation.pow(-2) - norm.eps)
        shares.append(count / height)
    share = x.new_tensor(shares)[:, None, None]  # (strips, 1, 1)
    mean = (torch.stack(means) * share).sum(0)  # (b, groups)
    spread = torch.stack(squares) + (torch.stack(means) - mean).square()
    scale = ((spread * share).sum(0) + norm.eps).rsqrt()
    each = channels // norm.num_groups
    scale, mean = (t.repeat_interleave(each, dim=1) for t in (scale, mean))  # (b, c)
    scale = scale * norm.weight
    return scale[:, :, None, None], (norm.bias - mean * scale)[:, :, None, None]


def _empty(x: Tensor, channels: int, height: int, width: int) -> Tensor:
    shape = (len(x), channels, height, width)
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
