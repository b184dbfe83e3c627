"""Small models, made once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from paintable import write


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Kind of model → its file."""
    folder = tmp_path_factory.mktemp("models")

    @cache
    def path(kind: str) -> Path:
        return write(folder / f"{kind}.safetensors", kind)

    return path
