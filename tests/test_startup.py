"""Quick answers: what is asked for decides what is loaded and read, and that is little."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from sfumato.catalogue.trees.text import CLIP_L, clip_shapes
from sfumato.catalogue.trees.unet import SD1, unet_shapes
from sfumato.catalogue.trees.vae import VAE, vae_shapes
from sfumato.containers.dtype import F16
from toys import safetensors_bytes

WATCHED = """
import json, sys
from sfumato.containers.source import Source
reads, fetch = [], Source._pread
def watched(self, offset, size):
    part = fetch(self, offset, size)
    reads.append(len(part))
    return part
Source._pread = watched
from sfumato.app.cli import main
try:
    main(sys.argv[1:])
except SystemExit as stopped:
    status = stopped.code
print("\\n" + json.dumps([status, sorted(sys.modules), reads]))
"""
HEAVY = {"numpy", "torch", "PIL", "rich", "blake3", "safetensors"}


def watch(*arguments: str | Path) -> tuple[set[str], list[int]]:
    """The modules that a command loaded, and the sizes of all its reads."""
    words = [sys.executable, "-c", WATCHED, *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, check=True, text=True)
    status, modules, reads = json.loads(done.stdout.splitlines()[-1])
    assert status == 0, done.stderr
    return set(modules), reads


def checkpoint(path: Path) -> Path:
    """Two gigabytes of SD1, of which only the header takes room on the disk."""
    parts = (
        ("model.diffusion_model.", unet_shapes(SD1)),
        ("first_stage_model.", vae_shapes(VAE())),
        ("cond_stage_model.transformer.", clip_shapes(CLIP_L)),
    )
    header, end = {}, 0
    for prefix, shapes in parts:
        for name, shape in shapes.items():
            span = [end, end := end + F16.nbytes(shape)]
            header[prefix + name] = {"dtype": "F16", "shape": shape, "data_offsets": span}
    head = safetensors_bytes(header)
    path.write_bytes(head)
    with path.open("r+b") as file:
        file.truncate(len(head) + end)
    return path


def test_help_loads_nothing_but_the_command_line() -> None:
    modules, reads = watch("--help")
    assert not modules & HEAVY
    ours = {name for name in modules if name.startswith("sfumato.")}
    assert not {name for name in ours if name.startswith("sfumato.catalogue")}
    assert "sfumato.app.cli.inspect" not in ours
    assert not reads


def test_the_help_of_one_command_loads_no_arithmetic() -> None:
    names = ("inspect", "convert", "prune", "catalog", "generate", "grid", "train", "train lora")
    for name in names:
        modules, _ = watch(*name.split(), "--help")
        assert not modules & (HEAVY - {"rich"}), name
        assert "rich.progress" not in modules


def test_inspecting_a_checkpoint_reads_its_header_and_loads_no_arithmetic(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "sd1.safetensors")
    assert path.stat().st_size > 2e9
    modules, reads = watch("inspect", "--json", path)
    assert not modules & HEAVY
    assert sum(reads) < 1_000_000 and len(reads) < 20


def test_a_card_takes_no_more_than_the_printing_of_it(tmp_path: Path) -> None:
    modules, reads = watch("inspect", checkpoint(tmp_path / "sd1.safetensors"))
    assert not modules & (HEAVY - {"rich"})
    assert not {name for name in modules if name.startswith("rich.progress")}
    assert sum(reads) < 1_000_000 and len(reads) < 20
