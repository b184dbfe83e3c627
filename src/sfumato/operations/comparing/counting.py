"""The tensors of a part by which it is known: the matrices of a network, all floats of others."""

from __future__ import annotations

from sfumato.catalogue.numbers.measure import measurable
from sfumato.containers.tensor import Tensor
from sfumato.operations.comparing.sections import Section

BESIDE = ("optimizer", "training", "loss", "buffers", "markers", "quantisation", "unknown")
"""roles of parts that are no weights of their own"""


def counting(section: Section) -> dict[str, Tensor]:
    """Name → tensor, in order of name, so that the order in the file does not matter."""
    return {
        name: section.tensors[name]
        for name in sorted(section.tensors)
        if name not in section.spare and _counts(section.tensors[name], section)
    }


def _counts(tensor: Tensor, section: Section) -> bool:
    """Biases and norms are small, and their small numbers suffer most from rounding."""
    if tensor.dtype.kind != "float" or not measurable(tensor.dtype) or not tensor.size:
        return False
    return not section.network or len(tensor.shape) > 1
