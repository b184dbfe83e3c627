"""What `make demo` shows: a training checkpoint is looked at and slimmed, and the starter paints.

    python scripts/demo.py [FILE]

Without FILE, the demo makes three files in demo/: a checkpoint in SD1's layout as a trainer leaves
it (trained and averaged weights, optimizer state, fp32, a pickle; its numbers are random), an
embedding, and a file that would run a command when opened by other programs. Then the models that
ship with Sfumato paint: one picture, a sheet of sixteen prompts, and a sheet without and with a
VAE, a LoRA, an embedding and a hypernetwork. With FILE, it looks at yours.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from make_models import gift, lighthouse, moonlight

DEMO = Path("demo")

CFG = 4.0
"""what suits a model as small as the starter"""

PROMPTS = (
    "a red apple", "a blue car", "a green heart", "a yellow star",
    "a cat", "a frog", "a penguin", "an owl",
    "a rocket", "a snowman", "a pizza", "a cactus",
    "a purple flower on a yellow background", "a mushroom on a blue background",
    "a ghost on a black background", "a crown on a pink background",
)  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """A prompt and a seed without and with one file, and the word that calls it."""

    title: str
    plain: str
    changed: str
    vae: str = "auto"


PAIRS = (
    Pair("VAE warmth", "a panda", "a panda", vae="warmth"),
    Pair("LoRA inkline", "a cat", "inkline, a cat <lora:inkline:1>"),
    Pair("embedding polarbear", "a polarbear", "a polarbear"),
    Pair("hypernetwork night", "a rocket", "a rocket <hypernet:night:1>"),
)


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
    slim = DEMO / "lighthouse.safetensors"
    lighthouse(training)
    moonlight(DEMO / "moonlight.pt")
    gift(DEMO / "free-gift.ckpt")

    run("inspect", str(training))
    run("ema", str(training), "--use", "--dtype", "f16", "-o", str(slim), "--force")
    run("inspect", "--deep", str(slim))
    run("inspect", str(DEMO / "moonlight.pt"))
    run("inspect", str(DEMO / "free-gift.ckpt"), expect=3)
    run("starter", "list")
    apple = DEMO / "red-apple.png"
    run("generate", "a red apple", "--seed", "1", "--force", "-o", str(apple))
    run("picture", str(apple))
    print("\nTwo sheets are painted …", flush=True)
    sheet, pairs = sixteen(DEMO / "sixteen.png"), without_and_with(DEMO / "without-and-with.png")
    before, after = training.stat().st_size, slim.stat().st_size
    print(f"\n{before:,} bytes became {after:,}. The starter painted\n  {apple}")
    print(f"  {sheet}: sixteen prompts\n  {pairs}: without and with each kind of file")
    print("Try a file of yours: make demo FILE=path/to/model.ckpt")


def sixteen(path: Path) -> Path:
    """A 4 × 4 sheet of prompts."""
    import sfumato as sf
    from sfumato.engine.pictures.sheet import contact_sheet

    with sf.load() as painter:
        painted = [painter.generate(prompt, seed=1, cfg=CFG)[0].image for prompt in PROMPTS]
    contact_sheet(painted, PROMPTS, columns=4).save(path)
    return path


def without_and_with(path: Path) -> Path:
    """A sheet with a column for each kind of file."""
    import sfumato as sf
    from sfumato.engine.loading.load import load
    from sfumato.engine.pictures.sheet import Sheet, draw_sheet
    from sfumato.starter.wares import MODELS

    # A painter without a shelf knows no embedding, so that its name is but a word.
    bare = sf.Painter(load(MODELS / "checkpoints" / "starter.safetensors"))
    with bare:
        without = [bare.generate(pair.plain, seed=2, cfg=CFG)[0].image for pair in PAIRS]
    changed = list[object]()
    for pair in PAIRS:
        with sf.load(vae=pair.vae) as painter:
            changed.append(painter.generate(pair.changed, seed=2, cfg=CFG)[0].image)
            for report in painter.applied:
                print(f"  {report.sentence()}")
    titles = [pair.title for pair in PAIRS]
    draw_sheet(Sheet([without, changed], titles, ("without", "with"))).save(path)
    return path


if __name__ == "__main__":
    main(sys.argv[1:])
