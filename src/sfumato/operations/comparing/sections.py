"""The parts of a model under one set of names, whatever spelling and type its file has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sfumato.catalogue.averaged import Averaged, averaged
from sfumato.catalogue.component import Match
from sfumato.catalogue.identify import identify
from sfumato.catalogue.spelling.translation import BACK, FORTH, Move, Rule, Translation
from sfumato.catalogue.survey import Survey, survey
from sfumato.catalogue.verdict import Part, Verdict
from sfumato.containers.model_file import ModelFile
from sfumato.containers.tensor import Tensor, Tensors
from sfumato.operations.comparing.lora_names import lora_names
from sfumato.operations.recast import multiplied_out

PLAIN: Mapping[str, Rule] = {**BACK, "openclip": FORTH["openclip"]}
"""layout → its moves to the names that parts are compared under: the original ones of UNets and
VAEs, those of transformers for text encoders, of which a folder and a checkpoint have the same"""

NETWORKS: Mapping[str, str] = {
    "unet-ldm": "unet",
    "unet-diffusers": "unet",
    "vae-ldm": "vae",
    "vae-diffusers": "vae",
    "vae-diffusers-old": "vae",
    "clip": "text",
    "clip-bare": "text",
    "openclip": "text",
}
"""layout → the sort of network whose names it is brought to"""


POSITIONS = "position_ids"
"""end of the name of the numbers 0, 1, 2 …, which new programs do not keep"""


@dataclass(frozen=True, slots=True)
class Section:
    """One part of a model, ready to be laid beside the same part of another one."""

    role: str
    title: str
    tensors: Tensors
    """by their names without a prefix; fp8 weights with a scale are multiplied out when read"""
    network: str = ""
    """unet | vae | text | the layout's own name; empty for what is no known network"""
    spare: frozenset[str] = frozenset()
    """names that not every spelling keeps and nothing depends on, such as SD2's unused last text
    layer, and position ids"""

    @property
    def nbytes(self) -> int:
        """Bytes that reading all tensors gives."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Types of its floats, the commonest first; blocks by the name of their quantisation.

        Those of all its numbers where none is a float; empty without a number.
        """
        floats = [tensor for tensor in self.tensors.values() if tensor.dtype.kind == "float"]
        counts: dict[str, int] = {}
        for tensor in floats or self.tensors.values():
            name = (tensor.origin.encoding if tensor.origin else "") or tensor.dtype.name
            counts[name] = counts.get(name, 0) + tensor.size
        return tuple(sorted(counts, key=lambda name: -counts[name]))


def sections(model: ModelFile, verdict: Verdict | None = None) -> tuple[Section, ...]:
    """The parts of an opened model, the most important first; nothing is read.

    verdict: what `identify` said of the model, where that is known already.
    """
    plain = multiplied_out(model.tensors, None, plain=True).tensors
    verdict = verdict or identify(
        model, metadata=model.metadata, extras=model.extras, stem=model.path.stem
    )
    found = survey({name: tensor.shape for name, tensor in plain.items()})
    return tuple(_section(part, verdict, plain, found) for part in verdict.parts)


def _section(part: Part, verdict: Verdict, model: Tensors, found: Survey) -> Section:
    names = [name for name in part.names if name in model]  # scales are gone
    owner = found.owners.get(names[0]) if names else None
    if isinstance(owner, Match) and owner.role == part.role:
        return _network(part, owner, names, model, found)
    average = averaged(found) if part.role == "ema" else None
    if average is not None:
        return _average(part, average, names, model)
    if verdict.kind == "embedding":
        return Section(part.role, part.title, _embedding(names, model))
    if verdict.kind == "lora":
        named = lora_names({name: model[name] for name in names}, verdict.family)
        return Section(part.role, part.title, {named[name]: model[name] for name in names})
    return Section(part.role, part.title, {n.removeprefix(part.prefix): model[n] for n in names})


def _network(part: Part, match: Match, names: list[str], model: Tensors, found: Survey) -> Section:
    rule = PLAIN.get(match.layout)
    moves = tuple(_moves(rule, match, found)) if rule else ()
    tensors = Translation(moves).apply(model)
    moved = {source for move in moves for source in move.sources}
    rest = {n.removeprefix(match.prefix): model[n] for n in names if n not in moved}
    spare = frozenset(rest) if rule else frozenset[str]()
    spare |= {name for name in tensors if name.endswith(POSITIONS)}
    network = NETWORKS.get(match.layout, match.layout)
    return Section(part.role, part.title, {**tensors, **rest}, network, spare)


def _moves(rule: Rule, match: Match, found: Survey) -> Iterator[Move]:
    held = set(match.found)
    for move in rule(match, found.shapes):
        if held.issuperset(move.sources):
            yield Move(move.target, tuple(match.prefix + n for n in move.sources), move.transform)


def _average(part: Part, average: Averaged, names: list[str], model: Tensors) -> Section:
    """An averaged copy under the names of the trained network that it is an average of."""
    live = {there: name for name, there in average.names.items()}
    live |= {there: name for name, there in average.texts.items()}
    network = NETWORKS.get(average.match.layout, "")
    tensors = {live.get(name, name.removeprefix(part.prefix)): model[name] for name in names}
    spare = frozenset(name for name in tensors if name not in average.names)
    return Section(part.role, part.title, tensors, network, spare)


VECTORS = "emb_params"


def _embedding(names: list[str], model: Tensors) -> dict[str, Tensor]:
    """AUTOMATIC1111's name of the vectors and kohya's are one."""
    ours = [name for name in names if name.startswith("string_to_param.")]
    if len(ours) != 1 or VECTORS in names:
        return {name: model[name] for name in names}
    return {VECTORS if name == ours[0] else name: model[name] for name in names}
