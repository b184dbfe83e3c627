"""The card as it looks in a terminal: quiet, aligned, the most important first."""

from __future__ import annotations

from collections.abc import Iterator

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sfumato.app.cli.console import human, paper
from sfumato.catalogue.cards.card import Card
from sfumato.catalogue.fingerprint import Fingerprint
from sfumato.catalogue.verdict import Adapter, Part, Verdict
from sfumato.containers.journal import Event
from sfumato.containers.sizes import counted
from sfumato.containers.text import escape

COLOURS = {"clean": "green", "dangerous": "bold red"}
"""colour of the verdict; every other one is yellow"""

FIRST = 5
"""lines shown of what may be thousands, unless everything is asked for"""

TEXT = 100
"""characters shown of a metadata value"""

Row = tuple[str, Text | str]


def show(card: Card, *, full: bool = False) -> None:
    """Print `card`."""
    console = paper()
    size = f"  {human(card.size)}" if card.size else ""
    console.print(Text.assemble((escape(str(card.path), 1000), "bold"), (size, "dim")))
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim", no_wrap=True, min_width=10)
    rows.add_column(overflow="fold")
    for label, value in _rows(card, full=full):
        rows.add_row(label, value)
    console.print(Padding(rows, (0, 0, 0, 2)))
    if card.identity is not None and card.identity.parts:
        console.print(Padding(_parts(card.identity, full=full), (1, 0, 0, 2)))
    if card.fingerprints:
        console.print(Padding(fingerprint_table(card.fingerprints), (1, 0, 0, 2)))
    if card.advice:
        console.print()
    advice = Table.grid(padding=(0, 1))
    for sentence in card.advice:
        advice.add_row("→", Text(escape(sentence, 2000)))
    console.print(Padding(advice, (0, 0, 0, 2)))


def _rows(card: Card, *, full: bool) -> Iterator[Row]:
    yield "safety", _safety(card)
    if card.message:
        yield "reason", Text(escape(card.message, 2000))
    yield from _journal(card, full=full)
    if card.container is not None:
        inside = f", in {escape(card.wrapper)}" if card.wrapper else ""
        yield "container", f"{card.container.title}{inside}"
    if card.identity is not None:
        yield from _identity(card.identity, full=full)
    for note in card.notes[: None if full else FIRST]:
        yield "note", Text(escape(note, 2000))
    yield from _texts(card, full=full)
    if card.hashes is not None:
        yield from card.hashes.named().items()


def _safety(card: Card) -> Text:
    pickled = card.container is not None and card.container.executes
    clean = "every import of its pickle is known" if pickled else "it can hold no code"
    words = {
        "clean": f"clean: {clean}",
        "dangerous": "DANGEROUS: opened elsewhere it would run code; it was not opened further",
        "damaged": "damaged",
        "unsupported": "not supported",
        "not-a-model": "not a model",
    }
    return Text(words[card.verdict], style=COLOURS.get(card.verdict, "yellow"))


def _journal(card: Card, *, full: bool) -> Iterator[Row]:
    refused = card.journal.refused
    limit = None if full else 40
    for event in refused[:limit]:
        yield "would run" if event.kind == "call" else "would " + event.kind, _event(event)
    if limit is not None and len(refused) > limit:
        yield "", f"… and {len(refused) - limit} more (--full shows all)"
    if inert := card.journal.names("inert"):
        shown = inert if full else inert[:FIRST]
        more = f" and {len(inert) - len(shown)} more" if len(inert) > len(shown) else ""
        yield "set aside", Text(", ".join(escape(name) for name in shown) + more)


def _event(event: Event) -> Text:
    call = f"({event.arguments})" if event.kind == "call" else ""
    return Text.assemble(
        (escape(event.name), "bold red"), call, (f"  byte {event.offset} of {event.where}", "dim")
    )


def _identity(verdict: Verdict, *, full: bool) -> Iterator[Row]:
    sure = f"  ({verdict.confidence})" if verdict.confidence in ("likely", "guess") else ""
    yield "what", Text.assemble((escape(verdict.title or verdict.kind), "bold"), sure)
    if verdict.edition:
        yield "edition", verdict.edition
    if verdict.edition_note:
        yield "", Text(verdict.edition_note, style="dim")
    if verdict.prediction is not None and verdict.prediction.type != "unknown":
        ztsnr = ", zero terminal SNR" if verdict.prediction.zero_terminal_snr else ""
        yield "predicts", f"{verdict.prediction.type}{ztsnr} ({verdict.prediction.reason})"
    if verdict.adapter is not None:
        yield from _adapter(verdict.adapter)
    for word in verdict.trigger_words[: None if full else FIRST]:
        yield "trigger", Text.assemble((escape(word.word), "bold"), (f"  {word.source}", "dim"))
    if verdict.hyperparameters and (full or any(part.custom for part in verdict.parts)):
        every = verdict.hyperparameters.items()
        sizes = (f"{key} {_value(v)}" for key, v in every if full or (v and _usual(key)))
        yield "sizes", ", ".join(sizes)
    yield from _list("because", verdict.evidence, full=full)
    yield from _list("against", verdict.contradictions, full=full)
    if verdict.runner_up:
        yield "runner-up", Text(escape(verdict.runner_up, 500), style="dim")
    if verdict.left_over:
        yield from _keys("left over", verdict.left_over, full=full)


