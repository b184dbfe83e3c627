"""A text encoder is the same whether OpenCLIP or transformers named its tensors."""

from __future__ import annotations

from pathlib import Path

from comparable import stored
from sfumato.catalogue.spelling.texts import text_names, text_packed
from sfumato.catalogue.spelling.transforms import PACK, TRANSPOSE
from sfumato.catalogue.trees.text import Text, clip_shapes
from sfumato.containers.tensor import Tensor
from sfumato.operations.comparing.diff import diff
from sfumato.operations.comparing.fingerprints import fingerprints
from toys import random_tensors

SIZES = Text(64, 2, 128, vocabulary=100, projection=64)


def packed(model: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of transformers under OpenCLIP's names."""
    names = text_names(SIZES).items()
    alone = {here: model[there] for here, there in names if there in model}
    alone["text_projection"] = TRANSPOSE.apply([model["text_projection.weight"]])
    rows = {p.packed: PACK.apply([model[n] for n in p.single]) for p in text_packed(SIZES)}
    return alone | rows


def test_packed_and_single_projections_are_the_same(tmp_path: Path) -> None:
    model = random_tensors(clip_shapes(SIZES))
    a = stored(tmp_path / "a.safetensors", model)
    b = stored(tmp_path / "b.safetensors", packed(model))
    (part,) = diff(a, b).parts
    assert (part.state, part.missing, part.extra) == ("identical", (), ())
    assert fingerprints(a)[0].numbers == fingerprints(b)[0].numbers
