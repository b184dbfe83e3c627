"""Loading checkpoints: every family, container and spelling; and what is refused, and how."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from paintable import KINDS, SMALL_CLIP, UNET_PREFIX, VAE_PREFIX, checkpoint
from sfumato.catalogue.trees.text import clip_shapes
from sfumato.containers.arrays import array, tensor_from
from sfumato.containers.dtype import BF16, F8_E4M3, F16, F32
from sfumato.containers.model_file import DIFFUSERS
from sfumato.containers.save import save
from sfumato.containers.tensor import Tensor
from sfumato.engine.loading.load import load
from sfumato.engine.model import Model
from sfumato.errors import Damaged, Dangerous, Refused, SfumatoError, Unsupported, UsageError
from sfumato.operations.convert import convert
from sfumato.operations.original import FIRST

pytestmark = pytest.mark.slow

Small = Callable[[str], Path]


def weights(model: Model) -> dict[str, torch.Tensor]:
    return {
        network.prefix + name: weight
        for network in model.networks
        for name, weight in network.module.state_dict().items()
    }


def equal(model: Model, tensors: dict[str, Tensor]) -> bool:
    own = weights(model)
    return own.keys() == tensors.keys() and all(
        np.array_equal(own[name].numpy(), array(tensor)) for name, tensor in tensors.items()
    )


def written(tensors: dict[str, Tensor], path: Path) -> Path:
    save(path, tensors)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_is_the_files_own(kind: str, small: Small) -> None:
    model = load(small(kind))
    assert model.family == kind.removesuffix("-inpainting").removesuffix("-ip2p")
    assert model.variant == kind.removeprefix("sd1").lstrip("-") * kind.startswith("sd1")
    assert equal(model, dict(checkpoint(kind)))
    assert not any(weight.requires_grad for weight in weights(model).values())


@pytest.mark.parametrize("suffix", [".ckpt", ".bin", ".gguf"])
def test_the_container_does_not_matter(suffix: str, small: Small, tmp_path: Path) -> None:
    other = tmp_path / f"other{suffix}"
    convert(small("sd1"), other)
    assert equal(load(other), dict(checkpoint("sd1")))


@pytest.mark.parametrize("kind", ["sd1", "sd2", "sdxl"])
def test_a_diffusers_folder_gives_the_same_model(kind: str, small: Small, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    convert(small(kind), folder, container=DIFFUSERS.name)
    model = load(folder)
    expected = dict(checkpoint(kind))
    own = weights(model)
    assert model.family == kind
    for name, tensor in expected.items():
        if not name.endswith("logit_scale"):  # a number that CLIP was trained with
            assert np.array_equal(own[name].numpy(), array(tensor)), name


def test_names_wrapped_by_data_parallel_are_understood(tmp_path: Path) -> None:
    wrapped = {f"module.{name}": tensor for name, tensor in checkpoint("sd1").items()}
    assert equal(load(written(wrapped, tmp_path / "m.safetensors")), dict(checkpoint("sd1")))


def test_the_oldest_text_encoder_names_are_understood(tmp_path: Path) -> None:
    old = {name.replace(".text_model.", "."): t for name, t in checkpoint("sd1").items()}
    assert equal(load(written(old, tmp_path / "m.safetensors")), dict(checkpoint("sd1")))


def with_averages() -> dict[str, Tensor]:
    tensors = dict(checkpoint("sd1"))
    live = [name for name in tensors if name.startswith(UNET_PREFIX)]
    other = checkpoint("sd1", seed=1)
    flat = {"model_ema." + n.removeprefix("model.").replace(".", ""): other[n] for n in live}
    return tensors | flat


def test_averaged_weights_are_used_where_they_are_wanted(tmp_path: Path) -> None:
    path = written(with_averages(), tmp_path / "m.safetensors")
    live, ema = load(path), load(path, weights="ema")
    name = UNET_PREFIX + "out.2.weight"
    assert np.array_equal(weights(live)[name].numpy(), array(checkpoint("sd1")[name]))
    assert np.array_equal(weights(ema)[name].numpy(), array(checkpoint("sd1", seed=1)[name]))
    assert "weights ema takes the others" in " ".join(live.notes)
    assert "averaged (EMA) weights of the UNet are used" in " ".join(ema.notes)


def test_averages_that_are_not_there_are_not_made_up(small: Small) -> None:
    with pytest.raises(Refused, match="no averaged"):
        load(small("sd1"), weights="ema")


def test_markers_tell_velocity_and_zero_snr(tmp_path: Path) -> None:
    empty = tensor_from(np.zeros(0, np.float32))
    tensors = dict(checkpoint("sdxl")) | {"v_pred": empty, "ztsnr": empty}
    model = load(written(tensors, tmp_path / "m.safetensors"))
    assert (model.prediction, model.zero_snr, model.variant) == ("v", True, "")


@pytest.mark.parametrize("dtype", [F16, BF16], ids=str)
def test_half_precision_is_cast_once_and_exactly(
    dtype: type[F16], small: Small, tmp_path: Path
) -> None:
    path = written(dict(checkpoint("sd1", dtype)), tmp_path / "m.safetensors")
    assert equal(load(path), dict(checkpoint("sd1", dtype)))


def test_precision_follows_the_wish_and_the_vae_stays_safe(small: Small) -> None:
    model = load(small("sd1"), dtype="bf16")
    dtypes = {n.role: next(n.module.parameters()).dtype for n in model.networks}
    assert dtypes == {
        "unet": torch.bfloat16,
        "text_encoder": torch.bfloat16,
        "vae": torch.float32,
    }


def without(kind: str, start: str) -> dict[str, Tensor]:
    return {n: t for n, t in checkpoint(kind).items() if not n.startswith(start)}


def test_a_checkpoint_without_vae_loads_and_says_so(tmp_path: Path) -> None:
    model = load(written(without("sd1", VAE_PREFIX), tmp_path / "m.safetensors"))
    assert [network.role for network in model.networks] == ["unet", "text_encoder"]
    assert "has no VAE" in " ".join(model.notes)


@pytest.mark.parametrize(
    ("tensors", "sentence"),
    [
        (lambda: without("sd1", "cond_stage_model."), "has no text encoder"),
        (lambda: without("sdxl", "conditioner.embedders.0."), "has no text encoder"),
        (lambda: without("sd1", UNET_PREFIX), "is no checkpoint"),
        (lambda: without("sd1", UNET_PREFIX + "out.2.weight"), "lacks model.diffusion_model.out"),
        (lambda: without("sdxl", "conditioner.embedders.1.model.text_p"), "text_projection"),
        (lambda: without("sd1", VAE_PREFIX + "encoder"), "no encoder"),
        (lambda: {"a.b": tensor_from(np.ones((2, 2), "<f4"))}, "is no checkpoint"),
    ],
)  # fmt: skip
def test_what_is_missing_is_said(
    tensors: Callable[[], dict[str, Tensor]], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(SfumatoError, match=sentence):
        load(written(tensors(), tmp_path / "m.safetensors"))


def test_text_layers_that_sdxl_never_reads_may_be_absent(tmp_path: Path) -> None:
    start = "conditioner.embedders.0.transformer.text_model.final_layer_norm."
    model = load(written(without("sdxl", start), tmp_path / "m.safetensors"))
    assert not weights(model)[start + "weight"].any()


def test_families_that_are_known_and_not_painted_are_named(tmp_path: Path) -> None:
    mark = UNET_PREFIX + "input_blocks.1.0.time_stack.in_layers.2.weight"
    video = dict(checkpoint("sd1")) | {mark: tensor_from(np.zeros((1, 1), "<f4"))}
    with pytest.raises(Unsupported, match=r"not painted by this program: Stable Video Diffusion"):
        load(written(video, tmp_path / "video.safetensors"))


def scaled_fp8(factor: tuple[int, ...] = ()) -> dict[str, Tensor]:
    """A checkpoint with one weight of ones, stored in fp8 with a scale of 3."""
    name = UNET_PREFIX + "input_blocks.1.1.transformer_blocks.0.attn1.to_q"
    shape = checkpoint("sd1")[name + ".weight"].shape
    return dict(checkpoint("sd1")) | {
        f"{name}.weight": tensor_from(np.ones(shape, "<f4"), F8_E4M3),
        f"{name}.scale_weight": tensor_from(np.full(factor, 3, "<f4")),
        f"{UNET_PREFIX}scaled_fp8": tensor_from(np.zeros(2, "<f4"), F8_E4M3),
    }


def test_scaled_fp8_is_multiplied_out_as_it_is_read(tmp_path: Path) -> None:
    model = load(written(scaled_fp8(), tmp_path / "m.safetensors"))
    query = model.unet.input_blocks[1][1].transformer_blocks[0].attn1.to_q.weight  # pyright: ignore
    assert bool((query == 3).all())  # pyright: ignore
    assert "1 scaled fp8 weight multiplied out" in " ".join(model.notes)


def test_scales_that_are_not_understood_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="stored with scales"):
        load(written(scaled_fp8((2,)), tmp_path / "m.safetensors"))


def test_no_numbers_are_found_and_named(tmp_path: Path) -> None:
    name = UNET_PREFIX + "middle_block.0.in_layers.2.weight"
    bad = array(checkpoint("sd1")[name]).copy()
    bad.reshape(-1)[7] = np.nan
    tensors = dict(checkpoint("sd1")) | {name: tensor_from(bad)}
    with pytest.raises(Damaged, match=rf"{name} holds NaN"):
        load(written(tensors, tmp_path / "m.safetensors"))


def test_numbers_too_large_for_half_precision_are_named(tmp_path: Path) -> None:
    name = UNET_PREFIX + "out.2.bias"
    tensors = dict(checkpoint("sd1")) | {name: tensor_from(np.full(4, 1e6, "<f4"))}
    with pytest.raises(Damaged, match=f"{name} holds infinite numbers in float16"):
        load(written(tensors, tmp_path / "m.safetensors"), dtype="fp16")


def test_a_dangerous_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.ckpt"
    path.write_bytes(b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.")
    with pytest.raises(Dangerous):
        load(path)


def test_wishes_that_make_no_sense_are_refused(small: Small) -> None:
    with pytest.raises(UsageError, match="no precision"):
        load(small("sd1"), dtype="fp8")
    with pytest.raises(UsageError, match="no device"):
        load(small("sd1"), device="gpu9")
    with pytest.raises(UsageError, match="live or ema"):
        load(small("sd1"), weights="old")  # pyright: ignore[reportArgumentType]


def test_the_refiner_is_known_by_its_single_text_encoder(small: Small) -> None:
    model = load(small("sdxl-refiner"))
    assert [n.prefix for n in model.networks if n.role == "text_encoder_2"] == [FIRST]
    assert len(model.encoders) == 1


def test_shapes_are_those_of_the_catalogue() -> None:
    assert len(clip_shapes(SMALL_CLIP)) == sum(n.startswith("cond_") for n in checkpoint("sd1"))
    assert all(tensor.dtype == F32 for tensor in checkpoint("sd1").values())
