"""A whole checkpoint in the other spelling: where every tensor goes, and what changes then."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from sfumato.catalogue.component import Match
from sfumato.catalogue.regions import MARKERS, REGIONS
from sfumato.catalogue.spelling.networks import unet_names, unet_pairs, vae_names
from sfumato.catalogue.spelling.texts import text_names, text_packed
from sfumato.catalogue.spelling.transforms import (
    PACK,
    POSITION_IDS,
    TO_CONV,
    TO_LINEAR,
    TRANSPOSE,
    UNPACK,
    Transform,
)
from sfumato.catalogue.survey import Survey, survey
from sfumato.catalogue.trees.shapes import Shape, Shapes
from sfumato.catalogue.trees.text import Text
from sfumato.catalogue.trees.unet import UNet
from sfumato.catalogue.trees.vae import VAE
from sfumato.containers.tensor import Tensor, Tensors


@dataclass(frozen=True, slots=True)
class Move:
    """One tensor of the output, and the tensors of the input it is made from."""

    target: str
    sources: tuple[str, ...]
    """one name; three where queries, keys and values are packed; none for what is made anew"""
    transform: Transform | None = None
    """what changes on the way; None where the tensor stays as it is"""


@dataclass(frozen=True, slots=True)
class Translation:
    """A checkpoint's way into the other spelling."""

    moves: tuple[Move, ...]
    dropped: Mapping[str, str] = field(default_factory=dict[str, str])
    """name → why it has no place in the other spelling"""
    lost: tuple[str, ...] = ()
    """titles of networks that would be gone as a whole, for want of a rule"""

    def apply(self, model: Tensors) -> dict[str, Tensor]:
        """The output's tensors; nothing is read before they are."""
        return {move.target: moved(move, model) for move in self.moves}


def moved(move: Move, model: Tensors) -> Tensor:
    """The tensor that `move` makes of the tensors of `model`; nothing is read."""
    sources = [model[name] for name in move.sources]
    return sources[0] if move.transform is None else move.transform.apply(sources)


def to_diffusers(shapes: Shapes) -> Translation:
    """From the original (LDM) names to those of a diffusers folder (`unet.`, `vae.` …).

    Networks without a prefix stay without one. `dropped` holds everything that diffusers has no
    name for: averages, schedule tables, markers, and SD2's last text layer, which is never used.
    """
    found = survey(shapes)
    moves = [move for match in found.matches for move in _forth(match, shapes)]
    return Translation(tuple(moves), _dropped(found, moves, FORTH), _lost(found, moves))


def to_ldm(shapes: Shapes, *, position_ids: bool = True) -> Translation:
    """From the names of a diffusers folder to the original (LDM) ones.

    position_ids: write CLIP-L's position ids where the folder has none; old programs want them.
    """
    found = survey(shapes)
    family = _family(found)
    moves = [move for match in found.matches for move in _back(match, shapes, family)]
    if position_ids:
        moves += list(_position_ids(found, family, {move.target for move in moves}))
    return Translation(tuple(moves), _dropped(found, moves, BACK), _lost(found, moves))


Rule = Callable[[Match, Shapes], Iterator[Move]]
"""moves between bare names: without the prefix of either side"""


def _forth(match: Match, shapes: Shapes) -> Iterator[Move]:
    rule = FORTH.get(match.layout)
    if rule is not None:
        prefix = FOLDERS[match.role] if match.prefix else ""
        yield from _placed(rule(match, shapes), match, prefix)


def _back(match: Match, shapes: Shapes, family: str) -> Iterator[Move]:
    packed = _is_openclip(match, family)
    rule = (PACKED if packed and match.layout in PACKED else BACK).get(match.layout)
    if rule is not None:
        yield from _placed(rule(match, shapes), match, _place(match, family))


def _placed(moves: Iterator[Move], match: Match, prefix: str) -> Iterator[Move]:
    """`moves` under the prefixes of both sides, where all their sources are in the file."""
    held = set(match.found)
    for move in moves:
        if held.issuperset(move.sources):
            sources = tuple(match.prefix + name for name in move.sources)
            yield Move(prefix + move.target, sources, move.transform)


