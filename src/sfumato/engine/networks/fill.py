"""Weights from a file straight into a network, cast once and never held twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches

import torch
from torch import nn

from sfumato.containers.tensor import Tensor
from sfumato.containers.text import escape
from sfumato.engine.networks.convolution import memory_format
from sfumato.errors import Damaged
from sfumato.operations.into_torch import Source, staging_for, write_into

SKIPPED = ("position_ids", "attn_mask")
"""ends of names of constants that some files store and no network here needs"""


def fill(
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    *,
    device: torch.device,
    dtype: torch.dtype,
    source: Source = "the model",
) -> None:
    """Give a module that was built on the meta device its weights.

    tensors: one for each parameter, under its own name; a few constants (SKIPPED) may stand beside.
    Each weight is allocated once, where and as it stays, and filled piece by piece.
    Raises Damaged, which names `source`, where a tensor is missing, left over or of a wrong shape;
    nothing is changed then. Raises Unsupported for element types that torch cannot convert.
    """
    wanted = dict(module.named_parameters())
    faults = _faults({n: tuple(p.shape) for n, p in wanted.items()}, tensors)
    if (fault := next(faults, None)) is not None:
        raise Damaged(source, fault)
    # One buffer for all: between weights, it would leave holes that nothing fits into.
    staging = staging_for(tensors[name] for name in wanted)
    for name, old in wanted.items():
        like = memory_format(device) if old.dim() == 4 else torch.contiguous_format
        weight = torch.empty(old.shape, dtype=dtype, device=device, memory_format=like)
        write_into(weight, tensors[name], staging, name=name, source=source)
        owner, _, own = name.rpartition(".")
        place = module.get_submodule(owner)
        place.register_parameter(own, nn.Parameter(weight, requires_grad=old.requires_grad))


def _faults(wanted: Mapping[str, tuple[int, ...]], tensors: Mapping[str, Tensor]) -> Iterator[str]:
    for name, shape in wanted.items():
        if name not in tensors:
            yield f"{name} is missing{_near(name, tensors.keys() - wanted.keys())}"
        elif tensors[name].shape != shape:
            yield f"{name} is {list(tensors[name].shape)}, expected {list(shape)}"
    for name in tensors:
        if name not in wanted and not name.endswith(SKIPPED):
            yield f"{escape(name)} belongs to no layer{_near(name, wanted)}"


def _near(name: str, others: Iterable[str]) -> str:
    near = get_close_matches(name, others, n=1)
    return f"; the nearest name is {escape(near[0])}" if near else ""
