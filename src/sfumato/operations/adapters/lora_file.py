"""A LoRA file together with the weights of one model that it changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sfumato.containers.model_file import ModelFile
from sfumato.containers.tensor import Tensor
from sfumato.operations.adapters.parts import Part


@dataclass(frozen=True, slots=True, eq=False)
class Lora:
    """A LoRA file and the weights of one model that it changes. No tensor is kept in memory."""

    name: str
    path: Path
    file: ModelFile = field(repr=False)
    """kept open: its tensors are read whenever they are applied"""
    parts: tuple[Part, ...] = field(repr=False)
    """one for each weight that is changed"""
    total: int
    """tensors of the file, without the embeddings it carries"""
    notes: tuple[str, ...] = ()
    """why some tensors do not apply, one sentence each"""
    embeddings: Mapping[str, Mapping[str, Tensor]] = field(
        default_factory=dict[str, Mapping[str, Tensor]], repr=False
    )
    """embeddings carried along: name → tensors as an embedding's file has them"""

    @property
    def applied(self) -> int:
        """Tensors of the file that are in use."""
        return len({key for part in self.parts for key in part.slots.values()})

    def close(self) -> None:
        """Close the file; weights that it changed stay as they are."""
        self.file.close()
