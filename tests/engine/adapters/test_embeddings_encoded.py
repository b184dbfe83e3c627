"""An embedding in a prompt is read as its vectors are: a law of encoder and table together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sfumato.containers.arrays import tensor_from
from sfumato.containers.save import save
from sfumato.engine.adapters.embeddings import EmbeddingTable
from sfumato.engine.encoding import encode
from sfumato.engine.loading.load import load
from sfumato.engine.model import Model
from sfumato.engine.prompt.tokens import Tokenizer

Small = Callable[[str], Path]
KEYS = {"sd1": ("emb_params",), "sd2": ("emb_params",), "sdxl": ("clip_l", "clip_g")}


def with_words(model: Model, path: Path, keys: tuple[str, ...], text: str) -> EmbeddingTable:
    """A table with one embedding: the encoders' own vectors for `text`."""
    ids = torch.tensor([Tokenizer().encode(text)])
    rows = [encoder.embed(ids)[0].numpy() for encoder in model.encoders]
    save(path, {key: tensor_from(row) for key, row in zip(keys, rows, strict=True)})
    table = EmbeddingTable(model, Tokenizer())
    table.add_file(path)
    return table


@pytest.mark.parametrize("kind", KEYS)
def test_an_embedding_of_the_vectors_of_words_is_read_as_these_words(
    kind: str, small: Small, tmp_path: Path
) -> None:
    model = load(small(kind), device="cpu")
    table = with_words(model, tmp_path / "qqq zzz.safetensors", KEYS[kind], "a red cat")
    with torch.no_grad():
        own, plain, same = (
            encode(model, [text], embeddings=table)[0].context
            for text in ("see qqq zzz there", "see qqq there", "see a red cat there")
        )
    assert torch.allclose(own, same, atol=1e-5) and not torch.allclose(own, plain, atol=1e-2)
    assert [e.name for e in table.used] == ["qqq zzz"]
