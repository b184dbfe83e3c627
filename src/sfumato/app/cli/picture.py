"""`sfumato picture`: what made a picture."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from sfumato.app.cli.console import Json, complain, emit_json, say
from sfumato.app.cli.writing import HELP, json_option
from sfumato.errors import SfumatoError

if TYPE_CHECKING:
    from sfumato.engine.pictures.readers.found import Found
    from sfumato.engine.prompt.styles import Styles


@click.command(context_settings=HELP, epilog="Example: sfumato picture 00012-1234567.png")
@click.argument("paths", nargs=-1, required=True, metavar="PICTURE...")
@click.option("--text", "as_text", is_flag=True, help="Print the text in A1111's form, no more.")
@click.option(
    "--styles",
    multiple=True,
    metavar="FILE",
    help="Name the styles of this styles.csv that the prompts hold, and show these without.",
)
@json_option("Print JSON.")
def command(
    paths: tuple[str, ...], *, as_text: bool, styles: tuple[str, ...], as_json: bool
) -> None:
    """Say what made PICTURE: program, prompts, settings, files.

    Reads what Sfumato, AUTOMATIC1111, Forge, ComfyUI, InvokeAI, NovelAI, Fooocus, Easy Diffusion,
    SwarmUI and Draw Things write into PNG, JPEG, WebP, AVIF and GIF, into a text file beside the
    picture, or into its pixels; and says what `sfumato generate --from` could not repeat.

    The exit status is 1 where a picture does not say how it was made.
    """
    from sfumato.engine.prompt.styles import read_styles

    known = read_styles(styles)
    status = 0
    answers: list[Json] = []
    shown = False
    for path in paths:
        found = _one(path)
        if isinstance(found, str | SfumatoError):
            sentence = found if isinstance(found, str) else str(found)
            status = max(status, 1 if isinstance(found, str) else found.exit_status)
            answers.append({"path": path, "program": None, "message": sentence})
            complain(f"sfumato: {sentence}")
            continue
        if as_json:
            answers.append(_json(path, found, known))
        else:
            _show(path, found, known, as_text=as_text, blank=shown)
            shown = True
    if as_json:
        emit_json(answers[0] if len(answers) == 1 else answers)
    sys.exit(status)


def _one(path: str) -> Found | SfumatoError | str:
    from sfumato.containers.text import escape
    from sfumato.engine.pictures.readers.registry import read_picture_record

    try:
        found = read_picture_record(path)
    except SfumatoError as error:
        return error
    return found or f"{escape(path, 1000)}: does not say how it was made"


def _show(path: str, found: Found, styles: Styles, *, as_text: bool, blank: bool) -> None:
    if blank:
        say("")
    if as_text:
        from sfumato.app.cli.picture_page import safe

        say(safe(_text(found)))
        return
    from sfumato.app.cli.picture_page import show

    show(path, found, styles)


def _text(found: Found) -> str:
    """The text in A1111's form: as it stands in the file, or made of what another program wrote."""
    from sfumato.engine.pictures.infotext import read_text, write_text

    as_it_is = read_text(found.raw) == found.record
    return found.raw if as_it_is else write_text(found.record)


def _json(path: str, found: Found, styles: Styles) -> Json:
    from sfumato.engine.pictures.requests import to_request
    from sfumato.engine.pictures.styled import recognised
    from sfumato.engine.pictures.told import told_files

    plain, named = recognised(found.record, styles)
    files: list[Json] = [
        {"kind": file.kind, "name": file.name, "sha256": file.sha256, "autov3": file.autov3}
        for file in found.files or told_files(found.record)
    ]
    return {
        "path": path,
        "program": found.program,
        "prompt": plain.prompt,
        "negative": plain.negative,
        "styles": [*named],
        "settings": {**found.record.fields},
        "files": files,
        "notes": [*found.notes],
        "not_honoured": [*to_request(found.record)[1]],
        "text": _text(found),
        "raw": found.raw,
    }
