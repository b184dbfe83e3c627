"""Fixtures that every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Reference data that lies beside the project on development machines; skipped where absent."""
    if not (SHARED / "golden").is_dir():
        pytest.skip("the reference data (../shared) is not on this machine")
    return SHARED


@pytest.fixture(scope="session")
def real(shared: Path) -> Path:
    """Real model files made by other tools."""
    return shared / "fixtures" / "real"
