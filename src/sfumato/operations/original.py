"""The networks of a checkpoint under the names of the original spelling, whatever it came in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from sfumato.catalogue.averaged import averaged
from sfumato.catalogue.component import Match, Sizes
from sfumato.catalogue.layouts import CLIP, CLIP_BARE, OPENCLIP, UNET_LDM, VAE_LDM
from sfumato.catalogue.spelling.translation import BACK, PLACES, Move, moved, to_ldm
from sfumato.catalogue.survey import Survey
from sfumato.catalogue.trees.shapes import Shape, Shapes
from sfumato.catalogue.trees.text import Text, clip_shapes, openclip_shapes
from sfumato.catalogue.trees.unet import UNet, unet_shapes
from sfumato.catalogue.trees.vae import VAE, vae_shapes
from sfumato.containers.dtype import F32
from sfumato.containers.tensor import Tensor, Tensors
from sfumato.containers.text import escape

Role = Literal["unet", "text_encoder", "text_encoder_2", "vae"]
Weights = Literal["live", "ema"]

NEEDED: Mapping[str, tuple[Role, ...]] = {
    "sd1": ("unet", "text_encoder", "vae"),
    "sd2": ("unet", "text_encoder", "vae"),
    "sdxl": ("unet", "text_encoder", "text_encoder_2", "vae"),
    "sdxl-refiner": ("unet", "text_encoder_2", "vae"),
}
"""family → the networks that painting takes, in the order in which they are loaded"""

NATIVE = (UNET_LDM.name, VAE_LDM.name, OPENCLIP.name)
"""layouts that already are the original spelling"""

TRANSFORMERS = (CLIP.name, CLIP_BARE.name)

FIRST = "conditioner.embedders.0.model."
"""where the refiner keeps its only text encoder"""


@dataclass(slots=True)
class Part:
    """One network: what it is and its tensors by their names in the original spelling."""

    role: Role
    prefix: str
    sizes: UNet | VAE | Text
    openclip: bool = False
    """True for a text encoder in OpenCLIP's spelling"""
    tensors: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    """without the prefix"""
    moves: dict[str, Move] = field(default_factory=dict[str, Move])
    """the same names → how each tensor is made of those of the file"""
    faults: tuple[str, ...] = ()
    """what keeps it from being used, one clause each"""

    @property
    def shapes(self) -> Shapes:
        """Every key that it must have."""
        match self.sizes:
            case UNet():
                return unet_shapes(self.sizes)
            case VAE():
                return vae_shapes(self.sizes)
            case Text():
                return openclip_shapes(self.sizes) if self.openclip else clip_shapes(self.sizes)


def place(role: Role, family: str) -> str:
    """The prefix of a network in the original spelling."""
    fixed = {"unet": "model.diffusion_model.", "vae": "first_stage_model."}
    return fixed.get(role) or PLACES[family][role]


def family_of(family: str, found: Survey) -> str:
    """`family`, but for small models with the refiner's single text encoder: its sizes are its own.

    The catalogue takes a UNet of no published size for SDXL's where it has a label vector.
    """
    texts = [m for m in found.matches if m.role.startswith("text_encoder")]
    alone = len(texts) == 1 and texts[0].layout == OPENCLIP.name
    if family == "sdxl" and alone and texts[0].prefix.endswith(FIRST):
        return "sdxl-refiner"
    return family


def parts(model: Tensors, found: Survey, family: str) -> dict[Role, Part]:
    """Every network that painting takes and that is in the file."""
    moves = _moves(found)
    there: dict[Role, Part] = {}
    for role in NEEDED[family]:
        match = _match(found, role, family)
        if match is not None and isinstance(match.sizes, (UNet, VAE, Text)):
            part = there[role] = _part(role, match, family, moves)
            part.tensors = {name: moved(move, model) for name, move in part.moves.items()}
    return there


def _match(found: Survey, role: Role, family: str) -> Match | None:
    """The fullest network that plays a role."""
    roles: tuple[str, ...] = (role,)
    if family == "sdxl-refiner" and role == "text_encoder_2":
        roles = ("text_encoder_2", "text_encoder")
    able = [m for m in found.matches if m.role in roles and _is_spelled(m)]
    return max(able, key=lambda match: len(match.found), default=None)


def _is_spelled(match: Match) -> bool:
    return match.layout in NATIVE or match.layout in BACK


def _moves(found: Survey) -> dict[str, dict[str, Move]]:
    """Prefix in the file → original names without a prefix → where the tensor comes from."""
    piles: dict[str, dict[str, Move]] = {}
    for move in to_ldm(found.shapes, position_ids=False).moves:
        owner = next((found.owners.get(source) for source in move.sources), None)
        if isinstance(owner, Match) and owner.layout in BACK:
            piles.setdefault(owner.prefix, {})[move.target] = move
    for match in found.matches:
        if match.layout in NATIVE:
            bare = {name: Move(name, (match.prefix + name,)) for name in match.found}
            piles.setdefault(match.prefix, {}).update(bare)
    return piles


def _part(role: Role, match: Match, family: str, moves: dict[str, dict[str, Move]]) -> Part:
    openclip = match.layout == OPENCLIP.name or (
        match.layout in TRANSFORMERS and (role == "text_encoder_2" or family == "sd2")
    )
    sizes = match.sizes
    assert isinstance(sizes, (UNet, VAE, Text))
    part = Part(role, place(role, family), sizes, openclip, faults=tuple(_faults(match)))
    pile, tree = moves.get(match.prefix, {}), part.shapes
    # What was translated has a prefix already, though of the family that the sizes look like.
    starts = ("", *dict.fromkeys(place(role, f) for f in PLACES if role in NEEDED[f]))
    for name in tree:
        start = next((start for start in starts if start + name in pile), None)
        if start is not None:
            part.moves[name] = pile[start + name]
    return part


def _faults(match: Match) -> Iterator[str]:
    for name in match.missing[:1]:
        rest = len(match.missing) - 1
        more = f" and {rest} more tensors" if rest else ""
        yield f"its {match.title} lacks {escape(match.prefix + name)}{more}"
    for name, (found, expected) in match.reshaped.items():
        where = escape(match.prefix + name)
        yield f"{where} of its {match.title} is {list(found)}, expected {list(expected)}"


def fill_up(part: Part) -> None:
    """Zeros for tensors that are never used and that some files rightly lack."""
    for name, shape in part.shapes.items():
        if name not in part.tensors:
            part.tensors[name] = zeros(shape)


def zeros(shape: Shape) -> Tensor:
    """A tensor of zeros that takes no memory before it is read."""
    return Tensor(F32, shape, lambda: bytes(F32.nbytes(shape)))


@dataclass(frozen=True, slots=True)
class Copy:
    """An averaged (EMA) UNet or VAE beside, or in place of, the trained one."""

    sizes: Sizes
    names: Mapping[str, str]
    """name without prefix → name in the file"""
    missing: int
    reshaped: tuple[str, ...]
    texts: Mapping[str, str] = field(default_factory=dict[str, str])
    """whole name of a text encoder's tensor → name of its average, where there is one"""


def averages(found: Survey) -> Copy | None:
    """The averaged copy in a file; None where there is none."""
    copy = averaged(found)
    if copy is not None:
        return Copy(copy.match.sizes, copy.names, len(copy.missing), copy.reshaped, copy.texts)
    for match in found.matches:
        if match.role == "ema" and match.layout in NATIVE:
            names = {name: match.prefix + name for name in match.found}
            return Copy(match.sizes, names, len(match.missing), tuple(_faults(match)))
    return None
