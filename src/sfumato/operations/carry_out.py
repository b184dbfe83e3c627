"""The one way a plan becomes a file: recipe, stream, verify, report."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from sfumato.containers.model_file import SAFETENSORS, TORCH_ZIP, Tree
from sfumato.containers.save import save
from sfumato.containers.text import escape
from sfumato.errors import Refused
from sfumato.operations.beside import has_place, with_texts
from sfumato.operations.plan import SHOWN, Plan, Progress, Report
from sfumato.operations.recipe import KEY, TREE_KEY, Hashing, Recipe, hashing, parsed


def carry_out(
    plan: Plan, *, force: bool = False, dry_run: bool = False, progress: Progress | None = None
) -> Report:
    """Write what `plan` says, prove it by reading it back, and tell what was done.

    The inputs are hashed meanwhile, and the hashes stand in the output's recipe. Raises Refused,
    OutputExists, NoRoom or Unverified; nothing is left behind then, and an old file is untouched.
    """
    size = plan.bytes_in or sum(_size(path) for path in plan.sources)
    if dry_run:
        return Report(plan, None, size)
    with hashing(plan.sources) as hashes:
        late = Late(plan, hashes)
        metadata, tree = late.beside()
        saved = save(
            plan.target,
            plan.tensors,
            metadata,
            container=plan.container,
            force=force,
            progress=progress,
            tree=tree,
            late=late.stand_ins(),
            plan=plan.layout,
            accept=lambda: _accept(plan),
        )
        found = {i.name: hashes.pending[i.blake3].result() for i in hashes.inputs}
    return Report(plan, saved, size, found, plan.recorded and has_place(plan.container, tree))


def _accept(plan: Plan) -> None:
    """Called when all bytes are written and none is in place yet."""
    lost = {**plan.losses.infinite, **plan.losses.clipped}
    if plan.strict and lost:
        names = ", ".join(escape(name) for name in list(lost)[:SHOWN])
        became = "infinite" if plan.losses.infinite else "the largest number of the new type"
        raise Refused(
            f"{plan.target}: {sum(lost.values())} numbers would become {became} "
            f"({names}), and strict forbids that; nothing was written"
        )


@dataclass(frozen=True, slots=True)
class Late:
    """The recipe of a plan, in which the hashes of the inputs may still be missing."""

    plan: Plan
    hashes: Hashing

    @property
    def patched(self) -> bool:
        """True for the format in which stand-ins can be overwritten in place at the end."""
        return self.plan.container == SAFETENSORS

    def stand_ins(self) -> Mapping[str, Future[str]]:
        """What `save` is to replace once the tensors are written."""
        return self.hashes.pending if self.patched and self.plan.recorded else {}

    def beside(self) -> tuple[dict[str, str], Tree]:
        """Metadata and tree of the output, with the recipe inside."""
        plan = self.plan
        tree = plan.tree
        if plan.container == TORCH_ZIP:
            tree = with_texts(tree, plan.metadata)
        if not plan.recorded:
            return dict(plan.metadata), tree
        earlier = parsed(plan.lineage)
        text = Recipe(plan.operation, plan.options, self.hashes.inputs, earlier).to_text()
        if not self.patched:
            for stand_in, pending in self.hashes.pending.items():
                text = text.replace(stand_in, pending.result())
        if isinstance(tree, dict) and has_place(plan.container, tree):
            tree = {**tree, TREE_KEY: text}
        return {**plan.metadata, KEY: text}, tree


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size
