"""VAEs from files of their own: every layout, both halves of TAESD, and what does not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from paintable import SMALL_VAE
from sfumato.catalogue.layouts import vae_diffusers_shapes, vae_old_diffusers_shapes
from sfumato.catalogue.spelling.networks import vae_names
from sfumato.catalogue.trees.tiny_vae import (
    TinyVAE,
    tiny_diffusers_shapes,
    tiny_half_shapes,
    tiny_shapes,
)
from sfumato.catalogue.trees.vae import VAE, vae_shapes
from sfumato.containers.arrays import array, tensor_from
from sfumato.containers.save import save
from sfumato.containers.tensor import Tensor
from sfumato.engine.autoencoding.load import load_vae, report, swapped, use_vae, vae_network
from sfumato.engine.loading.load import load
from sfumato.engine.model import Model, Network
from sfumato.errors import Damaged, Refused, Unsupported
from sfumato.operations.convert import convert
from toys import random_tensors

Small = Callable[[str], Path]
Tensors = Mapping[str, Tensor]


@pytest.fixture(scope="module")
def model(small: Small) -> Model:
    return load(small("sd1"), device="cpu")


def plain(sizes: VAE = SMALL_VAE) -> dict[str, Tensor]:
    return random_tensors(vae_shapes(sizes), seed=70)


def written(path: Path, tensors: Tensors) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path, tensors)
    return path


def equal(network: Network, tensors: Tensors) -> bool:
    own = network.module.state_dict()
    return own.keys() == tensors.keys() and all(
        np.array_equal(own[name].numpy(), array(tensor)) for name, tensor in tensors.items()
    )


def diffusers(tensors: Tensors, *, old: bool = False) -> dict[str, Tensor]:
    names = vae_names(SMALL_VAE, old=old)
    shapes = (vae_old_diffusers_shapes if old else vae_diffusers_shapes)(SMALL_VAE)
    return {
        names[name]: tensor_from(array(tensor).reshape(shapes[names[name]]))
        for name, tensor in tensors.items()
    }


def under(prefix: str, tensors: Tensors) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def training_state(tensors: Tensors) -> dict[str, Tensor]:
    rest = random_tensors({"loss.logvar": (), "loss.discriminator.main.0.weight": (8, 3, 4, 4)})
    counts = {"model_ema.decay": tensor_from(np.float32(0.9).reshape(()))}
    return {**tensors, **rest, **counts}


FORMS: dict[str, Callable[[Tensors], dict[str, Tensor]]] = {
    "bare": dict,
    "prefixed": lambda t: under("first_stage_model.", t),
    "wrapped": lambda t: under("state_dict.", t),
    "training state": training_state,
    "diffusers": diffusers,
    "old diffusers": lambda t: diffusers(t, old=True),
    "diffusers, prefixed": lambda t: under("vae.", diffusers(t)),
}


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("form", FORMS)
def test_every_layout_gives_the_same_network(
    form: str, suffix: str, model: Model, tmp_path: Path
) -> None:
    own = plain()
    path = written(tmp_path / f"vae{suffix}", FORMS[form](own))
    network = load_vae(path, model)
    assert equal(network, own) and network.source == path
    assert not any(weight.requires_grad for weight in network.module.parameters())


def test_a_diffusers_folder_and_a_checkpoint_hold_vaes_too(
    model: Model, small: Small, tmp_path: Path
) -> None:
    own = {n.removeprefix("first_stage_model."): t for n, t in model.tensors.items()
           if n.startswith("first_stage_model.")}  # fmt: skip
    assert equal(load_vae(small("sd1"), model), own)
    convert(small("sd1"), tmp_path / "folder", container="diffusers-folder")
    assert equal(load_vae(tmp_path / "folder", model), own)


@pytest.mark.parametrize("width", [64, 16])
def test_taesd_is_read_in_every_layout(width: int, model: Model, tmp_path: Path) -> None:
    both = TinyVAE(4, width)
    own = random_tensors(tiny_shapes(both), seed=9)
    names = dict(zip(tiny_shapes(both), tiny_diffusers_shapes(both), strict=True))
    halves = {n.replace("encoder.", "taesd_encoder.").replace("decoder.", "taesd_decoder."): t
              for n, t in own.items()}  # fmt: skip
    for form in (own, {names[n]: t for n, t in own.items()}, halves):
        network = load_vae(written(tmp_path / "taesd.safetensors", form), model)
        assert network.sizes == both and equal(network, own)
        (tmp_path / "taesd.safetensors").unlink()


def test_one_half_of_taesd_finds_the_other_beside_it(model: Model, tmp_path: Path) -> None:
    own = random_tensors(tiny_shapes(TinyVAE(4, 16)), seed=9)
    paths = {half: tmp_path / f"taesd_{half}.pth" for half in ("encoder", "decoder")}
    for half, path in paths.items():
        sizes = TinyVAE(4, 16, encoder=half == "encoder", decoder=half == "decoder")
        written(path, {name: own[f"{half}.{name}"] for name in tiny_half_shapes(sizes)})
    for path in paths.values():
        assert equal(load_vae(path, model), own)
    paths["encoder"].unlink()
    alone = load_vae(paths["decoder"], model)
    assert alone.sizes == TinyVAE(4, 16, encoder=False)
    assert equal(alone, {n: t for n, t in own.items() if n.startswith("decoder.")})


def test_a_decoder_alone_decodes(model: Model, tmp_path: Path) -> None:
    shapes = vae_shapes(VAE(32, (1, 1, 2, 2), 1, encoder=False))
    path = written(tmp_path / "half.safetensors", random_tensors(shapes))
    network = load_vae(path, model)
    assert equal(network, random_tensors(shapes))


def _without(tensors: Tensors) -> dict[str, Tensor]:
    return {n: t for n, t in tensors.items() if n != "decoder.mid.attn_1.q.bias"}


def _nan(tensors: Tensors) -> dict[str, Tensor]:
    spoilt = array(tensors["decoder.conv_in.bias"]).copy()
    spoilt[0] = np.nan
    return {**tensors, "decoder.conv_in.bias": tensor_from(spoilt)}


FAULTS: dict[str, tuple[Callable[[], Tensors], type[Exception], str]] = {
    "16 channels": (lambda: plain(VAE(32, (1, 1, 2, 2), 1, latent=16)), Refused,
                    "latents of 16 channels, and this model's have 4"),
    "factor 4": (lambda: plain(VAE(32, (1, 2, 2), 1)), Refused, "4×4 pixels"),
    "incomplete": (lambda: _without(plain()), Damaged, r"lacks decoder\.mid\.attn_1\.q\.bias"),
    "NaN": (lambda: _nan(plain()), Damaged, r"decoder\.conv_in\.bias holds NaN"),
    "no VAE": (lambda: random_tensors({"emb_params": (2, 768)}), Unsupported, "holds no VAE"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_what_does_not_fit_is_refused(fault: str, model: Model, tmp_path: Path) -> None:
    make, error, reason = FAULTS[fault]
    with pytest.raises(error, match=reason):
        load_vae(written(tmp_path / "vae.safetensors", make()), model)


@pytest.mark.parametrize(
    ("file", "error", "reason"),
    [
        ("vae-approx.pt", Unsupported, "gives previews and no pictures"),
        ("taef2_decoder.pth", Refused, "latents of 32 channels"),
        ("embedding-EasyNegative.safetensors", Unsupported, "SD 1.x embedding"),
    ],
)
def test_real_files_that_are_no_vae_of_sd_are_named(
    file: str, error: type[Exception], reason: str, model: Model, real: Path
) -> None:
    with pytest.raises(error, match=reason):
        load_vae(real / file, model)


def test_a_swapped_vae_works_for_a_while(model: Model, tmp_path: Path) -> None:
    other = load_vae(written(tmp_path / "vae.safetensors", plain()), model)
    before, networks = vae_network(model), model.networks
    with pytest.raises(ZeroDivisionError), swapped(model, other):
        assert vae_network(model) is other and model.vae is other.module
        raise ZeroDivisionError
    assert vae_network(model) is before and model.networks is networks


def test_a_model_without_a_vae_takes_one_and_says_so_before(small: Small, tmp_path: Path) -> None:
    model = load(small("sd1"), device="cpu")
    model.networks = tuple(n for n in model.networks if n.role != "vae")
    with pytest.raises(Refused, match="--vae"):
        vae_network(model)
    use_vae(model, load_vae(written(tmp_path / "vae.safetensors", plain()), model))
    assert isinstance(vae_network(model).sizes, VAE)


def test_the_report_counts_and_gives_the_reason(model: Model, tmp_path: Path) -> None:
    network = load_vae(written(tmp_path / "nice.safetensors", plain()), model)
    said = report(network, "it was asked for")
    assert said.sentence() == f"{said.total} of {said.total} tensors of VAE nice.safetensors apply"
    assert said.notes == ("it was asked for",)


def test_weights_are_cast_once_to_the_vaes_precision(small: Small, tmp_path: Path) -> None:
    model = load(small("sd1"), device="cpu", vae_dtype="bf16")
    network = load_vae(written(tmp_path / "vae.safetensors", plain()), model)
    assert {weight.dtype for weight in network.module.parameters()} == {torch.bfloat16}
