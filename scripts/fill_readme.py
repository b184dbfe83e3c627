"""Writes what the commands in a Markdown file really print into the file.

    python scripts/fill_readme.py [--check] README.md

Every ```console block is run in a folder that holds the demo's files; lines that begin with `$` are
commands, the rest is replaced by their output. With --check nothing is written, and the exit status
says whether everything was true.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from make_models import gift, lighthouse, moonlight

BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
COLUMNS = "92"


def main(arguments: list[str]) -> int:
    """Fill or check the files named in `arguments`."""
    check = "--check" in arguments
    stale = 0
    for name in arguments:
        if name.startswith("-"):
            continue
        path = Path(name)
        text = path.read_text(encoding="utf-8")
        true = filled(text)
        if true != text and check:
            stale += 1
            print(f"{name}: what is printed in it is not what the commands print")
        elif true != text:
            path.write_text(true, encoding="utf-8")
    return min(stale, 1)


def filled(text: str) -> str:
    """`text` with the true output in every console block."""
    with tempfile.TemporaryDirectory() as folder:
        demo = Path(folder) / "demo"
        demo.mkdir()
        lighthouse(demo / "lighthouse-training.ckpt")
        moonlight(demo / "moonlight.pt")
        gift(demo / "free-gift.ckpt")
        return BLOCK.sub(lambda match: _block(match[1], Path(folder)), text)


def _block(block: str, folder: Path) -> str:
    commands = [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]
    parts = [f"$ {command}\n{output(command, folder)}" for command in commands]
    return "```console\n" + "\n".join(parts) + "```"


def output(command: str, folder: Path) -> str:
    """What a command prints, without the blanks at the ends of lines."""
    program, *arguments = shlex.split(command)
    if program != "sfumato":
        raise SystemExit(f"{command}: only sfumato is run here")
    run = subprocess.run(
        [sys.executable, "-m", "sfumato", *arguments],
        cwd=folder,
        env={**os.environ, "COLUMNS": COLUMNS, "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    lines = [line.rstrip() for line in run.stdout.decode("utf-8").strip("\n").splitlines()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
