"""Pictures and small checkpoints to train on, written once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from paintable import write
from taught import write_pictures

Small = Callable[[str], Path]


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures with captions."""
    return write_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """Path of the small checkpoint of a kind: sd1, sd2, sdxl …"""
    folder = tmp_path_factory.mktemp("bases")

    def path(kind: str) -> Path:
        found = folder / f"{kind}.safetensors"
        return found if found.exists() else write(found, kind)

    return path
