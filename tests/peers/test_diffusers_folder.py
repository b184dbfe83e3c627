"""Folders that we write are loaded by diffusers and transformers, without a key too many or few."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import huggingface_hub.constants
import pytest
import torch
import transformers
from hypothesis import HealthCheck, assume, given, settings

from catalogue.small_unets import small_unets
from sfumato.catalogue import families
from sfumato.catalogue.configs import contradictions
from sfumato.catalogue.identify import identify
from sfumato.catalogue.layouts import unet_diffusers_shapes, vae_diffusers_shapes
from sfumato.catalogue.prediction import Type
from sfumato.catalogue.spelling.translation import to_diffusers, to_ldm
from sfumato.catalogue.survey import survey
from sfumato.catalogue.trees.shapes import Shapes
from sfumato.catalogue.trees.text import CLIP_G, CLIP_H, CLIP_L, Text, clip_shapes, openclip_shapes
from sfumato.catalogue.trees.unet import UNet, sizes, unet_shapes
from sfumato.catalogue.trees.vae import VAE, vae_shapes
from sfumato.catalogue.verdict import Prediction, Verdict
from sfumato.containers.arrays import array
from sfumato.containers.dtype import F32
from sfumato.containers.folders.write import write_folder
from sfumato.containers.open import open_model
from sfumato.containers.tensor import Tensor, Tensors
from sfumato.errors import Refused
from sfumato.operations.folder_networks import Settings, Whole, groups, unet_settings
from sfumato.operations.folder_pipeline import PIPELINES, Pipeline
from sfumato.operations.folder_texts import folder_texts
from toys import contents, random_tensors

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
"""diffusers' Euler scheduler and numpy 2"""


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


CLASSES: dict[str, Any] = {
    "unet": diffusers.UNet2DConditionModel,
    "vae": diffusers.AutoencoderKL,
    "text_encoder": transformers.CLIPTextModel,
    "text_encoder_2": transformers.CLIPTextModelWithProjection,
}


def placed(prefix: str, shapes: Shapes) -> dict[str, tuple[int, ...]]:
    return {prefix + name: shape for name, shape in shapes.items()}


def weightless(shapes: Shapes) -> dict[str, Tensor]:
    """Tensors that have a shape and nothing to read."""
    return {name: Tensor(F32, shape, bytes) for name, shape in shapes.items()}


