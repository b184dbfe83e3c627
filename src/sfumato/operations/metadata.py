"""Metadata: the text in a safetensors header, changed without touching the numbers behind it."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from os import PathLike
from pathlib import Path

from sfumato.containers.model_file import SAFETENSORS, ModelFile
from sfumato.containers.open import open_model
from sfumato.containers.safetensors.write import plan_safetensors
from sfumato.containers.text import escape
from sfumato.errors import Refused, UsageError
from sfumato.operations.beside import lineage_of
from sfumato.operations.carry_out import carry_out
from sfumato.operations.plan import Plan, Progress, Report
from sfumato.operations.recipe import KEY

TRIGGER = "modelspec.trigger_phrase"
"""the key under which programs look for the words that call an adapter up"""


def metadata(
    source: str | PathLike[str],
    target: str | PathLike[str],
    *,
    put: Mapping[str, str] | None = None,
    remove: Collection[str] = (),
    trigger: str | None = None,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Write `source` to `target` with other text in its header; the tensors stay byte for byte.

    put: keys and the values they get, new or changed.
    remove: keys that go; each must be there.
    trigger: the words that call the model up, kept as `modelspec.trigger_phrase`.

    The data keep their order, so AutoV3 (the LoRA hash) stays the same. `target` may be `source`,
    with `force`. Raises the errors of `open_model`, UsageError for a key that is not there or no
    change at all, Refused for a file that is not safetensors, OutputExists, NoRoom, Unverified.
    """
    wanted = {**(put or {}), **({} if trigger is None else {TRIGGER: trigger})}
    with open_model(source) as model:
        plan = plan_metadata(model, Path(target), wanted, remove)
        return carry_out(plan, force=force, dry_run=dry_run, progress=progress)


def plan_metadata(
    model: ModelFile, target: Path, put: Mapping[str, str], remove: Collection[str]
) -> Plan:
    """Everything that `metadata` will do with `model`."""
    _check(model, put, remove)
    kept = {key: value for key, value in model.metadata.items() if key not in remove}
    return Plan(
        operation="metadata",
        options={"put": [f"{key}={value}" for key, value in put.items()], "remove": [*remove]},
        lineage=lineage_of(model),
        sources=(model.path,),
        bytes_in=model.size,
        target=target,
        container=SAFETENSORS,
        tensors=dict(model),
        metadata={**kept, **put},
        changes=tuple(_changes(model.metadata, put, remove)),
        recorded=KEY not in put and KEY not in remove,
        layout=partial(plan_safetensors, in_order=True),
    )


def _check(model: ModelFile, put: Mapping[str, str], remove: Collection[str]) -> None:
    if model.container != SAFETENSORS:
        raise Refused(
            f"{model.path}: is {model.container.title}, and only safetensors has a header to "
            "change; `sfumato convert` makes a safetensors file of it"
        )
    if not put and not remove:
        raise UsageError(f"{model.path}: no change was asked for")
    for key in remove:
        if key not in model.metadata:
            near = difflib.get_close_matches(key, model.metadata, 3)
            hint = f"; nearest: {', '.join(map(escape, near))}" if near else ""
            raise UsageError(f"{model.path}: has no metadata {escape(key)}{hint}")


def _changes(
    before: Mapping[str, str], put: Mapping[str, str], remove: Collection[str]
) -> Iterator[str]:
    for key, value in put.items():
        verb = "changed" if key in before else "added"
        yield f"metadata {verb}: {escape(key)} = {escape(value)}"
    for key in remove:
        if key not in put:
            yield f"metadata removed: {escape(key)}"
