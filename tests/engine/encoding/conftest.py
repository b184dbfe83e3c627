"""Small checkpoints, loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sfumato.engine.loading.load import load
from sfumato.engine.model import Model

Loaded = Callable[[str], Model]


@pytest.fixture(scope="session")
def loaded(small: Callable[[str], Path]) -> Iterator[Loaded]:
    """The small checkpoint of a kind, loaded once."""
    models: dict[str, Model] = {}

    def find(kind: str) -> Model:
        if kind not in models:
            models[kind] = load(small(kind), device="cpu", dtype="float32")
        return models[kind]

    yield find
    for model in models.values():
        model.close()
