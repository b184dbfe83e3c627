"""Loading a checkpoint: any container, any spelling, straight into networks ready to paint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import torch

from sfumato.catalogue.configs import settings
from sfumato.catalogue.families import TITLES
from sfumato.catalogue.identify import identify
from sfumato.catalogue.survey import Survey, survey
from sfumato.catalogue.verdict import Verdict
from sfumato.containers.model_file import ModelFile
from sfumato.containers.open import open_model
from sfumato.containers.text import escape
from sfumato.engine.loading.placement import placement
from sfumato.engine.model import Family, Model, Network, Placement
from sfumato.engine.native import native_side
from sfumato.engine.networks.build import build
from sfumato.engine.networks.fill import fill
from sfumato.errors import Damaged, Refused, Unsupported, UsageError
from sfumato.operations.original import (
    NEEDED,
    Part,
    Role,
    Weights,
    averages,
    family_of,
    fill_up,
    parts,
    place,
)
from sfumato.operations.recast import FACTORS, multiplied_out

if TYPE_CHECKING:
    from sfumato.containers.tensor import Tensor

SCALES: dict[str, float] = {
    "sd1": 0.18215,
    "sd2": 0.18215,
    "sdxl": 0.13025,
    "sdxl-refiner": 0.13025,
}
"""family → factor between the VAE's latents and the UNet's"""

PAINTED = ("", "v-prediction", "inpainting", "ip2p", "turbo", "ssd-1b", "vega", "sdxs")
"""variants that this program paints, beside those of PAINTED_LINES"""

PAINTED_LINES = ("bk-sdm", "koala")
"""beginnings of the names of further ones"""

CONDITION: dict[str, str] = {
    "depth": "a depth map",
    "unclip": "a picture's embedding",
    "upscaler-x4": "a small picture and its noise level",
    "zero123": "a picture and a camera's turn",
    "altdiffusion": "the XLM-R text encoder",
    "playground-2.5": "EDM's noise levels",
    "cosxl": "EDM's noise levels",
}
"""beginning of a variant's name → what it needs that is not here"""

NAMES: dict[str, str] = {
    "unet": "UNet",
    "text_encoder": "text encoder",
    "text_encoder_2": "second text encoder",
    "vae": "VAE",
}


def load(
    path: str | PathLike[str] | ModelFile,
    *,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    weights: Weights = "live",
    vae_dtype: str | torch.dtype | None = None,
) -> Model:
    """Read a checkpoint of the Stable Diffusion 1, 2 or XL line into networks.

    path: a file or a diffusers folder, in any container and spelling that `open_model` reads; or
        one that is open already, such as a merge in no file, which is closed with the model.
    weights: the trained ones, or their running average where the file holds one ("ema").
    Hyper-parameters follow from the shapes, so models of any size run. A checkpoint without a VAE
    loads, and says so in `notes`: one can be given later.

    Raises UsageError for a device, precision or set of weights that is not there, Unsupported for
    files that are no such checkpoint, Damaged for numbers that are none, and what `open_model`
    raises: a file that would run foreign code is refused.
    """
    where = placement(device, dtype, vae_dtype)
    if weights not in ("live", "ema"):
        raise UsageError(f"there are no weights {weights!r}: live or ema")
    file = path if isinstance(path, ModelFile) else open_model(Path(path))
    try:
        return _loaded(file, where, weights)
    except BaseException:
        file.close()
        raise


@dataclass(slots=True)
class Plan:
    """What is to be loaded, before a single weight is read."""

    family: Family
    variant: str
    prediction: Literal["epsilon", "v"]
    zero_snr: bool
    parts: dict[Role, Part]
    notes: list[str] = field(default_factory=list[str])
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    """what the file's header says"""

    @property
    def side(self) -> int:
        """Pixels along a side of the pictures that it was made for."""
        return native_side(self.family, self.prediction, self.metadata)


