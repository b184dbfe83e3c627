"""Killed at any moment, an operation leaves the old output or the new one, whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sfumato.containers.dtype import F16
from sfumato.containers.save import save
from small_models import sd1

SCRIPT = '''
import os, shutil, signal, sys
from pathlib import Path
from sfumato.containers.hashes import hash_tensors
from sfumato.containers.open import open_model
from sfumato.operations.convert import convert
from sfumato.operations.split import split

source, target, folder = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
MOMENTS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree")
EVERY = 150
"""calls of `progress`, one of which is a moment: there are several for each tensor"""
countdown, calls = [0], [0]


def moment(*_):
    """Kill this process when the count has run down."""
    if countdown[0] > 0:
        countdown[0] -= 1
        if not countdown[0]:
            os.kill(os.getpid(), signal.SIGKILL)


def now_and_then(*_):
    calls[0] += 1
    if calls[0] % EVERY == 1:
        moment()


def work(dtype):
    calls[0] = 0
    if target.name == "parts":
        split(source if dtype is None else source.with_name("half.safetensors"), target,
              force=True, progress=now_and_then)
    else:
        convert(source, target, dtype=dtype, force=True, progress=now_and_then)


def content(path):
    parts = sorted(path.glob("*.safetensors")) if path.name == "parts" else [path]
    found = []
    for part in parts:
        with open_model(part) as model:
            found.append(hash_tensors(model))
    return found


def survivors():
    """What stands under the output's name; an old folder may have been moved aside."""
    if not target.exists():
        aside = [p for p in folder.iterdir() if p.is_dir() and p.name.startswith(".")]
        return [content(path) for path in aside if (path / "model_index.json").exists()]
    return [content(target)]


sys.addaudithook(lambda event, _: moment() if event in MOMENTS else None)
work("f16")
new = content(target)
work(None)
old = content(target)
assert len(old) == len(new) and old != new
shutil.copytree(folder, folder.with_name("pristine"))
for number in range(1, 100):
    child = os.fork()
    if not child:
        countdown[0] = number
        work("f16")
        os._exit(0)
    if not os.waitpid(child, 0)[1]:
        break
    found = survivors()
    if target.name == "parts":
        # Parts are put in place one after the other, each of them at once.
        assert all(part in pair for part, *pair in zip(found[0], old, new, strict=True)), number
    else:
        assert old in found or new in found, number
    shutil.rmtree(folder)
    shutil.copytree(folder.with_name("pristine"), folder)
assert number > 4
assert content(target) == new
print(number)
'''


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs to fork")
@pytest.mark.parametrize("target", ["a.safetensors", "a.ckpt", "a.gguf", "a", "parts"])
def test_a_kill_at_any_moment_leaves_old_or_new(tmp_path: Path, target: str) -> None:
    save(tmp_path / "source.safetensors", sd1())
    save(tmp_path / "half.safetensors", sd1(F16))
    (tmp_path / "out").mkdir()
    places = (tmp_path / "source.safetensors", tmp_path / "out" / target, tmp_path / "out")
    command = [sys.executable, "-c", SCRIPT, *map(str, places)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
