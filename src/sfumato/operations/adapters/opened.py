"""A model file as a target for adapters: its networks in the original spelling, where they lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sfumato.catalogue.identify import identify
from sfumato.catalogue.spelling.translation import Move, moved
from sfumato.catalogue.survey import Survey, survey
from sfumato.catalogue.trees.unet import UNet
from sfumato.catalogue.verdict import Verdict
from sfumato.containers.model_file import ModelFile
from sfumato.containers.tensor import Tensor, Tensors
from sfumato.containers.text import escape
from sfumato.errors import Unsupported
from sfumato.operations.adapters.target import Body, Target
from sfumato.operations.original import NEEDED, Part, Role, averages, family_of, parts, place
from sfumato.operations.recast import FACTORS, multiplied_out


@dataclass(frozen=True, slots=True)
class Opened:
    """A model file, and the target that its networks make up."""

    file: ModelFile
    verdict: Verdict
    target: Target
    stored: Tensors = field(repr=False)
    """the file's tensors; fp8 that is stored with scales is multiplied out"""
    moves: Mapping[str, Move] = field(repr=False)
    """key of the target → the names in `stored` that it is made of, and how"""
    changes: tuple[str, ...] = ()
    """what that took, one sentence each"""
    notes: tuple[str, ...] = ()
    """what is not in the target, one sentence each"""


def target_of_file(file: ModelFile) -> Target:
    """The networks of a file of the Stable Diffusion 1, 2 or XL line; nothing is read.

    A checkpoint, a folder or a lone network, in any spelling. Keys are those of the original
    checkpoints. Raises Unsupported for everything else.
    """
    return opened(file).target


def opened(file: ModelFile) -> Opened:
    """The same, with what is needed to write the target's tensors back where they came from."""
    plain = multiplied_out(file.tensors, None, plain=True)
    found = survey({name: tensor.shape for name, tensor in plain.tensors.items()})
    verdict = identify(file, metadata=file.metadata, extras=file.extras, stem=file.path.stem)
    family = family_of(verdict.family.partition("/")[0], found)
    own = parts(plain.tensors, found, family) if family in NEEDED else {}
    notes = _with_averages(own, found, family)
    scale = next((name for name in plain.tensors if name.endswith(FACTORS)), "")
    if scale:
        raise Unsupported(
            file.path, f"its weights are stored with scales ({escape(scale)}) that are more than "
            "a number each, and are not read"
        )  # fmt: skip
    if not own:
        title = verdict.title or "of an unknown kind"
        raise Unsupported(
            file.path, f"is no model of the Stable Diffusion 1, 2 or XL line, but: {title}"
        )
    moves = {part.prefix + name: m for part in own.values() for name, m in part.moves.items()}
    tensors: dict[str, Tensor] = {key: moved(m, plain.tensors) for key, m in moves.items()}
    bodies = (Body(p.role, p.prefix, p.sizes, p.openclip) for p in own.values())
    target = Target(file.path, family, tensors, tuple(bodies))
    return Opened(file, verdict, target, plain.tensors, moves, plain.changes, notes)


def _with_averages(own: dict[Role, Part], found: Survey, family: str) -> tuple[str, ...]:
    """Take averaged weights for the UNet where the file has no trained ones; else leave them."""
    copy = averages(found) if family in NEEDED else None
    if copy is None or not copy.names:
        return ()
    if isinstance(copy.sizes, UNet) and "unet" not in own:
        moves = {name: Move(name, (there,)) for name, there in copy.names.items()}
        own["unet"] = Part("unet", place("unet", family), copy.sizes, moves=moves)
        return ()
    return ("the averaged (EMA) weights in the file stay as they are",)
