"""Nothing is asked of the network, and nothing told: no command ever opens a connection."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sfumato.containers.save import save
from toys import random_tensors

pytestmark = pytest.mark.slow

# The interpreter tells of every use of a socket, wherever it is made: nothing comes past a hook.
FORBIDDEN = """
import sys
def hook(event, arguments):
    if event.startswith(("socket.", "urllib.", "http.", "ftplib.")):
        raise SystemError(event)
sys.addaudithook(hook)
"""
RUN = FORBIDDEN + "from sfumato.app.cli import main\nmain(sys.argv[1:])"


def run(code: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(words, capture_output=True, check=False, text=True)


@pytest.mark.parametrize("call", ["socket.socket()", "socket.getaddrinfo('localhost', 80)"])
def test_a_connection_would_be_noticed(call: str) -> None:
    done = run(f"{FORBIDDEN}import socket\n{call}")
    assert done.returncode == 1 and "SystemError: socket." in done.stderr


def test_painting_works_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from make_models import slim
    from make_paints import make_paints

    monkeypatch.chdir(tmp_path)
    slim(tmp_path / "lighthouse.safetensors")
    make_paints(tmp_path)
    files = ("-m", "lighthouse.safetensors", "--models", ".", "-l", "ink", "--vae", "soft")
    small = ("--size", "32x32", "--steps", "1", "--hypernetwork", "glow")
    for words in (("generate", "moonglade"), ("grid", "moonglade", "-x", "cfg: 4, 7")):
        done = run(RUN, *words, *files, *small, "-o", f"{words[0]}.png")
        assert "SystemError" not in done.stderr and "Traceback" not in done.stderr
        assert done.returncode == 0 and "LoRA ink at 1 apply" in done.stderr, done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("inspect", "--hash", "--deep", "a.safetensors"),
        ("inspect", "--json", "."),
        ("convert", "a.safetensors", "-o", "b.ckpt"),
        ("prune", "a.safetensors", "-o", "c.safetensors"),
        ("metadata", "show", "a.safetensors"),
        ("catalog",),
        ("catalog", "anything", "--json"),
    ],
    ids=" ".join,
)
def test_every_command_works_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    save("a.safetensors", random_tensors({"emb_params": (4, 768)}))
    done = run(RUN, *words)
    assert "SystemError" not in done.stderr and "Traceback" not in done.stderr
    assert done.returncode == 0, done.stderr
