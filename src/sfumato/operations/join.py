"""Join: one checkpoint from files that hold its parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

from sfumato.catalogue.component import Match
from sfumato.catalogue.identify import identify
from sfumato.catalogue.spelling.translation import FOLDERS, PLACES, to_ldm
from sfumato.catalogue.survey import survey
from sfumato.catalogue.trees.unet import UNet
from sfumato.catalogue.verdict import Verdict
from sfumato.containers.model_file import DIFFUSERS, TORCH_ZIP, ModelFile, Tree
from sfumato.containers.open import open_model
from sfumato.containers.save import writer_for
from sfumato.containers.tensor import Tensor, Tensors
from sfumato.containers.text import escape
from sfumato.errors import Refused, UsageError
from sfumato.operations.beside import lineage_of, metadata_of
from sfumato.operations.carry_out import carry_out
from sfumato.operations.folder_texts import markers, markers_text
from sfumato.operations.plan import Dropped, Plan, Progress, Report

FIXED = {"unet-ldm": "model.diffusion_model.", "vae-ldm": "first_stage_model."}
"""layout → prefix in a checkpoint, whatever its family"""

FOREIGN = ("unet-diffusers", "vae-diffusers", "vae-diffusers-old")
"""layouts of diffusers, which are translated first"""

BESIDE = ("model_ema.", "embedder.", "noise_augmentor.", "depth_model.", "cc_projection.")
"""what belongs to a checkpoint's UNet and keeps its name; so do tensors without a dot"""


