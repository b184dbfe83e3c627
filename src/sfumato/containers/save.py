"""Saving: to one file of any format, or to a diffusers folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from sfumato.containers.folders.write import write_folder
from sfumato.containers.layout import Plan
from sfumato.containers.model_file import DIFFUSERS, Container, Tree
from sfumato.containers.save_file import WRITERS as WRITERS
from sfumato.containers.save_file import Late, Progress, save_file
from sfumato.containers.save_file import Saved as Saved
from sfumato.containers.save_file import writer_for as writer_for
from sfumato.containers.tensor import Tensors


def save(
    path: str | os.PathLike[str],
    tensors: Tensors,
    metadata: Mapping[str, str] | None = None,
    *,
    container: Container | None = None,
    force: bool = False,
    progress: Progress | None = None,
    verify: bool = True,
    tree: Tree = None,
    late: Late | None = None,
    plan: Plan | None = None,
    accept: Callable[[], None] | None = None,
) -> Saved:
    """Write tensors in the format that `container` or the path's suffix names.

    The output may be one of the files the tensors come from. A `tree` is the nested value that a
    pickle format writes instead of the flat names; `plan` is the format's writer with options.
    `late` names stand-ins in the metadata of a safetensors file, each replaced by a text of the
    same length that is only known when the tensors have been written. `accept` is called then,
    and may raise. Raises Refused, OutputExists, NoRoom or Unverified; the old file is untouched
    unless all went well.
    """
    if container != DIFFUSERS:
        return save_file(
            path,
            tensors,
            metadata,
            container=container,
            force=force,
            progress=progress,
            verify=verify,
            tree=tree,
            late=late,
            plan=plan,
            accept=accept,
        )
    return write_folder(
        path,
        tensors,
        metadata or {},
        force=force,
        progress=progress,
        verify=verify,
        accept=accept,
    )
