"""Put what was trained, and some of what it was trained on, into the package.

    python scripts/starter/ship.py RUNS DATA

RUNS holds the trained files, DATA the array files of scripts/starter/build.py. A file that was not
trained is named, and the one that ships already stays.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from PIL import Image

from sfumato.operations.convert import convert
from sfumato.starter.wares import WARES, Ware
from sfumato.training.data.arrays import read_arrays
from sfumato.training.data.items import Item

SHOWN = {"ink": ("ink", 48), "lines": ("ink", 12)}
"""folder of pictures → the array file that they are from, and how many"""

WORD = "inkline, "
"""what their captions lose, so that a style can be trained without a word for it"""


def main() -> None:
    """Copy everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("data", type=Path)
    arguments = parser.parse_args()
    for ware in WARES:
        if ware.kind == "pictures":
            _pictures(ware, arguments.data)
        else:
            _file(ware, arguments.runs)
    total = sum(ware.size for ware in WARES if ware.path.exists())
    print(f"{total / 1e6:.1f} MB in all")


def _file(ware: Ware, runs: Path) -> None:
    trained = runs / ware.path.name
    if not trained.is_file():
        print(f"{trained} is not trained yet")
        return
    ware.path.parent.mkdir(parents=True, exist_ok=True)
    if ware.kind == "hypernetwork":  # trained files of this kind are in full precision
        convert(trained, ware.path, dtype="f16", force=True)
    else:
        shutil.copyfile(trained, ware.path)
    print(f"{ware.path.name}: {ware.size / 1e6:.2f} MB")


def _pictures(ware: Ware, data: Path) -> None:
    """Pictures spread over the array file, as PNG files with a list of captions."""
    source, count = SHOWN[ware.name]
    items = read_arrays(data / f"{source}.safetensors").items
    most = max(count for _, count in SHOWN.values())
    spread = [items[place * len(items) // most] for place in range(most)]
    chosen = spread[:: most // count]
    shutil.rmtree(ware.path, ignore_errors=True)
    ware.path.mkdir(parents=True)
    lines = [_picture(ware.path, item) for item in chosen]
    (ware.path / "metadata.jsonl").write_text("".join(lines), "utf-8")
    print(f"{ware.name}: {count} pictures, {ware.size / 1e3:.0f} kB")


def _picture(folder: Path, item: Item) -> str:
    """Write one picture; returns its line of the list."""
    caption = item.captions[0].removeprefix(WORD)
    words = caption.split(", ")[-1].removeprefix("a ").removeprefix("an ")
    name = f"{words.replace(' ', '-')}.png"
    picture = item.load().quantize(64, dither=Image.Dither.NONE)
    picture.save(folder / name, optimize=True)
    return json.dumps({"file_name": name, "text": caption}) + "\n"


if __name__ == "__main__":
    main()