def join(
    sources: Sequence[str | PathLike[str]],
    target: str | PathLike[str],
    *,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Put the UNet, VAE and text encoders of several files together into one checkpoint.

    The parts may be bare, under the prefix of a checkpoint, or in the diffusers spelling; what they
    are is told by their shapes, never by file names. No numbers change. Raises the errors of
    `open_model`, UsageError, Refused where two files hold the same part or the parts make no
    checkpoint, OutputExists, NoRoom or Unverified.
    """
    if len(sources) < 2:
        raise UsageError("join: needs at least two files to put together")
    target = Path(target)
    if writer_for(target).container == DIFFUSERS:
        raise UsageError(f"{target}: join writes a file; `sfumato convert` makes a folder of it")
    with ExitStack() as resources:
        models = [resources.enter_context(open_model(source)) for source in sources]
        plan = plan_join(models, target)
        return carry_out(plan, force=force, dry_run=dry_run, progress=progress)


def plan_join(models: Sequence[ModelFile], target: Path) -> Plan:
    """Everything that `join` will do."""
    found = [(model, survey({n: t.shape for n, t in model.items()}).matches) for model in models]
    main, family = _denoiser(found)
    gathered = _Gathered(family)
    for model, matches in found:
        for match in matches:
            gathered.add(model, match)
        gathered.add_rest(model, matches, main=model is main)
    tensors = {**gathered.own, **gathered.translated(), **markers(main.metadata)}
    verdict = _checked(tensors, target)
    container = writer_for(target).container
    tree: Tree = {"state_dict": {**tensors}} if container == TORCH_ZIP else None
    return Plan(
        operation="join",
        options={},
        lineage=lineage_of(*models),
        sources=tuple(model.path for model in models),
        bytes_in=sum(model.size for model in models),
        target=target,
        container=container,
        tensors=tensors,
        metadata={**metadata_of(main, container), **markers_text(main.metadata)},
        tree=tree,
        dropped=tuple(gathered.dropped),
        changes=tuple(
            f"{match.title} from {model.path.name}" for model, match in gathered.takers.values()
        ),
        warnings=verdict.contradictions,
    )


Found = Sequence[tuple[ModelFile, list[Match]]]


def _denoiser(found: Found) -> tuple[ModelFile, str]:
    """The model with the UNet, and the family whose prefixes are used."""
    for model, matches in found:
        for match in matches:
            if isinstance(match.sizes, UNet):
                return model, _family(match, match.sizes)
    names = ", ".join(model.path.name for model, _ in found)
    raise Refused(f"{names}: none of these holds a UNet, so they make no checkpoint")


def _family(match: Match, unet: UNet) -> str:
    known = match.components[0].family if match.components else ""
    if known in PLACES:
        return known
    if unet.labels and not unet.class_labels:
        return "sdxl"
    return "sd2" if unet.linear_projection else "sd1"


@dataclass(slots=True)
class _Gathered:
    """The tensors of the checkpoint so far, and who brought which part."""

    family: str
    own: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    """under the names of a checkpoint"""
    foreign: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    """under the names of a diffusers folder"""
    takers: dict[str, tuple[ModelFile, Match]] = field(
        default_factory=dict[str, tuple[ModelFile, Match]]
    )
    dropped: list[Dropped] = field(default_factory=list[Dropped])

    def add(self, model: ModelFile, match: Match) -> None:
        """Take one network over."""
        role = self._role(match)
        other, same = self.takers.setdefault(role, (model, match))
        if same is not match:
            raise Refused(
                f"{model.path} and {other.path}: both hold a part of the sort {role} "
                f"({match.title}, {same.title}); only one can be in a checkpoint"
            )
        tensors = {name: model[match.prefix + name] for name in match.found}
        place, foreign = self._place(model, match)
        if match.layout == "clip-bare":
            tensors = {f"text_model.{name}": tensor for name, tensor in tensors.items()}
        target = self.foreign if foreign else self.own
        target.update({place + name: tensor for name, tensor in tensors.items()})

    def _role(self, match: Match) -> str:
        """The only OpenCLIP encoder of the SDXL families is their second, whatever its size."""
        second = self.family.startswith("sdxl") and match.layout == "openclip"
        return "text_encoder_2" if second else match.role

    def _place(self, model: ModelFile, match: Match) -> tuple[str, bool]:
        """The prefix of a part, and whether that is one of a diffusers folder."""
        if match.layout in FIXED:
            return FIXED[match.layout], False
        if match.layout in FOREIGN:
            return FOLDERS[match.role], True
        place = PLACES[self.family].get(self._role(match), "")
        if not place or match.layout not in ("clip", "clip-bare", "openclip"):
            raise Refused(
                f"{model.path}: the {match.title} has no place in a checkpoint of the family "
                f"{self.family}"
            )
        packed = place.endswith(".model.")
        if match.layout == "openclip" and not packed:
            raise Refused(f"{model.path}: the {match.title} is not what {self.family} uses")
        foreign = packed and match.layout != "openclip"
        return (FOLDERS[match.role] if foreign else place), foreign

    def add_rest(self, model: ModelFile, matches: list[Match], *, main: bool) -> None:
        """What belongs to no network: the UNet's companions stay, the rest is told of."""
        taken = {match.prefix + name for match in matches for name in match.found}
        for name, tensor in model.items():
            if name in taken:
                continue
            if main and (name.startswith(BESIDE) or "." not in name):
                self.own[name] = tensor
            else:
                reason = f"belongs to no part of a checkpoint ({model.path.name})"
                self.dropped.append(Dropped(name, reason, tensor.nbytes))

    def translated(self) -> dict[str, Tensor]:
        """The foreign tensors under the names of a checkpoint."""
        if not self.foreign:
            return {}
        everything = {**self.own, **self.foreign}
        shapes = {name: tensor.shape for name, tensor in everything.items()}
        moves = to_ldm(shapes, position_ids=False)
        kept = tuple(m for m in moves.moves if self.foreign.keys() >= set(m.sources))
        return type(moves)(kept).apply(self.foreign)


def _checked(tensors: Tensors, target: Path) -> Verdict:
    verdict = identify(tensors)
    if verdict.kind != "checkpoint":
        raise Refused(f"{target}: these parts do not make a checkpoint, but: {verdict.title}")
    faults = list(_faults(verdict))
    if faults:
        raise Refused(f"{target}: the checkpoint would not be whole: {faults[0]}")
    return verdict


def _faults(verdict: Verdict) -> Iterator[str]:
    for part in verdict.parts:
        if part.role in ("unet", "vae", "text_encoder", "text_encoder_2"):
            for name in part.missing:
                yield f"{escape(name)} of the {part.title} is missing"
            yield from part.reshaped
