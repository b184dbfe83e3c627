"""Writes the tables of merge methods and presets into docs/merging.md, from the code's own words.

    python scripts/methods_table.py [--check]

What stands between `<!-- methods -->` and `<!-- end of methods -->` is replaced. With --check
nothing is written, and the exit status says whether it was up to date.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from sfumato.operations.merging.method import Method, MethodOption
from sfumato.operations.merging.presets import PRESETS
from sfumato.operations.merging.registry import METHODS

PAGE = Path(__file__).parent.parent / "docs" / "merging.md"
BEGIN, END = "<!-- methods -->", "<!-- end of methods -->"


def lines() -> Iterator[str]:
    """Both tables."""
    yield "| `--method` | models | what it does | options |"
    yield "|---|---|---|---|"
    for method in METHODS:
        options = "<br>".join(map(_option, method.options))
        yield f"| `{method.name}` | {_models(method)} | {_plain(method.text)} | {options} |"
    yield ""
    yield "| preset | weights by block |"
    yield "|---|---|"
    for preset in PRESETS:
        yield f"| `{preset.name}` | {preset.text} |"


def _models(method: Method) -> str:
    names = ", ".join(name.capitalize() for name in method.inputs)
    return f"{names} …" if method.open else names


def _option(option: MethodOption) -> str:
    default = "equal" if option.default == () else f"{option.default}"
    return f"`--{option.name}` {_plain(option.text)} [{default}]"


def _plain(text: str) -> str:
    return text.replace("|", "\\|")


def main(arguments: list[str]) -> int:
    """Write the tables, or check them."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    whole = "\n".join((before + BEGIN, *lines(), END + after))
    if "--check" in arguments:
        return int(whole != page)
    PAGE.write_text(whole, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
