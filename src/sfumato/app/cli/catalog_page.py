"""The catalogue as it looks in a terminal: tables of models, and a page for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sfumato.app.cli.console import human, paper
from sfumato.catalogue.published import (
    Choice,
    Match,
    PublishedFile,
    PublishedLine,
    editions,
    line_of,
    relatives,
)

HEADINGS: tuple[tuple[str, str], ...] = (
    ("base", "Base models"),
    ("checkpoint", "Checkpoints"),
    ("vae", "VAEs and preview decoders"),
    ("lora", "LoRAs and accelerators"),
    ("embedding", "Embeddings"),
)
"""kinds of lines in the order of the table"""

PAINTS = ("base", "checkpoint")
"""kinds of lines that have a VAE and a clip skip"""

WEIGHTS = {"ema-only": "EMA", "both": "EMA + raw", "non-ema": "raw"}
"""which UNet weights a file holds, in a word"""

GENERAL_PAINT = "not known; in general the EMA-only or pruned edition, as safetensors"
GENERAL_TUNE = "not known; in general the EMA-only edition, in fp32 where there is one"

LEGEND = (
    "record: P publisher's or host's, or computed · S+ several other sources agree · S one source. "
    "* old 8-digit hash: a hint, no proof. Blank: not known."
)

Row = tuple[str, Text | str]


def show_lines(lines: Sequence[PublishedLine]) -> None:
    """All models, in groups."""
    console = paper()
    for kind, heading in HEADINGS:
        group = [line for line in lines if line.kind == kind]
        if not group:
            continue
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
        table.add_column(heading, width=32, header_style="bold")
        table.add_column("made by", width=18, style="dim")
        table.add_column("family", width=18)
        table.add_column("files", width=5, justify="right")
        for line in group:
            files = editions(line)
            families = ", ".join(dict.fromkeys(file.family for file in files))
            table.add_row(line.title, line.maker, families, str(len(files)))
        console.print(table)
        console.print()
    console.print(Text("sfumato catalog NAME shows one: which edition to take, and why.", "dim"))


def show_line(line: PublishedLine, files: Sequence[PublishedFile]) -> None:
    """The page of one model."""
    console = paper()
    families = ", ".join(dict.fromkeys(_family(file) for file in files))
    console.print(Text.assemble((line.title, "bold"), (f"  {families}", "dim")))
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim", no_wrap=True, min_width=12)
    rows.add_column(overflow="fold")
    for label, value in _rows(line):
        rows.add_row(label, value)
    console.print(Padding(rows, (0, 0, 1, 2)))
    _print_files(console, files)
    _print_legend(console)


def show_files(files: Sequence[PublishedFile]) -> None:
    """Files of several models."""
    console = paper()
    _print_files(console, files, names=True)
    _print_legend(console)


def show_matches(matches: Sequence[Match]) -> None:
    """What a hash means: the sentence, the candidates, and where to read on."""
    console = paper()
    for match in matches:
        console.print(Text.assemble((match.certainty, "bold"), f", by {match.by}"))
        _print_files(console, match.files, names=True)
        console.print()
    titles = dict.fromkeys(line_of(file).title for match in matches for file in match.files)
    for title in titles:
        console.print(Text(f'sfumato catalog "{title}" shows all of it.', "dim"))


def _rows(line: PublishedLine) -> Iterator[Row]:
    unknown = Text("not known", "dim")
    paints = line.kind in PAINTS
    if line.about:
        yield "", line.about
    yield from _choice(
        "to paint" if paints else "take", line.paint, GENERAL_PAINT if paints else ""
    )
    yield from _choice("to fine-tune", line.tune, GENERAL_TUNE if paints else "")
    if paints:
        yield "VAE", line.vae or unknown
        yield "clip skip", line.clip_skip or unknown
    if line.settings:
        yield "settings", line.settings
    if line.triggers:
        yield "trigger", ", ".join(line.triggers)
    yield "licence", line.licence or unknown
    yield "made by", line.maker or unknown
    if line.where:
        yield "where", line.where
    for number, trap in enumerate(line.traps):
        yield "" if number else "beware", Text.assemble(("! ", "yellow"), trap)
    if others := relatives(line):
        yield "see also", ", ".join(other.title for other in others)


def _choice(label: str, choice: Choice | None, general: str) -> Iterator[Row]:
    if choice is None:
        if general:
            yield label, Text(general, "dim")
        return
    for number, name in enumerate(choice.take):
        yield "" if number else label, Text(name, "bold")
    yield "", choice.why


def _print_files(console: Console, files: Sequence[PublishedFile], *, names: bool = False) -> None:
    """Two lines or more for each file: what it is, with columns; then what it is called."""
    columns = _columns(files)
    head = "  ".join(column[0] for column in columns)
    room = console.width - len(head) - 4
    console.print(Text(f"  {'file' if names else 'edition':<{room}}  {head}", "dim"))
    for row, file in enumerate(files, start=1):
        title = f"{file.name} {file.edition}".strip() if names else file.edition or file.name
        cells = "  ".join(column[row] for column in columns)
        if len(title) > room:
            console.print(Text(f"  {title}"))
            title = ""
        console.print(Text(f"  {title:<{room}}  {cells}".rstrip()))
        home = f" ({file.home})" if file.home else ""
        for line in (*(f"{name}{home}" for name in file.files), file.note):
            if line:
                console.print(Text(f"    {line}", "dim"))


def _print_legend(console: Console) -> None:
    console.print(Padding(Text(LEGEND, "dim"), (1, 0, 0, 2)))


def _columns(files: Sequence[PublishedFile]) -> list[list[str]]:
    """The columns that are not empty throughout, each as its heading and cells of equal width."""
    columns: list[tuple[str, list[str]]] = [
        ("size", [human(file.size) if file.size else "" for file in files]),
        ("type", [file.dtype for file in files]),
        ("weights", [WEIGHTS.get(file.ema, "") for file in files]),
        ("AutoV2", [_short_hash(file) for file in files]),
        ("record", [file.confidence for file in files]),
    ]
    filled = [[heading, *cells] for heading, cells in columns if any(cells)]
    return [[cell.ljust(max(map(len, column))) for cell in column] for column in filled]


def _short_hash(file: PublishedFile) -> str:
    return file.autov2 or (f"{file.autov1}*" if file.autov1 else "")


def _family(file: PublishedFile) -> str:
    return f"{file.family} {file.variant}".strip()
