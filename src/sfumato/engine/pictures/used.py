"""A file that had a part in a picture, named so that it can be found again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["checkpoint", "vae", "refiner", "lora", "embedding", "hypernetwork", "other"]


@dataclass(frozen=True, slots=True)
class FileUsed:
    """One file that a picture was made with."""

    kind: Kind
    name: str
    """as the prompt or the user calls it"""
    path: str
    """where it was; only the last part of it is ever written into a picture"""
    sha256: str
    """of the whole file, hexadecimal; empty where it was not computed"""
    autov3: str = ""
    """sha256 of the tensors of a safetensors file without its header, as `Lora hashes` are"""

    @property
    def short(self) -> str:
        """Its hash as A1111 writes it: 10 characters for models and VAEs, 12 for adapters."""
        if self.kind == "lora":
            return (self.autov3 or self.sha256)[:12]
        return self.sha256[: 10 if self.kind in ("checkpoint", "vae", "refiner") else 12]
