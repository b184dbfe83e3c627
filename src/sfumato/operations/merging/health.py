"""What is wrong with the result of a merge: told before it is written, and while it passes by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from sfumato.catalogue.identify import identify
from sfumato.catalogue.numbers.buffers import position_ids
from sfumato.containers.sizes import counted
from sfumato.containers.tensor import Buffer, Tensor
from sfumato.containers.text import escape
from sfumato.operations.cast import EXPONENTS
from sfumato.operations.plan import SHOWN

PAINTING = ("unet", "vae", "text_encoder", "text_encoder_2")
"""roles without which nothing is painted"""


@dataclass(slots=True)
class Watch:
    """Tensors that are passed on as they are, looked at while they are written."""

    unsound: dict[str, int] = field(default_factory=dict[str, int])
    """name → numbers that are NaN or infinite"""

    def over(self, name: str, tensor: Tensor) -> Tensor:
        """The same tensor; its numbers are counted when it is read."""
        if tensor.dtype not in EXPONENTS:
            return tensor

        def pieces() -> Iterator[Buffer]:
            self.unsound.pop(name, None)
            for piece in tensor.chunks():
                self._count(name, piece, tensor)
                yield piece

        return Tensor(
            tensor.dtype,
            tensor.shape,
            lambda: b"".join(map(bytes, pieces())),
            pieces,
            tensor.origin,
        )

    def _count(self, name: str, piece: Buffer, tensor: Tensor) -> None:
        import numpy as np

        carrier, exponent, _ = EXPONENTS[tensor.dtype]
        found = int(np.count_nonzero((np.frombuffer(piece, carrier) & exponent) == exponent))
        if found:
            self.unsound[name] = self.unsound.get(name, 0) + found

    def sentences(self) -> Iterator[str]:
        """What was seen."""
        if self.unsound:
            numbers = counted(sum(self.unsound.values()), "number")
            names = ", ".join(map(escape, list(self.unsound)[:SHOWN]))
            more = ", …" if len(self.unsound) > SHOWN else ""
            yield (
                f"warning: {numbers} that no merge touched ({names}{more}) are NaN or infinite, as "
                "in the model that they come from: pictures turn black"
            )


def faults(tensors: Mapping[str, Tensor]) -> Iterator[str]:
    """What a person should know of the result before anything is written."""
    for part in identify(tensors).parts:
        if part.role in PAINTING and part.missing:
            count = counted(len(part.missing), "tensor")
            yield f"the {part.title} lacks {count}, such as {escape(part.missing[0])}"
    for found in position_ids(tensors):
        if found.state == "broken":
            yield (
                f"{escape(found.tensor)} is not 0, 1, 2 … in the model that it comes from: words "
                "of the prompt are lost; `sfumato repair --fix position-ids` mends it"
            )
