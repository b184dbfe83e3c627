"""Memory does not grow with the model that LoRAs are baked into."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from loras import saved
from paintable import SD1, SMALL_CLIP, UNET_PREFIX, VAE_PREFIX
from sfumato.catalogue.trees.text import clip_shapes
from sfumato.catalogue.trees.unet import unet_shapes
from sfumato.containers.open import open_model
from toys import safetensors_bytes

ALLOWED = 256 << 20
"""bytes above what the program takes before it opens a file"""

LARGE = f"{UNET_PREFIX}out.2.weight"
QUERY = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"

PROGRAM = """
import sys
import sfumato.operations.adapters.baked
from sfumato.operations.bake import bake

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))

before = peak()
bake(sys.argv[1], sys.argv[3], loras=[sys.argv[2]], dtype=sys.argv[4] or None)
print(peak() - before)
"""


def sparse(path: Path, nbytes: int) -> Path:
    """A checkpoint in which one tensor is as large as `nbytes`; its numbers are a hole."""
    shapes = {UNET_PREFIX + name: shape for name, shape in unet_shapes(SD1).items()}
    shapes |= {f"cond_stage_model.transformer.{n}": s for n, s in clip_shapes(SMALL_CLIP).items()}
    shapes[LARGE] = (4, nbytes // 4 // 4 // 9, 3, 3)
    shapes[f"{VAE_PREFIX}odd"] = (nbytes // 4,)
    header: dict[str, object] = {}
    end = 0
    for name, shape in shapes.items():
        size = 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end := end + size]}
    path.write_bytes(safetensors_bytes(header))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + end)
    return path


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("dtype", ["", "f16"])
def test_half_a_gigabyte_passes_through_a_quarter_of_one(tmp_path: Path, dtype: str) -> None:
    source = sparse(tmp_path / "a.safetensors", 256 << 20)
    found = {
        f"{QUERY}.lora_up.weight": np.ones((32, 4), "f4"),
        f"{QUERY}.lora_down.weight": np.ones((4, 32), "f4"),
    }
    lora = saved(tmp_path / "ink.safetensors", found)
    target = tmp_path / "b.safetensors"
    command = [sys.executable, "-c", PROGRAM, str(source), str(lora), str(target), dtype]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert int(done.stdout) < ALLOWED
    with open_model(target) as baked:
        key = f"{UNET_PREFIX}input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight"
        values = np.frombuffer(baked[key].read(), "<f2" if dtype else "<f4")
    assert (values == 4).all()
