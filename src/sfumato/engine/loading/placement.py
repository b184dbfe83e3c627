"""On which device and in which precision a model's networks live."""

from __future__ import annotations

from collections.abc import Callable

import torch

from sfumato.engine.model import Placement
from sfumato.errors import UsageError

DTYPES: dict[str, torch.dtype] = {
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}
"""precisions by the short names that people use"""

DEVICES: dict[str, Callable[[], int]] = {
    "cpu": lambda: 1,
    "cuda": torch.cuda.device_count,
    "mps": lambda: int(torch.backends.mps.is_available()),
}
"""sorts of devices that networks run on, and how many of each there are here"""

ALIASES: dict[str, str] = {
    "f32": "fp32", "float32": "fp32", "float": "fp32",
    "f16": "fp16", "float16": "fp16", "half": "fp16",
    "bfloat16": "bf16",
}  # fmt: skip


def placement(
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    vae_dtype: str | torch.dtype | None = None,
) -> Placement:
    """Where the networks go: the best device there is, in a precision that is safe there.

    auto: fp32 on the CPU, fp16 on GPUs; the VAE in fp32, or in bf16 on GPUs that compute in it,
    because SDXL's overflows in fp16. Raises UsageError for a device or precision that is not there.
    """
    where = _device(device)
    usual = torch.float32 if where.type == "cpu" else torch.float16
    return Placement(where, _dtype(dtype, usual), _dtype(vae_dtype or "auto", _vae_dtype(where)))


def _device(device: str | torch.device) -> torch.device:
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        where = torch.device(device)
    except RuntimeError as error:
        raise UsageError(f"there is no device {device!r}: auto, cpu, cuda or mps") from error
    if where.type not in DEVICES:
        raise UsageError(f"networks do not run on device {str(where)!r}: auto, cpu, cuda or mps")
    count = DEVICES[where.type]()
    if not count:
        name = where.type.upper()
        raise UsageError(f"there is no {name} device that torch can use; paint with device cpu")
    if (where.index or 0) >= count:  # there is no index where none was said
        raise UsageError(f"there is no device {str(where)!r}: the last is {where.type}:{count - 1}")
    return where


def _dtype(dtype: str | torch.dtype, usual: torch.dtype) -> torch.dtype:
    if isinstance(dtype, torch.dtype):
        if dtype not in DTYPES.values():
            raise UsageError(f"networks do not run in {dtype}: fp32, fp16 or bf16")
        return dtype
    if dtype == "auto":
        return usual
    found = DTYPES.get(ALIASES.get(dtype, dtype))
    if found is None:
        raise UsageError(f"there is no precision {dtype!r}: auto, fp32, fp16 or bf16")
    return found


def _vae_dtype(where: torch.device) -> torch.dtype:
    if where.type == "cuda" and torch.cuda.is_bf16_supported():
        return torch.bfloat16
    return torch.float32