FOLDERS: Mapping[str, str] = {
    "unet": "unet.",
    "vae": "vae.",
    "text_encoder": "text_encoder.",
    "text_encoder_2": "text_encoder_2.",
    "text_encoder_3": "text_encoder_3.",
}
"""role → folder of a diffusers pipeline"""

PLACES: Mapping[str, Mapping[str, str]] = {
    "sd1": {"text_encoder": "cond_stage_model.transformer."},
    "sd2": {"text_encoder": "cond_stage_model.model."},
    "sdxl": {
        "text_encoder": "conditioner.embedders.0.transformer.",
        "text_encoder_2": "conditioner.embedders.1.model.",
    },
    "sdxl-refiner": {"text_encoder_2": "conditioner.embedders.0.model."},
}
"""family → role → prefix of the original spelling"""


def _place(match: Match, family: str) -> str:
    if not match.prefix:
        return ""
    fixed = {"unet": "model.diffusion_model.", "vae": "first_stage_model."}
    return fixed.get(match.role) or PLACES[family].get(match.role, match.prefix)


def _family(found: Survey) -> str:
    """The family whose prefixes are written: the UNet's, else what the text encoders tell."""
    for match in found.matches:
        if isinstance(match.sizes, UNet):
            return _unet_family(match, match.sizes)
    roles = {match.role for match in found.matches}
    if "text_encoder_2" in roles:
        return "sdxl"
    wide = any(isinstance(m.sizes, Text) and m.sizes.width == 1024 for m in found.matches)
    return "sd2" if wide else "sd1"


def _unet_family(match: Match, unet: UNet) -> str:
    if match.components:
        return match.components[0].family
    if unet.labels and not unet.class_labels:
        return "sdxl"
    return "sd2" if unet.linear_projection else "sd1"


def _is_openclip(match: Match, family: str) -> bool:
    """True where the original spelling of a text encoder is OpenCLIP's."""
    return bool(match.prefix) and (match.role == "text_encoder_2" or family == "sd2")


def _unet_names(match: Match) -> Mapping[str, str]:
    if not isinstance(match.sizes, UNet):
        return {}
    extra = "time_embed.cond_proj"
    there = unet_pairs(match.sizes)[extra]
    return {**unet_names(match.sizes), f"{extra}.weight": f"{there}.weight"}


def _unet_forth(match: Match, shapes: Shapes) -> Iterator[Move]:
    for here, there in _unet_names(match).items():
        yield Move(there, (here,))


def _unet_back(match: Match, shapes: Shapes) -> Iterator[Move]:
    for here, there in _unet_names(match).items():
        yield Move(here, (there,))


def _vae_names(match: Match) -> Mapping[str, str]:
    if not isinstance(match.sizes, VAE):
        return {}
    return vae_names(match.sizes, old=match.layout == "vae-diffusers-old")


def _shape(match: Match, name: str, shapes: Shapes) -> Shape:
    return shapes.get(match.prefix + name, ())


def _vae_forth(match: Match, shapes: Shapes) -> Iterator[Move]:
    for here, there in _vae_names(match).items():
        flat = ".attn_1." in here and len(_shape(match, here, shapes)) == 4
        yield Move(there, (here,), TO_LINEAR if flat else None)


def _vae_back(match: Match, shapes: Shapes) -> Iterator[Move]:
    for here, there in _vae_names(match).items():
        wide = ".attn_1." in here and len(_shape(match, there, shapes)) == 2
        yield Move(here, (there,), TO_CONV if wide else None)


def _same(match: Match, shapes: Shapes) -> Iterator[Move]:
    for name in match.found:
        yield Move(name, (name,))


INNER = "text_model."
"""what NovelAI's files, and folders saved by transformers from 5 on, leave out of the names"""


def _bare(match: Match, shapes: Shapes) -> Iterator[Move]:
    for name in match.found:
        yield Move(INNER + name, (name,))


