"""Pictures are read and laid out without loading the networks' arithmetic."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import sfumato

ROOM = Path(sfumato.__file__).parent / "engine" / "pictures"


def names() -> list[str]:
    paths = (path.relative_to(ROOM).with_suffix("") for path in sorted(ROOM.rglob("*.py")))
    return ["sfumato.engine.pictures." + ".".join(path.parts) for path in paths]


@pytest.mark.parametrize(
    ("modules", "unwanted"),
    [
        (names(), {"torch"}),
        (["sfumato.engine.pictures.readers.registry"], {"torch", "numpy", "PIL"}),
        (["sfumato.engine.pictures.requests"], {"torch", "numpy", "PIL"}),
    ],
    ids=["everything", "reading", "requests"],
)
def test_what_is_loaded_is_little(modules: list[str], unwanted: set[str]) -> None:
    wanted = [name.removesuffix(".__init__") for name in modules]
    code = f"import sys, {', '.join(wanted)}\nassert not {unwanted!r} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
