"""Small checkpoints for every test of painting, written once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from paintable import write

Small = Callable[[str], Path]


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """Path of the small checkpoint of a kind: sd1, sd2, sdxl …"""
    folder = tmp_path_factory.mktemp("checkpoints")

    def path(kind: str) -> Path:
        found = folder / f"{kind}.safetensors"
        return found if found.exists() else write(found, kind)

    return path
