"""The JSON files of a diffusers folder, computed from shapes, and the facts that only they hold."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from sfumato.catalogue.component import Match
from sfumato.catalogue.configs import contradictions, settings
from sfumato.catalogue.prediction import SCHEDULER
from sfumato.catalogue.survey import survey
from sfumato.catalogue.trees.text import Text
from sfumato.catalogue.trees.unet import UNet
from sfumato.catalogue.trees.vae import VAE
from sfumato.catalogue.verdict import Verdict
from sfumato.containers.dtype import F32
from sfumato.containers.folders.folder import MODEL_INDEX
from sfumato.containers.tensor import Tensor, Tensors
from sfumato.operations.folder_networks import (
    Settings,
    Whole,
    text_settings,
    unet_settings,
    vae_settings,
)
from sfumato.operations.folder_pipeline import (
    COMPONENTS,
    NOTHING,
    index_settings,
    low_res_settings,
    scheduler_settings,
)
from sfumato.operations.folder_tokenizers import paddings, tokenizer_texts

LOW_RES = "low_res_scheduler/scheduler_config.json"


def folder_texts(
    model: Tensors, verdict: Verdict, metadata: Mapping[str, str], *, tokenizers: bool = False
) -> dict[str, str]:
    """Path in the folder → text, for tensors that are spelled as diffusers does (`unet.` …).

    Sizes are read off shapes; family, variant and prediction are those of `verdict`; what neither
    tells has the value that diffusers usually gives it. Settings that came with the model (keys
    such as "unet/config.json" in `metadata`) are kept, unless the tensors contradict them.
    tokenizers: write CLIP's too, for the text encoders that have its vocabulary; those that are
    not written do not stand in model_index.json. Raises Refused for a UNet that diffusers cannot
    build.
    """
    shapes = {name: tensor.shape for name, tensor in model.items()}
    matches = [match for match in survey(shapes).matches if match.prefix]
    parts = list(dict.fromkeys(name.partition(".")[0] for name in model if "." in name))
    wrong = {match.prefix for match in matches if any(contradictions([match], metadata))}
    whole = _whole(verdict, matches, shapes)
    told = _told(parts, metadata, wrong)
    made = _made(matches, verdict, whole, told)
    padded = paddings(matches, whole.family) if tokenizers else {}
    parts += padded
    if MODEL_INDEX in told:
        made[MODEL_INDEX] = _reduced(settings(metadata, MODEL_INDEX), parts, told)
    elif (unet := _unet(matches)) is not None:
        scheduled = settings(told, SCHEDULER).get("_class_name")
        made[MODEL_INDEX] = index_settings(unet, parts, whole, scheduled=scheduled)
    written = {path: json.dumps(value, indent=2) + "\n" for path, value in made.items()}
    return told | written | tokenizer_texts(padded)


def _whole(
    verdict: Verdict, matches: Sequence[Match], shapes: Mapping[str, tuple[int, ...]]
) -> Whole:
    texts = [m.sizes for m in matches if m.prefix == "text_encoder_2."]
    pooled = next((t.projection or t.width for t in texts if isinstance(t, Text)), 0)
    predicts = verdict.prediction.type if verdict.prediction else "unknown"
    return Whole(verdict.family, verdict.variant, predicts, pooled, shapes)


def _unet(matches: Sequence[Match]) -> UNet | None:
    found = (m.sizes for m in matches if m.prefix == "unet.")
    return next((sizes for sizes in found if isinstance(sizes, UNet)), None)


def _told(parts: Sequence[str], metadata: Mapping[str, str], wrong: set[str]) -> dict[str, str]:
    """The texts that came with the model and still hold."""
    paths = [f"{part}/config.json" for part in parts if f"{part}." not in wrong]
    paths += [SCHEDULER, LOW_RES] + ([] if "unet." in wrong else [MODEL_INDEX])
    return {path: metadata[path] for path in paths if settings(metadata, path)}


def _made(
    matches: Sequence[Match], verdict: Verdict, whole: Whole, told: Mapping[str, str]
) -> dict[str, Settings]:
    """The settings of everything that none came with."""
    made: dict[str, Settings] = {}
    for match in matches:
        part = match.prefix.removesuffix(".")
        path, sizes = f"{part}/config.json", match.sizes
        if path in told:
            continue
        if isinstance(sizes, UNet):
            made[path] = unet_settings(sizes, whole)
        elif isinstance(sizes, VAE):
            made[path] = vae_settings(sizes, whole)
        elif isinstance(sizes, Text):
            made[path] = text_settings(sizes, part, whole)
    unet = _unet(matches)
    zero = verdict.prediction is not None and verdict.prediction.zero_terminal_snr
    if unet is not None and SCHEDULER not in told:
        made[SCHEDULER] = scheduler_settings(whole, unet, zero_terminal_snr=zero)
    if unet is not None and unet.classes and LOW_RES not in told:
        made[LOW_RES] = low_res_settings()
    return made


def _reduced(
    index: Mapping[str, object], parts: Sequence[str], told: Mapping[str, str]
) -> Settings:
    """A model_index.json that came with the model, as its parts are now: null for what is gone."""
    present = {*parts, *(path.partition("/")[0] for path in told), "scheduler"}
    found: Settings = {
        name: NOTHING if isinstance(value, list) and name not in present else value
        for name, value in index.items()
    }
    added = [part for part in parts if found.get(part) in (None, NOTHING)]
    return found | {part: COMPONENTS[part] for part in added if part in COMPONENTS}


def markers(metadata: Mapping[str, str]) -> dict[str, Tensor]:
    """The empty tensors by which an SDXL file says what its folder's scheduler settings said.

    `v_pred`: predicts v; `ztsnr`: its noise schedule ends in pure noise (ComfyUI's names).
    """
    unet, scheduler = settings(metadata, "unet/config.json"), settings(metadata, SCHEDULER)
    if unet.get("addition_embed_type") != "text_time":
        return {}
    if scheduler.get("prediction_type") != "v_prediction":
        return {}
    zero = scheduler.get("rescale_betas_zero_snr") is True
    return dict.fromkeys(["v_pred", "ztsnr"] if zero else ["v_pred"], EMPTY)


EMPTY = Tensor(F32, (0,), bytes)
"""says something by being there"""

WORDS: Mapping[str, str] = {"epsilon": "epsilon", "v_prediction": "v"}
"""diffusers' word → ModelSpec's"""


def markers_text(metadata: Mapping[str, str]) -> dict[str, str]:
    """The same facts as metadata, which serve every family: other programs read these names."""
    return dict(_marked(settings(metadata, SCHEDULER)))


def _marked(scheduler: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    word = WORDS.get(str(scheduler.get("prediction_type")))
    if word is not None:
        yield "modelspec.prediction_type", word
    if scheduler.get("rescale_betas_zero_snr") is True:
        yield "ss_zero_terminal_snr", "True"
