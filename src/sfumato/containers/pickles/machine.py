"""The pickle machine: executes one stream of opcodes into values, and keeps a journal."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike

from sfumato.containers.journal import Journal
from sfumato.containers.limits import DEFAULT, Limits
from sfumato.containers.pickles.values import Value
from sfumato.errors import Damaged

NESTED = " > "
"""stands between a stream's name and the name of what was found inside it"""


class EndsEarly(Damaged):
    """The stream asks for bytes after the end of what was given: more of the file may help."""


def run(
    data: bytes | memoryview,
    *,
    path: str | PathLike[str],
    where: str,
    journal: Journal,
    limits: Limits = DEFAULT,
    persistent: Callable[[Value], Value] | None = None,
    nested: Callable[[bytes, str], Value] | None = None,
    start: int = 0,
) -> tuple[Value, int]:
    """Execute the pickle that begins at `start`; its value, and the offset after its STOP.

    `persistent` turns a persistent id (`("storage", Global, key, location, numel)` …) into a value;
    it may raise Damaged. `nested` opens the torch file inside bytes (`_load_from_bytes`) and must hand
    the `where` it is given on to its own `run`. Nothing is imported or called: what would have been
    is in `journal`, and whoever walks the whole file decides by `journal.dangerous`.

    Raises Damaged, with the journal, on a malformed stream; EndsEarly where it is only too short.
    Raises Unsupported for numpy arrays of Python objects, after the whole stream was walked.
    """
    raise NotImplementedError