def _loaded(file: ModelFile, where: Placement, weights: Weights) -> Model:
    plan = plan_of(file, weights)
    tensors: dict[str, Tensor] = {}
    networks: list[Network] = []
    for role in NEEDED[plan.family]:
        if role in plan.parts:
            part = plan.parts[role]
            tensors |= {part.prefix + name: tensor for name, tensor in part.tensors.items()}
            networks.append(network(part, where, file.path))
    factor = _scale(file, plan)
    return Model(
        path=file.path,
        file=file,
        tensors=tensors,
        family=plan.family,
        variant=plan.variant,
        prediction=plan.prediction,
        zero_snr=plan.zero_snr,
        networks=tuple(networks),
        placement=where,
        scale=factor,
        notes=(*file.notes, *plan.notes),
        weights=weights,
    )


def plan_of(file: ModelFile, weights: Weights = "live") -> Plan:
    """What painting with a file takes; raises Unsupported, Refused or Damaged where it cannot."""
    stored = multiplied_out(file.tensors, None, plain=True)
    found = survey({name: tensor.shape for name, tensor in stored.tensors.items()})
    verdict = identify(file, metadata=file.metadata, extras=file.extras)
    family = family_of(verdict.family, found)
    _refuse_strangers(file, verdict, family)
    plan = Plan(
        cast("Family", family),
        "" if verdict.variant == "v-prediction" else verdict.variant,
        "v" if verdict.prediction is not None and verdict.prediction.type == "v" else "epsilon",
        verdict.prediction is not None and verdict.prediction.zero_terminal_snr,
        parts(stored.tensors, found, family),
        [f"{change} as they are read" for change in stored.changes],
        file.metadata,
    )
    _refuse_scales(file, stored.tensors)
    _choose_weights(plan, file, found, weights)
    _refuse_faults(plan, file)
    plan.notes += _notes(plan, verdict, found)
    return plan


def _refuse_strangers(file: ModelFile, verdict: Verdict, family: str) -> None:
    """Say by name what a file is that is no checkpoint of a painted family."""
    title = verdict.title or "unknown model"
    if family in TITLES and family not in NEEDED:
        raise Unsupported(file.path, f"is known, and not painted by this program: {title}")
    if verdict.kind not in ("checkpoint", "unet") or family not in NEEDED:
        raise Unsupported(
            file.path, f"is no checkpoint ({title}); painting takes UNet, text encoder and VAE, in "
            "one file or folder"
        )  # fmt: skip
    variant, kind = verdict.variant, verdict.prediction
    if not (variant in PAINTED or variant.startswith(PAINTED_LINES)):
        needs = next((n for start, n in CONDITION.items() if variant.startswith(start)), "")
        reason = f"; it needs {needs}" if needs else ""
        raise Unsupported(file.path, f"is known, and not painted by this program: {title}{reason}")
    if kind is not None and kind.type not in ("epsilon", "v", "unknown"):
        raise Unsupported(
            file.path, f"predicts in the terms of {kind.type}, not painted by this program: "
            f"{kind.reason}"
        )  # fmt: skip


def _refuse_scales(file: ModelFile, tensors: Mapping[str, Tensor]) -> None:
    scale = next((name for name in tensors if name.endswith(FACTORS)), "")
    if scale:
        raise Unsupported(
            file.path, f"its weights are stored with scales ({escape(scale)}) that are more than "
            "a number each, and are not read"
        )  # fmt: skip


def _choose_weights(plan: Plan, file: ModelFile, found: Survey, weights: Weights) -> None:
    """Put the averages in the trained tensors' place where they were asked for, or are alone."""
    copy = averages(found)
    role: Role = "vae" if copy is not None and type(copy.sizes).__name__ == "VAE" else "unet"
    if copy is None or not copy.names:
        if weights == "ema":
            raise Refused(f"{file.path}: has no averaged (EMA) weights; load with weights live")
        return
    alone = role == "unet" and role not in plan.parts
    if alone:
        plan.parts[role] = Part(role, place(role, plan.family), copy.sizes)  # pyright: ignore[reportArgumentType]
        plan.notes.append("the file holds averaged (EMA) weights only: they are used")
    elif weights == "live":
        plan.notes.append(
            f"the file holds trained and averaged (EMA) weights of its {NAMES[role]}: the trained "
            "ones are used; weights ema takes the others"
        )
        return
    part = plan.parts[role]
    if copy.reshaped:
        raise Refused(f"{file.path}: an average has another shape: {copy.reshaped[0]}")
    part.tensors |= {name: file[there] for name, there in copy.names.items()}
    for text in plan.parts.values():
        names = {name: copy.texts.get(text.prefix + name) for name in text.tensors}
        text.tensors |= {name: file[there] for name, there in names.items() if there is not None}
    if copy.missing and not alone:
        plan.notes.append(f"{copy.missing} tensors have no average: the trained ones are used")
    if not alone:
        plan.notes.append(f"the averaged (EMA) weights of the {NAMES[role]} are used")


