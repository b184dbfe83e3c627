"""A folder of models laid out as AUTOMATIC1111's, small enough to paint with in tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from make_models import slim
from make_paints import make_paints


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, a LoRA, a VAE, a hypernetwork and an embedding that fit together."""
    folder = tmp_path_factory.mktemp("studio")
    (folder / "models" / "Stable-diffusion").mkdir(parents=True)
    slim(folder / "models" / "Stable-diffusion" / "lighthouse.safetensors")
    make_paints(folder)
    return folder
