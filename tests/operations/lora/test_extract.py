"""Extraction: the LoRA between two models is what was put between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from lora_toys import apart, deltas, write_lora
from paintable import checkpoint
from sfumato.catalogue.identify import identify
from sfumato.containers.arrays import array, tensor_from
from sfumato.containers.dtype import BF16, F16, DType
from sfumato.containers.open import open_model
from sfumato.containers.save import save
from sfumato.containers.tensor import Tensor
from sfumato.errors import Damaged, OutputExists, Refused, UsageError
from sfumato.operations.cast import cast
from sfumato.operations.lora.extract import extract

Model = Callable[[str], Path]

UNET = "model.diffusion_model."


def baked(base: Path, lora: Path, path: Path) -> Path:
    """The model with a LoRA's changes in its weights, in float32."""
    found = deltas(lora, base)
    with open_model(base) as file:
        tensors = {
            key: tensor_from(array(t) + found[key].numpy()) if key in found else t
            for key, t in file.items()
        }
        save(path, tensors)
    return path


def changed(kind: str, path: Path, only: str, by: float = 0.01) -> Path:
    """The model with noise on the weights whose names have `only`."""
    rng = np.random.default_rng(1)
    tensors: dict[str, Tensor] = {
        key: tensor_from((array(t) + by * rng.standard_normal(t.shape)).astype("<f4"))
        if only in key else t
        for key, t in checkpoint(kind).items()
    }  # fmt: skip
    save(path, tensors)
    return path


def as_type(kind: str, path: Path, dtype: DType) -> Path:
    save(path, {key: cast(key, t, dtype) for key, t in checkpoint(kind).items()})
    return path


def shapes(path: Path) -> Mapping[str, tuple[int, ...]]:
    with open_model(path) as file:
        return {key: tensor.shape for key, tensor in file.items()}


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("kind", ["sd1", "sd2", "sdxl"])
def test_a_lora_comes_out_as_it_went_in(
    model: Model, tmp_path: Path, kind: str, exact: bool
) -> None:
    base, found = model(kind), tmp_path / "found.safetensors"
    lora = write_lora(tmp_path / "lora.safetensors", base)
    tuned = baked(base, lora, tmp_path / "tuned.safetensors")
    extract(
        tuned, base, found, rank=4, scope="convolution", exact=exact, dtype="f32", text="always"
    )
    assert apart(deltas(lora, base), deltas(found, base)) < 1e-4


def test_the_stated_share_is_that_of_the_file(model: Model, tmp_path: Path) -> None:
    base, found = model("sd1"), tmp_path / "found.safetensors"
    tuned = changed("sd1", tmp_path / "tuned.safetensors", "attn1.to_q")
    report = extract(tuned, base, found, rank=8, dtype="f32")
    with open_model(tuned) as after, open_model(base) as before:
        whole = left = 0.0
        for key, delta in deltas(found, base).items():
            true = torch.from_numpy(array(after[key]) - array(before[key]))
            whole, left = (
                whole + float(true.square().sum()),
                left + float((true - delta).square().sum()),
            )
    assert any(f"hold {1 - left / whole:.2%} of the change" in line for line in report.plan.changes)
    assert any(line.startswith("  input_blocks.1 ") for line in report.plan.changes)


def test_kohyas_names_and_metadata_tell_what_it_is(model: Model, tmp_path: Path) -> None:
    base, found = model("sd1"), tmp_path / "found.safetensors"
    extract(changed("sd1", tmp_path / "tuned.safetensors", "attn"), base, found, rank=2)
    with open_model(found) as file:
        verdict = identify(file, metadata=file.metadata)
        assert verdict.kind == "lora" and verdict.family.startswith("sd1")
        assert file.metadata["ss_network_dim"] == file.metadata["ss_network_alpha"] == "2"
        assert file.metadata["ss_base_model_version"] == "sd_v1"
        assert {t.dtype for key, t in file.items() if "alpha" not in key} == {F16}


def test_only_layers_that_moved_are_in_it(model: Model, tmp_path: Path) -> None:
    found = tmp_path / "found.safetensors"
    tuned = changed("sd1", tmp_path / "tuned.safetensors", "attn2.to_k")
    extract(tuned, model("sd1"), found, rank=2)
    assert all("attn2_to_k" in key for key in shapes(found))


def test_a_text_encoder_that_stood_still_is_left_out(model: Model, tmp_path: Path) -> None:
    base, found = model("sd1"), tmp_path / "found.safetensors"
    tuned = changed("sd1", tmp_path / "tuned.safetensors", "cond_stage", by=1e-6)
    both = changed("sd1", tmp_path / "both.safetensors", ".")
    report = extract(both, base, found, rank=2)
    assert any(key.startswith("lora_te_") for key in shapes(found))
    with pytest.raises(Refused, match=r"does not differ .* nothing to extract"):
        extract(tuned, base, tmp_path / "nothing.safetensors", rank=2)
    extract(both, base, found, rank=2, text="never", force=True)
    assert not any(key.startswith("lora_te_") for key in shapes(found))
    assert any("the text encoder moved by" in line for line in report.plan.changes)


