"""Merging holds pieces of a tensor, or as many whole tensors as it says beforehand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sfumato.catalogue.trees.unet import unet_shapes
from small_models import SIZES, UNET
from toys import safetensors_bytes

SPARE = 128 << 20
"""bytes for the interpreter's own growth while a merge runs"""

LARGE = f"{UNET}input_blocks.1.1.proj_in.weight"

# Not getrusage: across fork and exec, Linux hands the peak of this process on to its child.
PROGRAM = """
import sys
import torch
import sfumato.operations.merging.arithmetic
from sfumato.operations.merging.merge import asked, merge, open_merge
from sfumato.operations.merging.tree import Policy

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))

*models, target = sys.argv[2:]
said = open_merge(asked(models, sys.argv[1], Policy(), {})).made.memory
before = peak()
merge(models, target, method=sys.argv[1])
print(said, peak() - before)
"""


def sparse(path: Path, nbytes: int) -> Path:
    """A UNet in which one matrix has `nbytes`; its numbers are a hole."""
    shapes = {UNET + name: shape for name, shape in unet_shapes(SIZES).items()}
    shapes[LARGE] = (nbytes // 4 // 1024, 1024)
    header: dict[str, object] = {}
    end = 0
    for name, shape in shapes.items():
        size = 4
        for axis in shape:
            size *= axis
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end := end + size]}
    path.write_bytes(safetensors_bytes(header))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + end)
    return path


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("method", ["sum", "add-difference", "ties", "della", "add-low-rank"])
def test_memory_is_what_was_said(method: str, tmp_path: Path) -> None:
    models = [sparse(tmp_path / f"{name}.safetensors", 128 << 20) for name in "abc"]
    command = [sys.executable, "-c", PROGRAM, method, *map(str, models)]
    done = subprocess.run(
        [*command, str(tmp_path / "m.safetensors")], check=True, capture_output=True, text=True
    )
    said, used = map(int, done.stdout.split())
    assert used < said + SPARE
    assert said == 0 if method in ("sum", "add-difference") else said <= 5 * (128 << 20)
