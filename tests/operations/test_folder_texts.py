"""Laws of the JSON files of a diffusers folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from sfumato.catalogue.identify import identify
from sfumato.catalogue.layouts import unet_diffusers_shapes, vae_diffusers_shapes
from sfumato.catalogue.prediction import Type, predict
from sfumato.catalogue.trees.shapes import Shapes
from sfumato.catalogue.trees.text import CLIP_G, CLIP_H, CLIP_L, Text, clip_shapes
from sfumato.catalogue.trees.unet import REFINER, SD1, SD2, SDXL, UNet, sizes
from sfumato.catalogue.trees.vae import VAE
from sfumato.catalogue.verdict import Prediction, Verdict
from sfumato.containers.dtype import F32
from sfumato.containers.tensor import Tensor
from sfumato.errors import Refused
from sfumato.operations.folder_texts import folder_texts, markers, markers_text

H = replace(CLIP_H, layers=23, projection=0)


def weightless(parts: Mapping[str, Shapes]) -> dict[str, Tensor]:
    """Tensors that have a shape; nobody may read them."""

    def read() -> bytes:
        raise AssertionError("a tensor was read")

    return {
        f"{part}.{name}": Tensor(F32, shape, read)
        for part, shapes in parts.items()
        for name, shape in shapes.items()
    }


def pipeline(
    unet: UNet, first: Text | None = CLIP_L, second: Text | None = None
) -> dict[str, Tensor]:
    texts = {"text_encoder": first, "text_encoder_2": second}
    encoders = {part: clip_shapes(text) for part, text in texts.items() if text is not None}
    vae = vae_diffusers_shapes(VAE())
    return weightless({"unet": unet_diffusers_shapes(unet), "vae": vae, **encoders})


def said(family: str, prediction: Type = "epsilon", **more: bool) -> Verdict:
    return Verdict("checkpoint", family, prediction=Prediction(prediction, "asked for", **more))


def told(
    model: dict[str, Tensor], verdict: Verdict, metadata: Mapping[str, str] | None = None
) -> dict[str, dict[str, Any]]:
    texts = folder_texts(model, verdict, metadata or {})
    return {path: json.loads(text) for path, text in texts.items()}


def test_sd1_has_eight_heads_and_all_its_files() -> None:
    files = told(pipeline(SD1), said("sd1"))
    assert set(files) == {
        "model_index.json",
        "unet/config.json",
        "vae/config.json",
        "text_encoder/config.json",
        "scheduler/scheduler_config.json",
    }
    unet = files["unet/config.json"]
    assert (unet["attention_head_dim"], unet["transformer_layers_per_block"]) == (8, 1)
    assert (unet["sample_size"], unet["norm_num_groups"]) == (64, 32)
    assert files["text_encoder/config.json"]["hidden_act"] == "quick_gelu"
    assert files["vae/config.json"]["scaling_factor"] == 0.18215


def test_sd2_has_heads_of_64_and_its_v_model_larger_pictures() -> None:
    base = told(pipeline(SD2, H), said("sd2"))
    v = told(pipeline(SD2, H), said("sd2", "v"))
    assert base["unet/config.json"]["attention_head_dim"] == [5, 10, 20, 20]
    assert [x["unet/config.json"]["sample_size"] for x in (base, v)] == [64, 96]
    assert v["vae/config.json"]["sample_size"] == 768
    kinds = [x["scheduler/scheduler_config.json"]["prediction_type"] for x in (base, v)]
    assert kinds == ["epsilon", "v_prediction"]
    text = base["text_encoder/config.json"]
    assert (text["num_hidden_layers"], text["hidden_act"], text["projection_dim"]) == (
        *(23, "gelu"),
        512,
    )


def test_sdxl_takes_sizes_and_has_two_text_encoders() -> None:
    files = told(pipeline(SDXL, CLIP_L, CLIP_G), said("sdxl"))
    unet = files["unet/config.json"]
    assert unet["transformer_layers_per_block"] == [1, 2, 10]
    assert unet["attention_head_dim"] == [5, 10, 20]
    assert unet["addition_time_embed_dim"] == 256
    assert unet["projection_class_embeddings_input_dim"] == 2816
    assert files["text_encoder_2/config.json"]["hidden_act"] == "gelu"
    index = files["model_index.json"]
    assert index["text_encoder_2"] == ["transformers", "CLIPTextModelWithProjection"]
    assert index["tokenizer"] == index["tokenizer_2"] == [None, None]
    assert files["vae/config.json"]["scaling_factor"] == 0.13025


def test_the_refiner_has_no_first_text_encoder() -> None:
    files = told(pipeline(REFINER, None, CLIP_G), said("sdxl-refiner"))
    index = files["model_index.json"]
    assert index["_class_name"] == "StableDiffusionXLImg2ImgPipeline"
    assert index["text_encoder"] == [None, None] and index["requires_aesthetics_score"]
    assert files["unet/config.json"]["attention_head_dim"] == [6, 12, 24, 24]
    assert files["unet/config.json"]["addition_time_embed_dim"] == 256


@pytest.mark.parametrize(
    ("base", "inputs", "family", "name"),
    [
        (SD1, 9, "sd1", "StableDiffusionInpaintPipeline"),
        (SD1, 8, "sd1", "StableDiffusionInstructPix2PixPipeline"),
        (SD2, 5, "sd2", "StableDiffusionDepth2ImgPipeline"),
        (SDXL, 9, "sdxl", "StableDiffusionXLInpaintPipeline"),
        (SD1, 13, "sd1", "StableDiffusionPipeline"),
        (SDXL, 13, "unknown", "StableDiffusionXLPipeline"),
    ],
)
def test_the_pipeline_follows_from_the_channels_of_the_unet(
    base: UNet, inputs: int, family: str, name: str
) -> None:
    files = told(pipeline(replace(base, inputs=inputs)), said(family))
    assert files["model_index.json"]["_class_name"] == name
    assert files["unet/config.json"]["in_channels"] == inputs


@pytest.mark.parametrize("base", [SD1, SDXL], ids=["sd1", "sdxl"])
def test_a_schedule_that_ends_in_noise_is_entered_at_its_end(base: UNet) -> None:
    family = "sdxl" if base == SDXL else "sd1"
    verdict = said(family, "v", zero_terminal_snr=True)
    scheduler = told(pipeline(base), verdict)["scheduler/scheduler_config.json"]
    assert scheduler["rescale_betas_zero_snr"] and scheduler["timestep_spacing"] == "trailing"
    assert scheduler["prediction_type"] == "v_prediction"


def test_small_networks_have_fewer_groups_and_heads_that_divide_their_widths() -> None:
    small = sizes((48, 96), (1, 0), 1, 64, linear_projection=True)
    unet = told(pipeline(small), said("sd2"))["unet/config.json"]
    assert (unet["norm_num_groups"], unet["attention_head_dim"]) == (12, [1, 1])
    odd = told(pipeline(replace(small, linear_projection=False, widths=(12, 24))), said("sd1"))
    assert odd["unet/config.json"]["attention_head_dim"] == [6, 8]


def test_the_way_up_is_spelled_out_where_it_is_not_the_way_down() -> None:
    unet = sizes((32, 64), (1, 3), 3, 64, rises=((1, 2, 3), 1))
    found = told(pipeline(unet), said("sd1"))["unet/config.json"]
    assert found["transformer_layers_per_block"] == [1, 3]
    assert found["reverse_transformer_layers_per_block"] == [[1, 2, 3], 1]


@pytest.mark.parametrize(
    "unet",
    [
        sizes((32, 64), ((0, 1), 1), 1, 64),
        sizes((32, 64), (1, 1), 2, 64),
        sizes((32,), (1,), 0, 64),
    ],
    ids=["half a level attends", "middle differs", "two plain blocks in the middle"],
)
def test_a_unet_that_diffusers_cannot_build_is_refused(unet: UNet) -> None:
    with pytest.raises(Refused, match="diffusers has no UNet"):
        folder_texts(pipeline(unet), said("sd1"), {})


def test_lcm_says_how_wide_the_guidance_scale_is() -> None:
    model = pipeline(SD1) | weightless({"unet": {"time_embedding.cond_proj.weight": (320, 256)}})
    assert told(model, said("sd1"))["unet/config.json"]["time_cond_proj_dim"] == 256


def test_a_vae_alone_gets_its_settings_and_no_pipeline() -> None:
    model = weightless({"vae": vae_diffusers_shapes(VAE())})
    assert set(told(model, identify(model))) == {"vae/config.json"}


def test_the_texts_of_a_folder_are_kept_to_the_letter() -> None:
    model = pipeline(SD1)
    own = {
        "unet/config.json": '{"in_channels":4, "sample_size":72}',
        "scheduler/scheduler_config.json": '{"_class_name": "PNDMScheduler"}',
        "tokenizer/tokenizer_config.json": "{}",
        "modelspec.title": "mine",
    }
    texts = folder_texts(model, said("sd1"), own)
    assert all(texts[path] == own[path] for path in list(own)[:2])
    assert "tokenizer/tokenizer_config.json" not in texts and "modelspec.title" not in texts
    index = json.loads(texts["model_index.json"])
    assert index["scheduler"] == ["diffusers", "PNDMScheduler"]


def test_the_index_of_a_folder_is_kept_without_the_parts_that_are_gone() -> None:
    index = {
        "_class_name": "MinePipeline",
        "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "scheduler": ["diffusers", "PNDMScheduler"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": [None, None],
    }
    found = told(pipeline(SD1), said("sd1"), {"model_index.json": json.dumps(index)})
    kept = found["model_index.json"]
    assert kept["_class_name"] == "MinePipeline" and kept["unet"] == index["unet"]
    assert kept["tokenizer"] == kept["safety_checker"] == [None, None]
    assert kept["vae"] == ["diffusers", "AutoencoderKL"] and "text_encoder" in kept
    assert kept["scheduler"] == index["scheduler"]


def test_settings_that_the_tensors_contradict_are_computed_anew() -> None:
    own = {"unet/config.json": '{"in_channels": 9}', "model_index.json": '{"_class_name": "Old"}'}
    found = told(pipeline(SD1), said("sd1"), own)
    assert found["unet/config.json"]["in_channels"] == 4
    assert found["model_index.json"]["_class_name"] == "StableDiffusionPipeline"


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"a":' * 5000, '{"in_channels": 4, "in_channels": 9}']
)
def test_settings_that_are_no_settings_are_not_kept(text: str) -> None:
    paths = ("unet/config.json", "model_index.json", "scheduler/scheduler_config.json")
    found = told(pipeline(SD1), said("sd1"), dict.fromkeys(paths, text))
    assert found == told(pipeline(SD1), said("sd1"))


@pytest.mark.parametrize("zero", [False, True])
def test_markers_tell_of_an_sdxl_folder_what_its_texts_told(zero: bool) -> None:
    verdict = said("sdxl", "v", zero_terminal_snr=zero)
    texts = folder_texts(pipeline(SDXL, CLIP_L, CLIP_G), verdict, {})
    marks = markers(texts)
    assert set(marks) == ({"v_pred", "ztsnr"} if zero else {"v_pred"})
    assert all(mark.shape == (0,) and mark.read() == b"" for mark in marks.values())
    found = predict("sdxl", "", None, model=marks, metadata={}, extras={})
    assert (found.type, found.zero_terminal_snr) == ("v", zero)


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
def test_the_text_of_markers_tells_what_the_texts_of_any_folder_told(prediction: Type) -> None:
    texts = folder_texts(pipeline(SD1), said("sd1", prediction, zero_terminal_snr=True), {})
    assert markers(texts) == {}
    found = predict("sd1", "", None, model={}, metadata=markers_text(texts), extras={})
    assert (found.type, found.zero_terminal_snr) == (prediction, True)


def test_no_scheduler_no_markers() -> None:
    assert markers({}) == {} and markers_text({"unet/config.json": "{}"}) == {}
    sdxl = {"unet/config.json": '{"addition_embed_type": "text_time"}'}
    assert markers(sdxl) == {} and markers_text(sdxl) == {}
