"""The files that change or extend a checkpoint: LoRAs, embeddings, hypernetworks."""

from __future__ import annotations

from collections.abc import Mapping

from sfumato.catalogue.adapters.aesthetic import recognise_aesthetic
from sfumato.catalogue.adapters.embedding import recognise_embedding
from sfumato.catalogue.adapters.extras import beside
from sfumato.catalogue.adapters.hypernetwork import recognise_hypernetwork
from sfumato.catalogue.adapters.lora import recognise_lora
from sfumato.catalogue.verdict import Verdict
from sfumato.containers.model_file import PICTURE, Leaf, ModelFile
from sfumato.containers.tensor import Tensors

__all__ = ["recognise"]


def recognise(
    model: Tensors, metadata: Mapping[str, str], extras: Mapping[str, Leaf], stem: str
) -> Verdict | None:
    """Say what an adapter is; None for a file that is none of them. Nothing is read.

    Control adapters with LoRA tensors inside (Control-LoRA, LLLite, IP-Adapter FaceID, motion
    LoRA) are none of them: `others` knows those.
    """
    picture = isinstance(model, ModelFile) and model.container is PICTURE
    if isinstance(model, ModelFile):
        model = model.tensors  # quicker to ask
    values = beside(metadata, extras)
    return (
        recognise_hypernetwork(model, values)
        or recognise_embedding(model, metadata, values, stem, picture=picture)
        or recognise_aesthetic(model)
        or recognise_lora(model, metadata)
    )