def _usual(key: str) -> bool:
    """True for a size of the main network that is not the mirror of another one."""
    return "." not in key and key != "rises"


def _adapter(adapter: Adapter) -> Iterator[Row]:
    other = adapter.spelling not in ("", adapter.flavour)
    spelling = f", {adapter.spelling} spelling" if other else ""
    yield "flavour", f"{adapter.flavour}{spelling}"
    if adapter.ranks:
        ranks = ", ".join(map(str, adapter.ranks[:8])) + ("…" if len(adapter.ranks) > 8 else "")
        alphas = ", ".join(f"{alpha:g}" for alpha in adapter.alphas[:8])
        yield "rank", ranks + (f", alpha {alphas}" if alphas else "")
    if adapter.modules:
        targets = f" of {', '.join(adapter.targets)}" if adapter.targets else ""
        known = f"{adapter.known} of {adapter.modules} modules known{targets}"
        yield "modules", known + (f"; the family has {adapter.possible}" * bool(adapter.possible))
    if adapter.vectors:
        yield "vectors", f"{adapter.vectors} × {' + '.join(map(str, adapter.widths))}"
    elif adapter.widths:
        yield "widths", ", ".join(map(str, adapter.widths))
    if adapter.structure:
        yield "layers", adapter.structure
    if adapter.bundled:
        yield "carries", f"embeddings {', '.join(map(escape, adapter.bundled))}"


TELLING = (
    "modelspec.title", "modelspec.author", "modelspec.license", "modelspec.usage_hint",
    "modelspec.resolution", "modelspec.encoder_layer", "ss_sd_model_name", "ss_resolution",
    "ss_clip_skip", "ss_num_train_images", "ssmd_author", "ssmd_description",
)  # fmt: skip
"""metadata whose values a person wants to see at once"""


def _texts(card: Card, *, full: bool) -> Iterator[Row]:
    """Metadata and values beside the tensors: the telling ones, or every one when asked."""
    texts = {**{k: str(v) for k, v in card.extras.items()}, **card.metadata}
    if full:
        for key, value in texts.items():
            yield escape(key, 40), Text(escape(value, 2000))
        return
    told = [key for key in TELLING if texts.get(key, "None") not in ("", "None")]
    for key in told:
        yield key.partition(".")[2] or key.partition("_")[2], Text(escape(texts[key], TEXT))
    rest = sorted((key for key in texts if key not in told), key=lambda key: key.count("."))
    if rest:
        names = ", ".join(escape(key, 40) for key in rest[:FIRST])
        more = f" and {len(rest) - FIRST} more (--full)" if len(rest) > FIRST else ""
        yield "metadata", Text(names + more, style="dim")


def _list(label: str, clauses: tuple[str, ...], *, full: bool) -> Iterator[Row]:
    for number, clause in enumerate(clauses if full else clauses[:FIRST]):
        yield label if number == 0 else "", Text(escape(clause, 500))


def _keys(label: str, names: tuple[str, ...], *, full: bool) -> Iterator[Row]:
    shown = names if full else names[:3]
    more = f" … {len(names)} in all" if len(names) > len(shown) else ""
    yield label, Text(", ".join(escape(name) for name in shown) + more)


def _value(value: int | str | tuple[int, ...]) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _parts(verdict: Verdict, *, full: bool) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for title, justify in (("part", "left"), ("tensors", "right"), ("parameters", "right")):
        table.add_column(title, justify=justify, no_wrap=title != "part")  # pyright: ignore[reportArgumentType]
    table.add_column("bytes", justify="right", no_wrap=True)
    table.add_column("dtype", no_wrap=True)
    table.add_column("state", overflow="fold")
    for part in verdict.parts:
        table.add_row(
            Text(escape(part.title)),
            str(part.tensors),
            _millions(part.parameters),
            human(part.nbytes),
            ", ".join(sorted(part.dtypes, key=lambda name: -part.dtypes[name])),
            _state(part, full=full),
        )
    return table


def _millions(count: int) -> str:
    return f"{count / 1e6:.1f} M" if count >= 100_000 else str(count)


def _state(part: Part, *, full: bool) -> Text:
    if part.missing:
        bare = (name.removeprefix(part.prefix) for name in part.missing)
        first = ", ".join(escape(name) for name in list(bare)[: None if full else 2])
        return Text(f"{len(part.missing)} of {part.expected} missing: {first}", style="yellow")
    if part.reshaped:
        first = "; ".join(escape(clause) for clause in part.reshaped[: None if full else 1])
        return Text(f"{len(part.reshaped)} of another shape: {first}", style="yellow")
    if part.custom:
        return Text("complete, custom size")
    return Text("complete") if part.expected else Text("")


def fingerprint_table(found: tuple[Fingerprint, ...]) -> Table:
    """Every part with the short word of its fingerprint."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("part")
    table.add_column("fingerprint", no_wrap=True)
    table.add_column("of", style="dim", no_wrap=True)
    for one in found:
        table.add_row(Text(escape(one.title)), one.word, counted(one.tensors, "tensor"))
    return table