def _unpack_text(match: Match, shapes: Shapes) -> Iterator[Move]:
    """From OpenCLIP to transformers."""
    if not isinstance(match.sizes, Text):
        return
    text = match.sizes
    unused = _unused(text)
    for here, there in text_names(text).items():
        if not here.startswith(unused):
            yield Move(there, (here,), TRANSPOSE if here == "text_projection" else None)
    for packed in text_packed(text):
        if not packed.packed.startswith(unused):
            for target, take in zip(packed.single, UNPACK, strict=True):
                yield Move(target, (packed.packed,), take)


def _pack_text(match: Match, shapes: Shapes) -> Iterator[Move]:
    """From transformers to OpenCLIP."""
    if not isinstance(match.sizes, Text):
        return
    for here, there in text_names(match.sizes).items():
        yield Move(here, (there,), TRANSPOSE if here == "text_projection" else None)
    if not match.sizes.projection:
        yield Move("text_projection", ("text_projection.weight",), TRANSPOSE)
    for packed in text_packed(match.sizes):
        yield Move(packed.packed, packed.single, PACK)


def _pack_bare(match: Match, shapes: Shapes) -> Iterator[Move]:
    for move in _pack_text(match, shapes):
        yield replace(move, sources=tuple(name.removeprefix(INNER) for name in move.sources))


def _unused(text: Text) -> tuple[str, ...]:
    """SD2 takes the last layer but one: diffusers' text encoder ends there."""
    last = f"transformer.resblocks.{text.layers - 1}."
    return (last, "text_projection") if (text.width, text.layers) == (1024, 24) else ("\0",)


FORTH: Mapping[str, Rule] = {
    "unet-ldm": _unet_forth,
    "vae-ldm": _vae_forth,
    "clip": _same,
    "clip-bare": _bare,
    "openclip": _unpack_text,
}
"""layout of the original spelling → its moves to diffusers"""

BACK: Mapping[str, Rule] = {
    "unet-diffusers": _unet_back,
    "vae-diffusers": _vae_back,
    "vae-diffusers-old": _vae_back,
    "clip": _same,
    "clip-bare": _bare,
}
"""layout of diffusers → its moves to the original spelling"""

PACKED: Mapping[str, Rule] = {"clip": _pack_text, "clip-bare": _pack_bare}
"""the same for text encoders whose original spelling is OpenCLIP's"""


def _position_ids(found: Survey, family: str, done: set[str]) -> Iterator[Move]:
    for match in found.matches:
        if match.layout in PACKED and match.prefix and not _is_openclip(match, family):
            target = _place(match, family) + "text_model.embeddings.position_ids"
            if target not in done:
                yield Move(target, (), POSITION_IDS)


WHOLE = ("unet", "dit", "vae", "text_encoder", "text_encoder_2", "text_encoder_3")
"""roles of the networks without which a model is another one"""


def _lost(found: Survey, moves: list[Move]) -> tuple[str, ...]:
    """The networks of which nothing is moved."""
    moved = {source for move in moves for source in move.sources}
    left = [
        match.title
        for match in found.matches
        if match.role in WHOLE and moved.isdisjoint(match.prefix + name for name in match.found)
    ]
    left += [loose.region.title for loose in found.loose if loose.region.role in WHOLE]
    for region in REGIONS:
        if region.role in WHOLE and not moved.issuperset(found.regions.get(region.prefix, ())):
            left.append(region.title)
    return tuple(dict.fromkeys(left))


def _dropped(found: Survey, moves: list[Move], rules: Mapping[str, Rule]) -> dict[str, str]:
    """Why every name that is not moved stays behind."""
    moved = {source for move in moves for source in move.sources}
    reasons: dict[str, str] = {}
    for name in found.shapes:
        if name in moved:
            continue
        owner = found.owners.get(name)
        if name in MARKERS:
            reasons[name] = "marks what the other spelling says in scheduler_config.json"
        elif not isinstance(owner, Match):
            reasons[name] = "belongs to no network that has a name there"
        elif owner.layout in rules:
            reasons[name] = f"no program that reads the other spelling uses it ({owner.title})"
        else:
            reasons[name] = f"a {owner.title} has no other spelling here"
    return reasons
