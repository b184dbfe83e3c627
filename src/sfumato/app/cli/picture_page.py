"""What made a picture, as it looks in a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sfumato.app.cli.console import paper
from sfumato.containers.text import escape
from sfumato.engine.pictures.readers.found import Found
from sfumato.engine.pictures.requests import to_request
from sfumato.engine.pictures.styled import recognised
from sfumato.engine.pictures.told import told_files
from sfumato.engine.pictures.used import FileUsed
from sfumato.engine.prompt.styles import Styles

LONGEST = 4000
"""characters of a prompt or a setting that are shown; --text and --json show all"""

HASHES = ("Model hash", "VAE hash", "Lora hashes", "TI hashes", "Hypernet hashes", "Hashes")
"""settings that the list of files tells"""

Row = tuple[str, Text | str]


def show(path: str, found: Found, styles: Styles) -> None:
    """Print what `found` tells, with styles that its prompts hold under their names."""
    console = paper()
    console.print(
        Text.assemble((escape(path, 1000), "bold"), (f"  {escape(found.program)}", "dim"))
    )
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for rows in (_prompts(found, styles), _settings(found), _files(found)):
        for label, value in rows:
            grid.add_row(label, value)
        grid.add_row()
    console.print(Padding(grid, (0, 0, 0, 2)), end="")
    sentences = Table.grid(padding=(0, 1))
    for sentence in (*found.notes, *to_request(found.record)[1]):
        sentences.add_row("→", Text(escape(sentence, LONGEST)))
    if sentences.row_count:
        console.print(Padding(sentences, (0, 0, 0, 2)))


def _prompts(found: Found, styles: Styles) -> Iterator[Row]:
    plain, named = recognised(found.record, styles)
    texts = (("prompt", plain.prompt), ("negative", plain.negative), ("styles", ", ".join(named)))
    for label, text in texts:
        if text:
            yield label, Text(_short(text))


def _settings(found: Found) -> Iterator[Row]:
    for key, value in found.record.fields.items():
        if key not in HASHES:
            yield escape(key, 40), Text(_short(value))


def _files(found: Found) -> Iterator[Row]:
    for file in found.files or told_files(found.record):
        yield file.kind, Text.assemble(escape(file.name or "?"), (f"  {_hash(file)}", "dim"))


def _hash(file: FileUsed) -> str:
    """The beginning of its hash: --json has the whole."""
    kind, told = ("sha256", file.sha256) if file.sha256 else ("autov3", file.autov3)
    return f"{kind} {escape(told, 17)}" if told else ""


def _short(text: str) -> str:
    shown = safe(text[: LONGEST + 1])
    return shown if len(shown) <= LONGEST else shown[: LONGEST - 1] + "…"


def safe(text: str) -> str:
    """A text of several lines of which no character can drive a terminal."""
    from sfumato.containers.text import escape

    return "\n".join(escape(line, len(line) + 1) for line in text.split("\n"))
