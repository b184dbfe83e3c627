"""`sfumato diff`: what differs between models, and what one is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import click

from sfumato.app.cli.console import Json, emit_json, human, progress, say
from sfumato.app.cli.model_name import named_model
from sfumato.app.cli.writing import HELP, json_option

if TYPE_CHECKING:
    from sfumato.catalogue.fingerprint import Fingerprint
    from sfumato.operations.comparing.diff import Difference, Side
    from sfumato.operations.comparing.explain import Explanation
    from sfumato.operations.comparing.parts import PartDifference

BAR = 30
"""columns of the longest bar"""


@click.command(
    context_settings=HELP,
    epilog="Example: sfumato diff mix.safetensors anything-v3.ckpt v1-5-pruned.safetensors",
)
@click.argument("first", type=named_model, metavar="FILE")
@click.argument("others", type=named_model, nargs=-1, required=True, metavar="OTHER...")
@click.option("--chart", metavar="PNG", help="Draw the blocks that changed to a picture.")
@click.option("--force", is_flag=True, help="Replace the picture if it is there.")
@click.option(
    "--fingerprint", is_flag=True, help="Compare fingerprints alone; any number of files."
)
@json_option("Tell what was found as JSON.")
def command(
    first: str,
    others: tuple[str, ...],
    *,
    chart: str | None,
    force: bool,
    fingerprint: bool,
    as_json: bool,
) -> None:
    """Say what differs between two models, or which others a model is made of.

    With one OTHER, every number of both is compared, part by part and block by block, whatever
    their containers, types and spellings. With several, each part of FILE is looked for in them: it
    is the same, a weighted sum of theirs (0.70 A + 0.30 B, by least squares), or neither.
    """
    if chart is not None and (fingerprint or others[1:]):
        raise click.UsageError("--chart draws the difference between two files")
    if fingerprint:
        _fingerprints([first, *others], as_json=as_json)
    elif others[1:]:
        _explain(first, others, as_json=as_json)
    else:
        _diff(first, others[0], chart, force=force, as_json=as_json)


def _diff(first: str, second: str, chart: str | None, *, force: bool, as_json: bool) -> None:
    from sfumato.containers.atomic import destination
    from sfumato.operations.comparing.diff import diff
    from sfumato.operations.comparing.json_form import difference

    if chart is not None:
        destination(chart, force=force)  # refused before anything is read, not after
    with progress("diff") as bar:
        found = diff(first, second, progress=bar)
    if chart is not None:
        from sfumato.operations.comparing.chart import save_chart

        save_chart(found, chart, force=force)
    if as_json:
        emit_json(cast("Json", {**difference(found), "chart": chart}))
    else:
        _show(found)
        if chart is not None:
            say(f"the chart is in {chart}")


def _show(found: Difference) -> None:
    from sfumato.operations.comparing.words import sentences

    _head((found.first, found.second))
    for sentence in sentences(found):
        say(sentence)
    for part in found.parts:
        if part.state == "changed":
            _blocks(part)


def _head(sides: Sequence[Side]) -> None:
    from sfumato.containers.text import escape

    for side in sides:
        path = escape(str(side.path), 1000)
        say(f"{path}  {escape(side.title)}, {side.container.title}, {human(side.size)}")


def _blocks(part: PartDifference) -> None:
    from sfumato.containers.text import escape
    from sfumato.operations.comparing.words import percent

    say("")
    say(escape(part.title))
    longest = max((block.distance for block in part.blocks), default=0.0)
    for block in part.blocks:
        bar = "█" * round(BAR * block.distance / longest) if longest else ""
        share = percent(block.distance) if block.distance else "-"
        counts = f"{block.changed:>4}/{block.tensors:<4}"
        say(f"  {escape(block.name, 28):<28} {counts} {share:>15}  {bar}")


def _explain(first: str, others: Sequence[str], *, as_json: bool) -> None:
    from sfumato.operations.comparing.explain import explain
    from sfumato.operations.comparing.json_form import explanation

    with progress("diff") as bar:
        found = explain(first, others, progress=bar)
    if as_json:
        emit_json(cast("Json", explanation(found)))
    else:
        _tell(found)


def _tell(found: Explanation) -> None:
    from sfumato.containers.text import escape
    from sfumato.operations.comparing.words import distances, origin

    _head((found.subject, *found.candidates.values()))
    for one in found.origins:
        say(origin(one))
        if one.distances and one.how != "same":
            say(f"  distances: {distances(one.distances)}")
        if one.how == "mixed by block" and one.mixture is not None:
            names = [term.name for term in one.mixture.terms]
            for block in one.mixture.blocks:
                pairs = zip(block.weights, names, strict=True)
                mix = "  ".join(f"{weight:>6.2f} {escape(name)}" for weight, name in pairs)
                say(f"  {block.block:<20} {mix}")


def _fingerprints(paths: Sequence[str], *, as_json: bool) -> None:
    from sfumato.containers.text import escape
    from sfumato.operations.comparing.fingerprints import fingerprints

    found: list[tuple[str, tuple[Fingerprint, ...]]] = []
    for path in paths:
        with progress(f"fingerprint of {path}") as bar:
            found.append((path, fingerprints(path, progress=bar)))
    if as_json:
        emit_json(
            cast(
                "Json",
                [{"path": path, "fingerprints": [f.to_json() for f in own]} for path, own in found],
            )
        )
        return
    for number, (path, own) in enumerate(found):
        say(escape(path, 1000))
        for one in own:
            say(f"  {one.word}  {escape(one.title)}{_related(one, found[:number])}")


def _related(one: Fingerprint, before: Sequence[tuple[str, tuple[Fingerprint, ...]]]) -> str:
    """What a fingerprint is to those of the files before it; the nearest alone is told."""
    from sfumato.containers.text import escape
    from sfumato.operations.comparing.words import percent

    able = [
        (one.distance(other), escape(path), other)
        for path, own in before
        for other in own
        if one.is_comparable(other)
    ]
    if not able:
        return ""
    distance, path, other = min(able, key=lambda found: found[0])
    words = {
        "same": f": the same as in {path}",
        "rounded": f": that of {path}, rounded on its way",
        "kin": f": about {percent(distance)} from {path}",
        "strangers": f": no kin; the nearest is {path}",
    }
    return words[one.relation(other)]
