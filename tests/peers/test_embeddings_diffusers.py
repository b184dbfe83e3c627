"""Embeddings as diffusers reads them: the same numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers.loaders.textual_inversion import (
    TextualInversionLoaderMixin,
    load_textual_inversion_state_dicts,
)

from sfumato.engine.adapters.embeddings import read_embedding

FILES = (
    "embedding-EasyNegative.safetensors",
    "embedding-a1111-bad-artist.pt",
    "embedding-a1111-bad_prompt_version2.pt",
    "embedding-diffusers-cat-toy.bin",
)


class Tokens:
    """A tokenizer that knows no word yet, which is all that diffusers asks of it."""

    def get_vocab(self) -> dict[str, int]:
        return {}


def theirs(path: Path) -> torch.Tensor:
    (state,) = load_textual_inversion_state_dicts(
        [str(path)], weight_name=None, local_files_only=True
    )
    _, (found,) = TextualInversionLoaderMixin._retrieve_tokens_and_embeddings(
        ["word"], [state], Tokens()
    )
    return found


@pytest.mark.parametrize("file", FILES)
def test_the_vectors_of_real_files_are_those_that_diffusers_reads(file: str, real: Path) -> None:
    own = read_embedding(real / file).rows(768)
    other = theirs(real / file).detach().float()
    assert torch.equal(own, other.reshape(own.shape))
