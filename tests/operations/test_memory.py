"""Memory does not grow with the model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sfumato.catalogue.trees.unet import unet_shapes
from sfumato.catalogue.trees.vae import VAE, vae_shapes
from small_models import SIZES, UNET, average
from toys import safetensors_bytes

ALLOWED = 256 << 20
"""bytes above what the program takes before it opens a file"""

LARGE = f"{UNET}input_blocks.0.0.weight"

# Not getrusage: across fork and exec, Linux hands the peak of this process on to its child.
PROGRAM = """
import sys
import numpy
import sfumato.operations.{module}
from sfumato.operations.{module} import {module}

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))

before = peak()
{module}(sys.argv[1], sys.argv[2], {options})
print(peak() - before)
"""


def sparse(path: Path, nbytes: int) -> Path:
    """A checkpoint in which two tensors are as large as `nbytes`; its numbers are a hole."""
    shapes = {UNET + name: shape for name, shape in unet_shapes(SIZES).items()}
    shapes |= {f"first_stage_model.{n}": s for n, s in vae_shapes(VAE(32, (1, 2), 1)).items()}
    shapes |= {average(name): shape for name, shape in shapes.items() if name.startswith(UNET)}
    shapes[LARGE] = shapes[average(LARGE)] = (32, 4, nbytes // 4 // 32 // 4 // 3, 3)
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
@pytest.mark.parametrize(
    ("module", "suffix", "options"),
    [
        ("convert", ".safetensors", "dtype='f16'"),
        ("convert", ".ckpt", "dtype='bf16'"),
        ("convert", ".safetensors", "dtype='f8_e4m3'"),
        ("prune", ".safetensors", "drop=['ema']"),
        ("metadata", ".safetensors", "trigger='inky'"),
    ],
)
def test_a_gigabyte_passes_through_a_quarter_of_one(
    tmp_path: Path, module: str, suffix: str, options: str
) -> None:
    source = sparse(tmp_path / "a.safetensors", 512 << 20)
    program = PROGRAM.format(module=module, options=options)
    command = [sys.executable, "-c", program, str(source), str(tmp_path / f"b{suffix}")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert int(done.stdout) < ALLOWED
