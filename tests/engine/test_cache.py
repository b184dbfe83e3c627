"""What is kept and what is let go: recent values, models by content, memory over many switches."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from paintable import write
from sfumato.containers.open import open_model
from sfumato.engine.loading.cache import Models, Recent, stamps
from sfumato.errors import SfumatoError

pytestmark = pytest.mark.slow

Small = Callable[[str], Path]


def test_the_values_asked_for_last_are_kept() -> None:
    dropped: list[int] = []
    kept: Recent[int, int] = Recent(2, dropped.append)
    for key in (1, 2, 1, 3):
        assert kept.get(key, lambda key=key: 10 * key) == 10 * key
    assert dropped == [20]
    assert len(kept) == 2
    kept.shrink()
    assert sorted(dropped) == [10, 20, 30]


def test_room_is_made_before_the_new_value_is() -> None:
    events: list[str] = []
    kept: Recent[int, int] = Recent(1, lambda _: events.append("dropped"))
    for key in (1, 2):
        kept.get(key, lambda: events.append("made") or 0)
    assert events == ["made", "dropped", "made"]


def test_nothing_is_kept_where_no_room_is_given() -> None:
    kept: Recent[int, int] = Recent(0)
    assert [kept.get(1, lambda value=value: value) for value in (1, 2)] == [1, 2]


def test_a_value_that_cannot_be_made_is_not_kept() -> None:
    kept: Recent[int, int] = Recent(1)
    with pytest.raises(ZeroDivisionError):
        kept.get(1, lambda: 1 // 0)
    assert kept.get(1, lambda: 5) == 5


def test_a_model_is_loaded_once_and_again_when_its_file_changes(tmp_path: Path) -> None:
    path = write(tmp_path / "model.safetensors", "sd1")
    models = Models()
    first = models.get(path)
    assert models.get(path) is first
    assert models.get(path, dtype="bf16") is not first
    assert not first.networks
    again = models.get(path)
    path.unlink()
    write(path, "sd1", seed=1)
    assert models.get(path) is not again
    models.close()
    assert not len(models)


def test_a_folder_is_told_by_all_its_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    before = stamps(tmp_path)
    (tmp_path / "b").write_bytes(b"2")
    assert stamps(tmp_path) != before
    assert stamps(tmp_path / "nowhere") == ()


def open_files() -> int:
    """How many, where the system tells."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


def test_a_model_that_does_not_load_leaves_no_file_open(tmp_path: Path) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    before = open_files()
    with pytest.raises(SfumatoError):
        Models().get(path)
    assert open_files() == before


SWITCHES = """
import sys
from pathlib import Path
from sfumato.engine.loading.cache import Models
from sfumato.engine.painter import Painter
from sfumato.engine.request import Request

def rss():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096

models = Models()
request = Request("a fox", width=32, height=32, steps=2, seed=1)
sizes = []
for turn in range(24):
    painter = Painter(models.get(sys.argv[1 + turn % 3]))
    for event in painter.paint(request):
        pass
    sizes.append(rss())
print(max(sizes[3:9]), max(sizes[-6:]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_memory_stays_flat_over_many_switches(small: Small) -> None:
    paths = [str(small(kind)) for kind in ("sd1", "sdxl", "sd2")]
    done = subprocess.run(
        [sys.executable, "-c", SWITCHES, *paths],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    early, late = map(int, done.stdout.split())
    with open_model(paths[1]) as largest:
        assert late - early < largest.size / 4


def test_pictures_leave_no_gradient_behind(small: Small) -> None:
    model = Models().get(small("sd1"))
    assert all(not weight.requires_grad for weight in model.unet.parameters())
    assert torch.is_grad_enabled()
    model.close()