def _refuse_faults(plan: Plan, file: ModelFile) -> None:
    """One sentence on what is missing; a VAE may be given later, nothing else may."""
    absent = [r for r in NEEDED[plan.family] if r not in plan.parts and r != "vae"]
    if absent:
        lacking = " and no ".join(NAMES[role] for role in absent)
        raise Unsupported(
            file.path, f"has no {lacking}, and a {TITLES[plan.family]} model cannot paint without"
        )
    for part in plan.parts.values():
        if part.faults:
            raise Damaged(file.path, f"cannot paint: {part.faults[0]}")
        _refuse_halves(part, file)
        fill_up(part)


def _refuse_halves(part: Part, file: ModelFile) -> None:
    pooling = part.role == "text_encoder_2"
    if pooling and part.openclip and "text_projection" not in part.tensors:
        raise Unsupported(
            file.path, "its second text encoder lacks text_projection, from which the pooled text "
            "is made that SDXL models take"
        )  # fmt: skip
    halves = (("encoder", "encoder.conv_in.weight"), ("decoder", "decoder.conv_in.weight"))
    for half, key in halves if part.role == "vae" else ():
        if key not in part.shapes:
            raise Unsupported(file.path, f"its VAE has no {half}; painting takes a whole one")


def _notes(plan: Plan, verdict: Verdict, found: Survey) -> Iterator[str]:
    if "vae" not in plan.parts:
        yield "the file has no VAE: give one, or nothing can be shown"
    if verdict.prediction is not None and verdict.prediction.assumed and plan.family == "sd2":
        yield f"it is taken to predict {plan.prediction}: {verdict.prediction.reason}"
    if any(name.endswith("time_embed.cond_proj.weight") for name in found.shapes):
        yield "it takes the CFG scale as an input (LCM), which is left out"


def _scale(file: ModelFile, plan: Plan) -> float:
    """The factor that a folder's vae/config.json states, else the family's."""
    said = settings(file.metadata, "vae/config.json").get("scaling_factor")
    if isinstance(said, float) and 0 < said < 100:
        return said
    return SCALES[plan.family]


def network(part: Part, where: Placement, path: Path) -> Network:
    """Build one network without weights and read them straight into place, cast once."""
    module = build(part.sizes, openclip=part.openclip)
    dtype = where.vae_dtype if part.role == "vae" else where.dtype
    fill(module, part.tensors, device=where.device, dtype=dtype, source=path)
    module.eval().requires_grad_(False)
    _refuse_no_numbers(module, part, path, dtype)
    return Network(part.role, part.prefix, module, part.sizes)


def filled(network: Network, model: Model) -> None:
    """Read the weights of a network of `model` again, after they were let go of."""
    where, prefix = model.placement, network.prefix
    wanted = {name: model.tensors[prefix + name] for name, _ in network.module.named_parameters()}
    dtype = where.vae_dtype if network.role == "vae" else where.dtype
    with torch.inference_mode(False):  # weights made inside could not be changed outside
        fill(network.module, wanted, device=where.device, dtype=dtype, source=model.path)


def _refuse_no_numbers(module: torch.nn.Module, part: Part, path: Path, dtype: torch.dtype) -> None:
    """One sum for each weight: NaN and infinity survive it."""
    for name, weight in module.named_parameters():
        total = weight.sum(dtype=torch.float32)
        if not bool(torch.isfinite(total)) and not bool(torch.isfinite(weight).all()):
            what = "NaN" if bool(torch.isnan(weight).any()) else "infinite numbers"
            hint = "" if dtype == torch.float32 else f" in {str(dtype).removeprefix('torch.')}"
            raise Damaged(
                path, f"{escape(part.prefix + name)} holds {what}{hint}: it can only paint noise"
            )
