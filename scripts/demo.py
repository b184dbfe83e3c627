"""What `make demo` shows: a training checkpoint is looked at, slimmed, looked at again, and paints.

    python scripts/demo.py [FILE]

Without FILE, the demo makes its own files in demo/: a small checkpoint in SD1's layout as a trainer
leaves it (trained and averaged weights, optimizer state, fp32, a pickle), an embedding, and a file
that would run a command when opened by other programs. Laid out as AUTOMATIC1111 keeps them, a
LoRA, a VAE, a hypernetwork and an embedding follow, and the slimmed checkpoint paints with them.
All weights are random, so the pictures are only colours. With FILE, it looks at yours.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

from make_models import gift, lighthouse, moonlight
from make_paints import make_paints

DEMO = Path("demo")


def run(*arguments: str, expect: int = 0) -> None:
    """Show a command, and what it prints."""
    print(f"\n$ sfumato {shlex.join(arguments)}\n", flush=True)
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
    slim = DEMO / "models" / "Stable-diffusion" / "lighthouse.safetensors"
    slim.parent.mkdir(parents=True, exist_ok=True)
    lighthouse(training)
    make_paints(DEMO)
    moonlight(DEMO / "moonlight.pt")
    gift(DEMO / "free-gift.ckpt")

    run("inspect", str(training))
    run("ema", str(training), "--use", "--dtype", "f16", "-o", str(slim), "--force")
    run("inspect", "--deep", str(slim))
    run("inspect", str(DEMO / "moonlight.pt"))
    run("inspect", str(DEMO / "free-gift.ckpt"), expect=3)
    paint()
    before, after = training.stat().st_size, slim.stat().st_size
    print(f"\n{before:,} bytes became {after:,}, and painted {DEMO / 'lighthouse.png'} and")
    print(f"{DEMO / 'grid.png'}. Try your own: make demo FILE=path/to/model.ckpt")


def paint() -> None:
    """Pictures from the slimmed checkpoint, with everything attached that changes how it paints."""
    prompt = "a lighthouse at dusk, moonglade <lora:ink:0.8> <hypernet:glow:0.5>"
    settings = ("--models", str(DEMO), "--model", "lighthouse", "--seed", "1503", "--force")
    picture, grid = str(DEMO / "lighthouse.png"), str(DEMO / "grid.png")
    size = ("--size", "256x256", "--steps", "12")
    run("generate", prompt, *settings, *size, "--vae", "soft", "-o", picture)
    axes = ("-x", "sampler: Euler a, DPM++ 2M, DDIM", "-y", "lora: none, ink:0.8, ink:2")
    small = ("--size", "128x128", "--steps", "6")
    run("grid", "a lighthouse at dusk, moonglade", *settings, *small, *axes, "-o", grid)
    run("picture", picture)


if __name__ == "__main__":
    main(sys.argv[1:])
