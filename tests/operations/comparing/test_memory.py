"""Comparing takes a few pieces of memory, whatever the size of the models."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sfumato.containers.dtype import F16
from small_models import sd1
from toys import safetensors_bytes

ALLOWED = 128 << 20
"""bytes above what the program takes before it opens a file"""

LARGE = "model.diffusion_model.input_blocks.1.1.proj_in.weight"

PROGRAM = """
import sys
import numpy, numpy.linalg
from sfumato.operations.comparing.diff import diff
from sfumato.operations.comparing.explain import explain
from sfumato.operations.comparing.fingerprints import fingerprints

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))

before = peak()
a, b = sys.argv[1:]
{action}
print(peak() - before)
"""


def sparse(path: Path) -> Path:
    """A checkpoint of 500 MB in which one tensor is far too large; its numbers are a hole."""
    header: dict[str, object] = {}
    end = 0
    for name, tensor in sd1().items():
        shape = (32_000, 8_000) if name == LARGE else tensor.shape
        dtype = F16 if name == LARGE else tensor.dtype
        size = dtype.nbytes(shape)
        header[name] = {
            "dtype": dtype.name,
            "shape": shape,
            "data_offsets": [end, end := end + size],
        }
    path.write_bytes(safetensors_bytes(header))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + end)
    return path


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("action", ["diff(a, b)", "explain(a, [b, b])", "fingerprints(a)"])
def test_memory_does_not_grow_with_the_models(tmp_path: Path, action: str) -> None:
    paths = [sparse(tmp_path / f"{name}.safetensors") for name in "ab"]
    code = PROGRAM.format(action=action)
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, paths)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < ALLOWED