def built(kind: str, config: Settings) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of what diffusers builds from a configuration, of which it knows all."""
    with torch.device("meta"):
        model, unused = CLASSES[kind].from_config(config, return_unused_kwargs=True)
    assert unused.keys() <= SIGNED
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


SIGNED = {"_class_name", "_diffusers_version"}
"""settings that every configuration has and no class takes"""

PUBLISHED = {f"{c.title} {c.sizes.middle}": c.sizes for c in families.UNETS}


@pytest.mark.slow
@pytest.mark.parametrize("unet", PUBLISHED.values(), ids=PUBLISHED)
def test_the_settings_of_every_published_unet_build_that_unet(unet: UNet) -> None:
    model = weightless(placed("unet.", unet_diffusers_shapes(unet)))
    texts = folder_texts(model, identify(model), {})
    assert built("unet", json.loads(texts["unet/config.json"])) == unet_diffusers_shapes(unet)


@settings(deadline=None, max_examples=20, suppress_health_check=list(HealthCheck))
@given(small_unets())
def test_the_settings_of_any_unet_build_it_or_are_refused(unet: UNet) -> None:
    assume(not any(width % groups(unet.widths[0]) for width in unet.widths))
    try:
        config = unet_settings(unet, Whole("sd1", "", "epsilon", 0, {}))
    except Refused:
        return
    written = json.loads(json.dumps(config))
    assert built("unet", written) == unet_diffusers_shapes(unet)


@pytest.mark.parametrize(
    "vae",
    [VAE(), VAE(multipliers=(1, 2, 4)), VAE(latent=16, quant=False), VAE(32, (1, 2), 1)],
    ids=["kl-f8", "kl-f4", "16 channels", "small"],
)
def test_the_settings_of_a_vae_build_it(vae: VAE) -> None:
    model = weightless(placed("vae.", vae_diffusers_shapes(vae)))
    texts = folder_texts(model, identify(model), {})
    assert built("vae", json.loads(texts["vae/config.json"])) == vae_diffusers_shapes(vae)


TEXTS = {
    "L": ("text_encoder", CLIP_L),
    "H": ("text_encoder", replace(CLIP_H, layers=23, projection=0)),
    "bigG": ("text_encoder_2", CLIP_G),
}


@pytest.mark.slow
@pytest.mark.parametrize(("part", "text"), TEXTS.values(), ids=TEXTS)
def test_the_settings_of_a_text_encoder_build_it(part: str, text: Text) -> None:
    model = weightless(placed(f"{part}.", clip_shapes(text)))
    told = json.loads(folder_texts(model, identify(model), {})[f"{part}/config.json"])
    with torch.device("meta"):
        state = CLASSES[part](transformers.CLIPTextConfig(**told)).state_dict()
    theirs = {n.removeprefix("text_model."): tuple(t.shape) for n, t in state.items()}
    theirs.pop("embeddings.position_ids", None)
    ours = {n.removeprefix("text_model."): shape for n, shape in clip_shapes(text).items()}
    assert theirs == ours


SMALL_VAE = placed("first_stage_model.", vae_shapes(VAE(32, (1, 2), 1)))
FIRST = Text(64, 2, 96, vocabulary=120)
SECOND = Text(128, 2, 96, 48, vocabulary=120)
CLIP = placed("cond_stage_model.transformer.", clip_shapes(FIRST))
OPENCLIP = placed("cond_stage_model.model.", openclip_shapes(FIRST))
XL_CLIP = placed("conditioner.embedders.0.transformer.", clip_shapes(FIRST))
SD1 = sizes((32, 64), (1, 0), 1, 64)
SD2 = sizes((64, 128), (1, 0), 1, 64, linear_projection=True)
XL = sizes((32, 64), (0, 2), 2, 192, labels=48 + 6 * 16, linear_projection=True)
REFINING = sizes((32, 64), (1, 0), 1, 128, labels=48 + 5 * 16, linear_projection=True)


def checkpoint(unet: UNet, *others: Shapes) -> dict[str, Tensor]:
    shapes = placed("model.diffusion_model.", unet_shapes(unet))
    for other in (SMALL_VAE, *others):
        shapes |= other
    return random_tensors(shapes)


SMALL: dict[str, tuple[UNet, Shapes, str]] = {
    "sd1": (SD1, CLIP, "StableDiffusionPipeline"),
    "sd1 inpainting": (replace(SD1, inputs=9), CLIP, "StableDiffusionInpaintPipeline"),
    "sd1 ip2p": (replace(SD1, inputs=8), CLIP, "StableDiffusionInstructPix2PixPipeline"),
    "sd2": (SD2, OPENCLIP, "StableDiffusionPipeline"),
    "sdxl": (XL, XL_CLIP, "StableDiffusionXLPipeline"),
    "refiner": (REFINING, {}, "StableDiffusionXLImg2ImgPipeline"),
}


def respelled(unet: UNet, others: Shapes) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A small checkpoint in the original spelling, and in that of diffusers."""
    original = checkpoint(unet, others)
    there = to_diffusers({n: t.shape for n, t in original.items()}).apply(original)
    if unet.labels:
        there |= random_tensors(placed("text_encoder_2.", clip_shapes(SECOND)), seed=9)
    return original, there


def judged(name: str, model: Tensors) -> Verdict:
    """A refiner of no published size is told from SDXL by nobody."""
    verdict = identify(model)
    return replace(verdict, family="sdxl-refiner") if name == "refiner" else verdict


def loaded(folder: Path, part: str, **options: object) -> torch.nn.Module:
    """One part, as its own library reads it: no key missing, none unexpected."""
    network, found = CLASSES[part].from_pretrained(
        folder, subfolder=part, local_files_only=True, output_loading_info=True, **options
    )
    assert not any(found.values()), found
    return network


def inputs(config: Mapping[str, Any]) -> dict[str, Any]:
    """What the UNet is called with: noise, time, text and, for SDXL, sizes."""
    context = torch.zeros(1, 7, config["cross_attention_dim"])
    given = {
        "sample": torch.zeros(1, config["in_channels"], 8, 8),
        "timestep": 9,
        "encoder_hidden_states": context,
    }
    if config["addition_embed_type"]:
        step = config["addition_time_embed_dim"]
        count = (config["projection_class_embeddings_input_dim"] - SECOND.projection) // step
        sizes = {"text_embeds": torch.zeros(1, 48), "time_ids": torch.zeros(1, count)}
        given["added_cond_kwargs"] = sizes
    return given


@pytest.mark.parametrize("name", SMALL)
def test_every_part_of_a_small_checkpoint_is_loaded_strictly_and_runs(
    name: str, tmp_path: Path
) -> None:
    unet, others, _ = SMALL[name]
    original, there = respelled(unet, others)
    folder = tmp_path / "model"
    write_folder(folder, there, folder_texts(there, judged(name, original), {}))
    for part in {name.partition(".")[0] for name in there}:
        options = {} if part.startswith("text") else {"low_cpu_mem_usage": False}
        network = loaded(folder, part, **options)
        key = f"{part}.{PROBES[part]}"
        state = network.state_dict()
        found = state.get(PROBES[part], state.get(PROBES[part].removeprefix("text_model.")))
        assert found is not None and torch.equal(found, torch.from_numpy(array(there[key]).copy()))
        if part == "unet":
            with torch.no_grad():
                out = network(**inputs(network.config)).sample
            assert out.shape == (1, 4, 8, 8) and out.isfinite().all()


