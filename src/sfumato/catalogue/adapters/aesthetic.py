"""An aesthetic gradient: one lone vector in the space of CLIP-L's pictures."""

from __future__ import annotations

from sfumato.catalogue.tally import tally
from sfumato.catalogue.verdict import Verdict
from sfumato.containers.tensor import Tensors

WIDTH = 768
"""width of CLIP-L's picture embeddings"""


def recognise_aesthetic(model: Tensors) -> Verdict | None:
    """Say that a file is an aesthetic gradient; None for a file that is none."""
    if list(model) != ["tensor"] or model["tensor"].shape not in ((1, WIDTH), (WIDTH,)):
        return None
    return Verdict(
        kind="aesthetic-gradient",
        family="sd1",
        title="Aesthetic gradient for SD 1.x",
        parts=(tally("aesthetic-gradient", "mean picture embedding", model, model),),
        confidence="likely",
        evidence=(
            f"a single tensor without a name and without a dictionary around it, {WIDTH} wide",
        ),
        runner_up="embedding: those are stored in a dictionary, under a token or a known key",
    )
