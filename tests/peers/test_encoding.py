"""Encoded prompts against diffusers' pipelines, with the same small weights and our folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import diffusers
import huggingface_hub.constants
import pytest
import torch
from torch import Tensor

from paintable import write
from sfumato.catalogue.identify import identify
from sfumato.containers.folders.write import write_folder
from sfumato.containers.open import open_model
from sfumato.engine.encoding import Encoding, encode
from sfumato.engine.loading.load import load
from sfumato.engine.model import Model
from sfumato.operations.convert import convert
from sfumato.operations.folder_texts import folder_texts

Both = tuple[Model, diffusers.DiffusionPipeline]
PROMPTS = ("", "a fox", "A Fox's Den, “ﬁne”  art, 日本 &amp; it's 42", "fox " * 75)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with torch.inference_mode():
        yield


def cut_last_layer(folder: Path) -> None:
    """Leave the layer out that SD2 does not read, as published folders do.

    That a text encoder of no published size is SD2's, and not another's, cannot be told.
    """
    with open_model(folder) as model:
        verdict = identify(model)
        unread = ("text_encoder.text_model.encoder.layers.2.", "text_encoder.text_projection")
        kept = {name: tensor for name, tensor in model.items() if not name.startswith(unread)}
        write_folder(folder, kept, folder_texts(kept, verdict, {}, tokenizers=True), force=True)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Both]]:
    """A small model in both programs: ours from the checkpoint, theirs from the folder of it."""
    made: dict[str, Both] = {}

    def find(kind: str) -> Both:
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind)
            source = write(folder / "model.safetensors", kind)
            convert(source, folder / "model")
            if kind == "sd2":
                cut_last_layer(folder / "model")
            pipeline = diffusers.DiffusionPipeline.from_pretrained(
                folder / "model", local_files_only=True, low_cpu_mem_usage=False
            )
            made[kind] = load(source, device="cpu", dtype="float32"), pipeline
        return made[kind]

    yield find
    for model, _ in made.values():
        model.close()


def close(one: Tensor, two: Tensor) -> bool:
    return one.shape == two.shape and (one - two).abs().max().item() <= 1e-4


def one(model: Model, text: str, **wish: Any) -> Encoding:  # noqa: ANN401
    return encode(model, [text], emphasis="None", **wish)[0]


def plain(text: str) -> str:
    """Diffusers' tokenizer is the fast one, which leaves quotes, ligatures and entities alone.

    Where it pads with "!" it takes every "!" for padding: no prompt here has one.
    """
    return text.replace("“ﬁne”", '"fine"').replace("&amp;", "&")


@pytest.mark.parametrize("prompt", PROMPTS)
def test_sd1_is_encoded_as_by_diffusers(prompt: str, both: Callable[[str], Both]) -> None:
    model, pipeline = both("sd1")
    theirs = pipeline.encode_prompt(plain(prompt), "cpu", 1, False)[0]
    assert close(one(model, prompt).context, theirs)


@pytest.mark.parametrize("clip_skip", [2, 3])
@pytest.mark.parametrize("prompt", PROMPTS)
def test_clip_skip_takes_the_states_of_transformers(
    prompt: str, clip_skip: int, both: Callable[[str], Both]
) -> None:
    """Diffusers' own way breaks with transformers 5, which has no `text_model`."""
    model, pipeline = both("sd1")
    ids = pipeline.tokenizer(
        plain(prompt), padding="max_length", max_length=77, return_tensors="pt"
    ).input_ids
    encoder = pipeline.text_encoder
    states = encoder(ids, output_hidden_states=True).hidden_states
    norm = next(m for name, m in encoder.named_modules() if name.endswith("final_layer_norm"))
    assert close(one(model, prompt, clip_skip=clip_skip).context, norm(states[-clip_skip]))


@pytest.mark.parametrize("prompt", PROMPTS)
def test_sd2_is_encoded_as_by_diffusers(prompt: str, both: Callable[[str], Both]) -> None:
    model, pipeline = both("sd2")
    theirs = pipeline.encode_prompt(plain(prompt), "cpu", 1, False)[0]
    assert close(one(model, prompt).context, theirs)


def test_a_folder_of_sd2_that_lacks_its_last_layer_is_read_alike(
    both: Callable[[str], Both],
) -> None:
    model, _ = both("sd2")
    cut = load(model.path.with_name("model"), device="cpu", dtype="float32")
    try:
        assert close(one(cut, "a fox").context, one(model, "a fox").context)
    finally:
        cut.close()


def vector(pipeline: diffusers.DiffusionPipeline, pooled: Tensor, ids: list[float]) -> Tensor:
    """What diffusers' UNet makes of pooled text and sizes."""
    waves = pipeline.unet.add_time_proj(torch.tensor(ids)).reshape(1, -1)
    return torch.cat([pooled, waves], dim=-1)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_sdxl_is_encoded_as_by_diffusers(prompt: str, both: Callable[[str], Both]) -> None:
    model, pipeline = both("sdxl")
    mine = one(model, prompt, size=(640, 896), crop=(8, 16))
    context, _, pooled, _ = pipeline.encode_prompt(
        plain(prompt), device="cpu", do_classifier_free_guidance=False
    )
    assert close(mine.context, context)
    assert mine.vector is not None
    assert close(mine.vector, vector(pipeline, pooled, [896, 640, 8, 16, 896, 640]))


def test_an_empty_negative_prompt_of_sdxl_is_that_of_diffusers(
    both: Callable[[str], Both],
) -> None:
    model, pipeline = both("sdxl")
    mine = one(model, "", negative=True, size=(640, 896))
    _, context, _, pooled = pipeline.encode_prompt("a fox", device="cpu")
    assert close(mine.context, context)
    assert mine.vector is not None
    assert close(mine.vector, vector(pipeline, pooled, [896, 640, 0, 0, 896, 640]))