@pytest.mark.parametrize("dtype", [F16, BF16])
def test_a_copy_in_another_type_is_no_fine_tuning(
    model: Model, tmp_path: Path, dtype: DType
) -> None:
    half = as_type("sd1", tmp_path / "half.safetensors", dtype)
    for tuned, base in ((half, model("sd1")), (model("sd1"), half)):
        with pytest.raises(Refused, match="nothing to extract"):
            extract(tuned, base, tmp_path / "found.safetensors")


def test_everything_is_everything(model: Model, tmp_path: Path) -> None:
    base, found = model("sd1"), tmp_path / "found.safetensors"
    tuned = changed("sd1", tmp_path / "tuned.safetensors", UNET)
    report = extract(tuned, base, found, rank=4096, scope="everything", dtype="f32", exact=True)
    after = deltas(found, base)
    with open_model(tuned) as one, open_model(base) as two:
        for key in (key for key in two if key.startswith(UNET)):
            true = torch.from_numpy(array(one[key]) - array(two[key]))
            torch.testing.assert_close(after[key], true, atol=1e-5, rtol=1e-4)
    assert not any("does not reach" in line for line in report.plan.changes)


def test_what_lies_outside_its_reach_is_told(model: Model, tmp_path: Path) -> None:
    tuned = changed("sd1", tmp_path / "tuned.safetensors", UNET)
    report = extract(tuned, model("sd1"), tmp_path / "found.safetensors", rank=2)
    assert any(
        "of all that changed lies where this LoRA does not reach" in x for x in report.sentences()
    )


def test_an_inpainting_model_keeps_its_inputs(model: Model, tmp_path: Path) -> None:
    tuned = changed("sd1-inpainting", tmp_path / "tuned.safetensors", "attn1")
    found = tmp_path / "found.safetensors"
    report = extract(tuned, model("sd1"), found, rank=2, scope="everything")
    assert shapes(found) and report.saved is not None


@pytest.mark.parametrize("other", ["sd2", "sdxl"])
def test_two_families_have_no_lora_between_them(model: Model, tmp_path: Path, other: str) -> None:
    with pytest.raises(Refused, match="no LoRA lies between two families"):
        extract(model(other), model("sd1"), tmp_path / "found.safetensors")


def test_numbers_that_are_none_are_refused(model: Model, tmp_path: Path) -> None:
    tuned = changed("sd1", tmp_path / "tuned.safetensors", "attn1.to_q", by=float("nan"))
    with pytest.raises(Damaged, match="is not finite"):
        extract(tuned, model("sd1"), tmp_path / "found.safetensors")
    assert not (tmp_path / "found.safetensors").exists()


def test_words_that_there_are_not_are_wrong_usage(model: Model, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nearest: convolution"):
        extract("a", "b", tmp_path / "c.safetensors", scope="convolutions")
    with pytest.raises(OutputExists):
        extract(model("sd1"), model("sd1"), model("sd1"))


def test_the_same_seed_gives_the_same_bytes(model: Model, tmp_path: Path) -> None:
    tuned = changed("sd1", tmp_path / "tuned.safetensors", "attn")
    paths = [tmp_path / f"{number}.safetensors" for number in range(3)]
    before = torch.get_num_threads()
    for number, path in enumerate(paths):
        torch.set_num_threads(1 + number % 2)
        extract(tuned, model("sd1"), path, rank=4, seed=number // 2)
    torch.set_num_threads(before)
    one, two, three = (path.read_bytes() for path in paths)
    assert one == two != three


def test_nothing_is_left_beside_the_output(model: Model, tmp_path: Path) -> None:
    tuned = changed("sd1", tmp_path / "tuned.safetensors", "attn")
    steps: list[tuple[int, int]] = []
    extract(
        tuned, model("sd1"), tmp_path / "found.safetensors", rank="energy:0.5", max_rank=16,
        progress=lambda done, total: steps.append((done, total)),
    )  # fmt: skip
    assert {path.name for path in tmp_path.iterdir()} == {"tuned.safetensors", "found.safetensors"}
    assert steps == sorted(steps) and 0 < steps[0][0] < steps[-1][0] <= steps[-1][1]


def test_what_only_one_of_the_models_has_is_told(model: Model, tmp_path: Path) -> None:
    tuned = changed("sd1", tmp_path / "tuned.safetensors", "attn")
    with open_model(model("sd1")) as file:
        unet = {key: tensor for key, tensor in file.items() if key.startswith(UNET)}
        save(tmp_path / "unet.safetensors", unet)
    report = extract(tuned, tmp_path / "unet.safetensors", tmp_path / "found.safetensors", rank=2)
    assert "the text encoder is in tuned.safetensors only" in "\n".join(report.warnings())


def test_the_layer_that_sd2_never_uses_has_no_lora(model: Model, tmp_path: Path) -> None:
    tuned = changed("sd2", tmp_path / "tuned.safetensors", "resblocks")
    extract(tuned, model("sd2"), tmp_path / "found.safetensors", rank=2)
    names = shapes(tmp_path / "found.safetensors")
    assert any("layers_1_" in key for key in names) and not any("layers_2_" in key for key in names)
