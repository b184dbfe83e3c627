"""A 3×3 or 1×1 convolution that is a matrix product where the picture is small."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def memory_format(device: torch.device) -> torch.memory_format:
    """How pictures and kernels lie in memory: channels last, but not on MPS."""
    return torch.contiguous_format if device.type == "mps" else torch.channels_last


class Conv2d(nn.Conv2d):
    """A square convolution; `padding_mode` may be changed at any time (`seamless`)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        bias: bool = True,
        around: tuple[int, int] | None = None,
    ) -> None:
        """around: pixels added before and after, in both directions; (kernel - 1) / 2 for None."""
        super().__init__(inputs, outputs, kernel, stride, bias=bias)  # pyright: ignore[reportUnknownMemberType]
        self.around = around or (kernel // 2, kernel // 2)

    def forward(self, input: Tensor) -> Tensor:
        """(b, inputs, h, w) → (b, outputs, h/stride, w/stride)."""
        before, after = self.around
        small = self._is_small(input)
        if before == after and not small and self.padding_mode == "zeros":
            return functional.conv2d(input, self.weight, self.bias, self.stride, before)
        if after:
            mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
            input = functional.pad(input, [before, after] * 2, mode=mode)
        if small:
            return self._product(input)
        return functional.conv2d(input, self.weight, self.bias, self.stride)

    def _is_small(self, x: Tensor) -> bool:
        """True where fewer pixels than half the channels come out.

        oneDNN brings the kernel into an order of its own in every call. Measured on 2 cores
        (AVX-512, float32, batch 2): 2560 → 1280 channels at 4² 11 ms as a product and 42 ms as a
        convolution, at 8² 30 and 57, 1280 → 1280 at 16² 51 and 63; but 640 → 640 at 16² 13 and 12.
        """
        pixels = x.shape[0] * x.shape[2] * x.shape[3]
        return x.device.type == "cpu" and 2 * pixels <= self.out_channels * self.stride[0] ** 2

    def _product(self, x: Tensor) -> Tensor:
        """The convolution of a padded picture as one product over its pixels' neighbourhoods."""
        size, step = self.kernel_size[0], self.stride[0]
        rows, columns = ((x.shape[i] - size) // step + 1 for i in (2, 3))
        last = x.permute(0, 2, 3, 1)  # (b, h, w, c), free of cost in channels-last
        around = [
            last[:, i : i + step * rows : step, j : j + step * columns : step]
            for i in range(size)
            for j in range(size)
        ]
        kernel = self.weight.permute(0, 2, 3, 1).reshape(self.out_channels, -1)
        out = functional.linear(torch.cat(around, dim=-1), kernel, self.bias)  # (b, h, w, c)
        return out.permute(0, 3, 1, 2)
