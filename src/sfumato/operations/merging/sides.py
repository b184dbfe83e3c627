"""One model of a merge as the merge sees it: original spelling, plain numbers, parts by group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from sfumato.catalogue.identify import identify
from sfumato.catalogue.verdict import Verdict
from sfumato.containers.model_file import SAFETENSORS, ModelFile
from sfumato.containers.tensor import Tensor
from sfumato.errors import Refused
from sfumato.operations.ema import ACTIONS
from sfumato.operations.merging.tree import Ema
from sfumato.operations.recast import FACTORS, multiplied_out
from sfumato.operations.repair import CLIP, INSIDE
from sfumato.operations.respell import respell, spelled

GROUP_OF: Mapping[str, str] = {
    "unet": "unet", "dit": "unet", "control": "unet", "adapter": "unet", "conditioner": "unet",
    "text_encoder": "text_encoder", "text_encoder_2": "text_encoder",
    "text_encoder_3": "text_encoder", "vae": "vae", "ema": "ema",
}  # fmt: skip
"""role of a part → the group that a policy speaks of; all others are the first model's"""

TITLES: Mapping[str, str] = {
    "unet": "UNet", "text_encoder": "text encoder", "vae": "VAE", "ema": "averaged (EMA) copy"
}  # fmt: skip

LEFT: Mapping[str, str] = {
    "optimizer": "optimizer state, which belongs to the trained numbers",
    "training": "bookkeeping of the training program",
    "loss": "losses and discriminator: only used in training",
}
"""role of a part that no merge has → why"""

FACTORED: Mapping[str, str] = {
    "lora": "`sfumato bake` puts it into a checkpoint, `sfumato lora merge` joins several",
    "hypernetwork": "hypernetworks are not linear, and no sum of two does what both do",
}
"""kinds that are not merged number by number → what to do instead"""


@dataclass(frozen=True, slots=True)
class Side:
    """One model, its tensors under the names that all sides of a merge share."""

    label: str
    model: ModelFile
    verdict: Verdict
    tensors: Mapping[str, Tensor]
    groups: Mapping[str, str] = field(default_factory=dict[str, str])
    """name → group; names that are not in it belong to none"""
    needed: frozenset[str] = frozenset()
    """names that a complete model would have and this one lacks"""
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The file, with its label where that says something else."""
        name = self.model.path.name
        return name if self.label == name else f"{self.label} ({name})"

    def has(self, group: str) -> bool:
        """True where the model has that part."""
        return group in self.groups.values()


def side(label: str, model: ModelFile, ema: Ema) -> Side:
    """Make a model comparable with others; raises Refused for what cannot be merged."""
    verdict = identify(model, metadata=model.metadata, extras=model.extras)
    if verdict.kind in FACTORED:
        raise Refused(f"{model.path}: is a {verdict.kind}: {FACTORED[verdict.kind]}")
    plain = multiplied_out(model.tensors, None, plain=True)
    scale = next((name for name in plain.tensors if name.endswith(FACTORS)), "")
    if scale:
        raise Refused(f"{model.path}: its weights mean nothing without scales such as {scale}")
    notes = list(plain.changes)
    tensors = plain.tensors
    if ema == "use" and any(part.role == "ema" for part in verdict.parts):
        chosen = ACTIONS["use"](replace(model, tensors=tensors), verdict)
        tensors, notes = chosen.tensors, [*notes, *chosen.changes]
    if not spelled(tensors, "ldm"):
        moved = respell(replace(model, tensors=tensors), verdict, "ldm", SAFETENSORS)
        tensors, notes = moved.tensors, [*notes, *moved.changes]
    tensors = dict(_with_text_model(tensors))
    verdict = identify(tensors, metadata=model.metadata, extras=model.extras)
    groups = {n: GROUP_OF.get(p.role, p.role) for p in verdict.parts for n in p.names}
    missing = frozenset(name for part in verdict.parts for name in part.missing)
    title = f"{label} ({model.path.name}): "
    return Side(
        label, model, verdict, tensors, groups, missing, tuple(title + note for note in notes)
    )


def _with_text_model(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """CLIP's old names (NovelAI's) as those of today, so that both sorts can be merged."""
    old = tuple(prefix + part for prefix in CLIP for part in INSIDE)
    for name, tensor in tensors.items():
        if name.startswith(old):
            prefix = next(prefix for prefix in CLIP if name.startswith(prefix))
            yield f"{prefix}text_model.{name.removeprefix(prefix)}", tensor
        else:
            yield name, tensor
