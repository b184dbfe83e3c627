"""What `make demo` shows: a training checkpoint is looked at, slimmed, and looked at again.

    python scripts/demo.py [FILE]

Without FILE, the demo makes its own files in demo/: a small checkpoint in SD1's layout as a trainer
leaves it (trained and averaged weights, optimizer state, fp32, a pickle), an embedding, and a file
that would run a command when opened by other programs. With FILE, it looks at yours.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from make_models import gift, lighthouse, moonlight

DEMO = Path("demo")


def run(*arguments: str, expect: int = 0) -> None:
    """Show a command, and what it prints."""
    print(f"\n$ sfumato {' '.join(arguments)}\n", flush=True)
    status = subprocess.run([sys.executable, "-m", "sfumato", *arguments], check=False).returncode
    if status != expect:
        raise SystemExit(f"exit status {status}, expected {expect}")


def main(arguments: list[str]) -> None:
    """The whole demonstration."""
    if arguments:
        run("inspect", *arguments)
        return
    DEMO.mkdir(exist_ok=True)
    training = DEMO / "lighthouse-training.ckpt"
    slim = DEMO / "lighthouse-f16.safetensors"
    lighthouse(training)
    moonlight(DEMO / "moonlight.pt")
    gift(DEMO / "free-gift.ckpt")

    run("inspect", str(training))
    run("ema", str(training), "--use", "--dtype", "f16", "-o", str(slim), "--force")
    run("inspect", "--deep", str(slim))
    run("inspect", str(DEMO / "moonlight.pt"))
    run("inspect", str(DEMO / "free-gift.ckpt"), expect=3)
    before, after = training.stat().st_size, slim.stat().st_size
    print(f"\n{before:,} bytes became {after:,}. Try your own: make demo FILE=path/to/model.ckpt")


if __name__ == "__main__":
    main(sys.argv[1:])
