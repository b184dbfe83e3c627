"""What stands beside the tensors goes through every container, and nothing is made up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from sfumato.catalogue.cards.inspect import inspect
from sfumato.containers.dtype import F16, F32
from sfumato.containers.open import open_model
from sfumato.containers.save import save
from sfumato.containers.tensor import Tensor
from sfumato.operations.convert import convert
from sfumato.operations.split import join, split
from small_models import UNET, sd1
from toys import contents, random_tensors

SCHEDULER = Path("scheduler") / "scheduler_config.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A diffusers folder that predicts v, with a schedule that ends in pure noise."""
    save(tmp_path / "a.safetensors", sd1(F16))
    convert(tmp_path / "a.safetensors", tmp_path / "folder")
    settings = json.loads((tmp_path / "folder" / SCHEDULER).read_text())
    settings |= {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
    (tmp_path / "folder" / SCHEDULER).write_text(json.dumps(settings))
    return tmp_path / "folder"


@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors", ".gguf"])
def test_a_prediction_type_survives_a_file_between_two_folders(folder: Path, suffix: str) -> None:
    between, again = folder.with_name(f"b{suffix}"), folder.with_name("again")
    report = convert(folder, between)
    assert not any("metadata have no place" in warning for warning in report.warnings())
    convert(between, again)
    settings = json.loads((again / SCHEDULER).read_text())
    assert settings["prediction_type"] == "v_prediction"
    assert settings["rescale_betas_zero_snr"] is True


def test_metadata_in_a_pickle_are_plain_text_beside_the_state_dict(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", sd1(), {"title": "dusk", "a.b": "c", "format": "pt"})
    convert(tmp_path / "a.safetensors", tmp_path / "b.ckpt")
    loaded = torch.load(tmp_path / "b.ckpt", weights_only=True)
    assert loaded["sfumato_metadata"] == {"title": "dusk", "a.b": "c"}
    convert(tmp_path / "b.ckpt", tmp_path / "c.ckpt", dtype="f16")
    with open_model(tmp_path / "c.ckpt") as model:
        assert model.metadata == {"title": "dusk", "a.b": "c"}
        assert not any(key.startswith("sfumato_metadata") for key in model.extras)


def test_text_that_is_no_unicode_in_a_pickle_stops_nothing(tmp_path: Path) -> None:
    state = {"state_dict": {"w": torch.zeros(2)}, "sfumato_metadata": {"a": "\ud800", 3: 4}}
    torch.save(state, tmp_path / "a.ckpt")
    convert(tmp_path / "a.ckpt", tmp_path / "b.ckpt")
    convert(tmp_path / "a.ckpt", tmp_path / "b.safetensors")
    convert(tmp_path / "a.ckpt", tmp_path / "b.gguf")


def test_what_is_only_usual_is_not_written_as_known(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", sd1(F16))
    save(tmp_path / "v.safetensors", {**sd1(F16), "v_pred": random_tensors({"v": (0,)})["v"]})
    for name, said in (("a", None), ("v", "v")):
        split(tmp_path / f"{name}.safetensors", tmp_path / name)
        with open_model(tmp_path / name / "unet.safetensors") as unet:
            assert unet.metadata.get("modelspec.prediction_type") == said


def test_a_folder_that_is_joined_keeps_its_prediction_type(folder: Path) -> None:
    prefixed = {n: t for n, t in sd1(F16).items() if n.startswith("first_stage_model.")}
    save(folder.with_name("vae.safetensors"), prefixed)
    for name in ("vae", "text_encoder"):
        (folder / name).rename(folder.with_name(name))
    join([folder, folder.with_name("vae.safetensors"), folder.with_name("text_encoder")],
         folder.with_name("b.ckpt"))  # fmt: skip
    card = inspect(folder.with_name("b.ckpt"))
    assert card.identity is not None and card.identity.prediction is not None
    assert card.identity.prediction.type == "v" and card.identity.prediction.zero_terminal_snr


def embedding() -> dict[str, Tensor]:
    return random_tensors({"string_to_param.*": (2, 768)}, F32)


def test_a_picture_keeps_what_an_embedding_says_of_itself(tmp_path: Path) -> None:
    vectors = embedding()
    said = {"name": "moon", "step": 700, "sd_checkpoint": "7460a6fa", "sd_checkpoint_name": "sd"}
    tree = {"string_to_token": {"*": 265}, "string_to_param": {"*": vectors["string_to_param.*"]}}
    save(tmp_path / "a.pt", vectors, tree={**tree, **said})
    convert(tmp_path / "a.pt", tmp_path / "b.safetensors")
    for source in ("a.pt", "b.safetensors"):
        report = convert(tmp_path / source, tmp_path / "c.png", force=True)
        assert any("step 700" in change for change in report.plan.changes)
        assert not list(report.warnings())
        with open_model(tmp_path / "c.png") as picture:
            assert {key: picture.extras[key] for key in said} == said
            assert contents(picture) == contents(vectors)


def test_a_nameless_embedding_is_called_as_its_file_in_a_picture(tmp_path: Path) -> None:
    save(tmp_path / "dusk.safetensors", {"emb_params": embedding()["string_to_param.*"]})
    report = convert(tmp_path / "dusk.safetensors", tmp_path / "c.png")
    assert "beside the vectors stands: name dusk" in report.plan.changes
    with open_model(tmp_path / "c.png") as picture:
        assert picture.extras["name"] == "dusk"


def test_quantised_tensors_are_counted_and_measured(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", random_tensors({"w": (40, 64), "v": (64,), "odd": (3, 5)}))
    before = convert(tmp_path / "a.safetensors", tmp_path / "b.gguf", dtype="q8_0", dry_run=True)
    after = convert(tmp_path / "a.safetensors", tmp_path / "b.gguf", dtype="q8_0")
    assert "1 tensor quantised to Q8_0, which loses precision" in list(after.sentences())
    assert after.bytes_out == (tmp_path / "b.gguf").stat().st_size
    assert 0 <= after.bytes_out - before.bytes_out < 1000  # the recipe


def test_only_what_was_read_of_a_folder_counts(folder: Path) -> None:
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    (folder / "unet" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(weights.read_bytes())
    report = convert(folder, folder.with_name("b.safetensors"))
    assert report.bytes_in == inspect(folder).size


def test_a_lone_dictionary_in_a_pickle_keeps_its_names(tmp_path: Path) -> None:
    torch.save({"weird": {f"{UNET}w": torch.zeros(2)}}, tmp_path / "a.ckpt")
    convert(tmp_path / "a.ckpt", tmp_path / "b.ckpt")
    with open_model(tmp_path / "b.ckpt") as model:
        assert set(model) == {f"{UNET}w"}
