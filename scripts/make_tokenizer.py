"""Derives the tokenizer's table from the one in OpenAI's CLIP, as the package open_clip ships it.

    python scripts/make_tokenizer.py [TABLE]

TABLE is `bpe_simple_vocab_16e6.txt.gz`; without it that of the installed `open_clip` is taken. It
holds more pairs than CLIP uses, and a line with its version at the top.
"""

from __future__ import annotations

import gzip
import sys
from importlib.util import find_spec
from pathlib import Path

from sfumato.catalogue.tokenizer.table import MERGES

PAIRS = 49152 - 256 - 2
"""of a vocabulary of 49152, without single bytes and the two marks of a text"""


def main(arguments: list[str]) -> int:
    """Write the table that the package ships."""
    table = Path(arguments[0]) if arguments else installed()
    lines = gzip.decompress(table.read_bytes()).decode("utf-8").split("\n")
    pairs = lines[1 : PAIRS + 1]
    MERGES.write_bytes(gzip.compress("\n".join(pairs).encode(), 9, mtime=0))
    print(f"{MERGES.name}: {len(pairs)} pairs, {MERGES.stat().st_size} bytes")
    return 0


def installed() -> Path:
    """The table inside the installed package, which is not imported."""
    spec = find_spec("open_clip")
    if spec is None or spec.origin is None:
        raise SystemExit("install open_clip_torch, or name its bpe_simple_vocab_16e6.txt.gz")
    return Path(spec.origin).with_name("bpe_simple_vocab_16e6.txt.gz")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
