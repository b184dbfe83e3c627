"""`sfumato catalog`: what is known of published models."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, cast

import click

from sfumato.app.cli.console import Json, emit_json
from sfumato.errors import SfumatoError, UsageError

if TYPE_CHECKING:
    from sfumato.catalogue.published import Match, PublishedFile, PublishedLine


@click.command(
    epilog='Example: sfumato catalog "realistic vision"',
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("words", nargs=-1)
@click.option("--kind", help="Only this kind: base, checkpoint, vae, lora, embedding …")
@click.option("--family", help="Only this family: sd1, sd2, sdxl …")
@click.option("--json", "as_json", is_flag=True, help="Print JSON with every hash on record.")
def command(words: tuple[str, ...], *, kind: str | None, family: str | None, as_json: bool) -> None:
    """Look published models up: who made them, which edition to take, what to beware of.

    Without WORDS: all models. With the name of a model: its page. With other words, a file name or
    a hash of any sort: the files that have it.

    Nothing is fetched: the record comes with the program.
    """
    from sfumato.catalogue.published import editions, find_line, is_hash, lines, search

    _check(kind, family)
    allowed = search((), kind=kind, family=family)
    if not words:
        kept = {file.line for file in allowed}
        return _answer([line for line in lines() if line.key in kept], as_json=as_json)
    if len(words) == 1 and is_hash(words[0]):
        return _hash(words[0], as_json=as_json)
    found = search(words, kind=kind, family=family)
    line = find_line(" ".join(words)) or _only_line(found)
    if line is not None:
        found = [file for file in editions(line) if file in allowed]
    if not found:
        raise SfumatoError(_unknown(" ".join(words), kind, family))
    return _answer([line] if line is not None else [], found, as_json=as_json)


def _check(kind: str | None, family: str | None) -> None:
    from sfumato.catalogue.published import files, lines

    kinds = {file.kind for file in files()} | {line.kind for line in lines()}
    families = {file.family for file in files()}
    for name, value, known in (("kind", kind, kinds), ("family", family, families)):
        if value is not None and value not in known:
            raise UsageError(f"--{name}: {value!r} is none of {', '.join(sorted(known))}")


def _only_line(found: list[PublishedFile]) -> PublishedLine | None:
    """The line of `found` where it is one line and all of it."""
    from sfumato.catalogue.published import editions, line_of

    if len({file.line for file in found}) != 1:
        return None
    line = line_of(found[0])
    return line if len(found) == len(editions(line)) else None


def _unknown(text: str, kind: str | None, family: str | None) -> str:
    from sfumato.catalogue.published import nearest
    from sfumato.containers.text import escape

    limits = "".join(
        f", {name} {value}" for name, value in (("kind", kind), ("family", family)) if value
    )
    near = nearest(text)
    hint = f"; the nearest names are {', '.join(near)}" if near else ""
    return f'no published model on record has the name "{escape(text)}"{limits}{hint}'


def _hash(text: str, *, as_json: bool) -> None:
    from sfumato.catalogue.published import find_hash
    from sfumato.containers.hashes import EMPTY

    if text.lower().removeprefix("0x") == EMPTY:
        raise SfumatoError(
            f"{EMPTY} is the old hash of every file of 1 MiB or less, so it names none of them"
        )
    matches = find_hash(text)
    if not matches:
        raise SfumatoError(f"no published file on record has the hash {text}")
    if as_json:
        emit_json({"lines": [], "files": [], "matches": [_match(match) for match in matches]})
        return
    from sfumato.app.cli.catalog_page import show_matches

    show_matches(matches)


def _answer(
    lines: list[PublishedLine], files: list[PublishedFile] | None = None, *, as_json: bool
) -> None:
    if as_json:
        emit_json(
            {
                "lines": [_plain(line) for line in lines],
                "files": [_plain(file) for file in files or ()],
                "matches": [],
            }
        )
        return
    from sfumato.app.cli import catalog_page

    if files is None:
        catalog_page.show_lines(lines)
    elif lines:
        catalog_page.show_line(lines[0], files)
    else:
        catalog_page.show_files(files)


def _plain(record: PublishedLine | PublishedFile) -> dict[str, Json]:
    """A record as JSON; what is not known is left out."""
    values = cast("dict[str, Json]", asdict(record))
    return {key: value for key, value in values.items() if value not in ("", None, 0, (), [])}


def _match(match: Match) -> Json:
    return {
        "certainty": match.certainty,
        "by": match.by,
        "sentence": match.sentence(),
        "files": [_plain(file) for file in match.files],
    }