TEXT_PROBE = "text_model.encoder.layers.1.self_attn.k_proj.weight"
PROBES = {
    "unet": "up_blocks.1.resnets.1.conv1.weight",
    "vae": "decoder.mid_block.attentions.0.to_q.weight",
    "text_encoder": TEXT_PROBE,
    "text_encoder_2": TEXT_PROBE,
}


@pytest.mark.parametrize("name", SMALL)
def test_a_folder_read_back_and_respelled_is_the_checkpoint_it_was_made_from(
    name: str, tmp_path: Path
) -> None:
    unet, others, pipeline = SMALL[name]
    original, there = respelled(unet, others)
    write_folder(tmp_path / "model", there, folder_texts(there, judged(name, original), {}))
    with open_model(tmp_path / "model") as model:
        assert json.loads(model.metadata["model_index.json"])["_class_name"] == pipeline
        way = to_ldm({n: t.shape for n, t in model.items()}, position_ids=False)
        back = contents(way.apply(model))
        found = survey({n: t.shape for n, t in model.items()})
        assert not way.dropped and not list(contradictions(found.matches, model.metadata))
    mine = contents(original)
    assert {name: value for name, value in back.items() if name in mine} == mine
    added = placed("conditioner.embedders.1.model.", openclip_shapes(SECOND)) if unet.labels else {}
    assert set(back) - set(mine) == {n for n in added if not n.endswith("logit_scale")}


def piped(folder: Path, kind: str, **parts: object) -> diffusers.DiffusionPipeline:
    chosen = getattr(diffusers, kind)
    pipeline = chosen.from_pretrained(
        folder, local_files_only=True, low_cpu_mem_usage=False, **parts
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def run(pipeline: diffusers.DiffusionPipeline, width: int, **more: object) -> torch.Tensor:
    """One latent of four by four pixels after a step or two."""
    return pipeline(
        prompt_embeds=torch.zeros(1, 77, width),
        guidance_scale=1.0,
        num_inference_steps=2,
        height=8,
        width=8,
        output_type="latent",
        **more,
    ).images


@pytest.mark.slow
@pytest.mark.parametrize("prediction", ["epsilon", "v"])
def test_the_pipeline_of_a_small_sd1_folder_runs_once_it_has_a_tokenizer(
    prediction: str, tmp_path: Path
) -> None:
    original, there = respelled(SD1, CLIP)
    predicts = Prediction("v" if prediction == "v" else "epsilon", "asked for", prediction == "v")
    verdict = replace(identify(original), prediction=predicts)
    write_folder(tmp_path / "model", there, folder_texts(there, verdict, {}))
    pipeline = piped(tmp_path / "model", "DiffusionPipeline", tokenizer=None)
    assert type(pipeline).__name__ == "StableDiffusionPipeline"
    assert pipeline.scheduler.config["rescale_betas_zero_snr"] is (prediction == "v")
    assert run(pipeline, FIRST.width).isfinite().all()


@pytest.mark.slow
def test_the_pipeline_of_a_small_sdxl_folder_needs_no_tokenizer(tmp_path: Path) -> None:
    original, there = respelled(XL, XL_CLIP)
    write_folder(tmp_path / "model", there, folder_texts(there, identify(original), {}))
    pipeline = piped(tmp_path / "model", "DiffusionPipeline")
    assert type(pipeline).__name__ == "StableDiffusionXLPipeline"
    found = run(pipeline, 192, pooled_prompt_embeds=torch.zeros(1, 48))
    assert found.isfinite().all()


@pytest.mark.parametrize("row", PIPELINES, ids=lambda row: f"{row.family} {row.inputs}")
def test_every_pipeline_takes_its_settings(row: Pipeline) -> None:
    taken = inspect.signature(getattr(diffusers, row.name).__init__).parameters
    assert row.extras.keys() <= taken.keys()


SCHEDULED = [
    ("sd1", "", "epsilon"),
    ("sd2", "", "v"),
    ("sdxl", "", "v"),
    ("sdxl", "", "flow"),
    ("sdxl", "playground-2.5", "edm"),
    ("sdxl", "cosxl", "edm"),
]


@pytest.mark.parametrize(("family", "variant", "prediction"), SCHEDULED)
def test_every_scheduler_takes_all_of_its_settings(
    family: str, variant: str, prediction: Type
) -> None:
    model = weightless(placed("unet.", unet_diffusers_shapes(XL if family == "sdxl" else SD1)))
    predicts = Prediction(prediction, "asked for", zero_terminal_snr=True)
    verdict = replace(identify(model), family=family, variant=variant, prediction=predicts)
    texts = folder_texts(model, verdict, {})
    config = json.loads(texts["scheduler/scheduler_config.json"])
    chosen = getattr(diffusers, config["_class_name"])
    scheduler, unused = chosen.from_config(config, return_unused_kwargs=True)
    assert unused.keys() <= SIGNED and {**scheduler.config, **config} == {**scheduler.config}
    scheduler.set_timesteps(4)
