"""A checkpoint's VAE taken out and replaced: whole, bit for bit, in any spelling."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from paintable import SMALL_VAE, UNET_PREFIX, VAE_PREFIX, checkpoint, write
from sfumato.catalogue.trees.tiny_vae import TinyVAE, tiny_shapes
from sfumato.catalogue.trees.vae import VAE, vae_shapes
from sfumato.containers.arrays import array, tensor_from
from sfumato.containers.dtype import F16
from sfumato.containers.open import open_model
from sfumato.containers.save import save
from sfumato.containers.tensor import Tensor
from sfumato.errors import Damaged, Refused, Unsupported, UsageError
from sfumato.operations.convert import convert
from sfumato.operations.vae import vae_extract, vae_replace
from toys import contents, random_tensors


def vae(seed: int = 0) -> dict[str, Tensor]:
    whole = checkpoint("sd1", seed=seed)
    return {name: whole[VAE_PREFIX + name] for name in vae_shapes(SMALL_VAE)}


def test_what_is_taken_out_is_the_vae_bit_for_bit(tmp_path: Path) -> None:
    path = write(tmp_path / "sd1.safetensors")
    vae_extract(path, tmp_path / "a.vae.pt")
    with open_model(tmp_path / "a.vae.pt") as found:
        assert contents(found) == contents(vae())


@pytest.mark.parametrize("spelling", ["ldm", "diffusers"])
def test_the_spelling_is_the_one_asked_for_whatever_the_checkpoints(
    tmp_path: Path, spelling: str
) -> None:
    path = write(tmp_path / "sd1.safetensors")
    convert(path, tmp_path / "folder")
    vae_extract(path, tmp_path / "one.safetensors", spelling=spelling)
    vae_extract(tmp_path / "folder", tmp_path / "two.safetensors", spelling=spelling)
    with (
        open_model(tmp_path / "one.safetensors") as a,
        open_model(tmp_path / "two.safetensors") as b,
    ):
        assert contents(a) == contents(b)
        assert ("decoder.mid.attn_1.q.weight" in a) == (spelling == "ldm")


def test_extract_casts_where_that_is_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "sd1.safetensors")
    report = vae_extract(path, tmp_path / "half.safetensors", dtype="f16")
    assert "180 tensors cast from F32 to F16" in list(report.sentences())
    with open_model(tmp_path / "half.safetensors") as found:
        assert {tensor.dtype for tensor in found.values()} == {F16}


def test_a_vae_is_not_written_as_a_folder_or_in_an_unknown_spelling(tmp_path: Path) -> None:
    path = write(tmp_path / "sd1.safetensors")
    with pytest.raises(UsageError, match="a VAE goes into a file"):
        vae_extract(path, tmp_path / "folder")
    with pytest.raises(UsageError, match="is no spelling"):
        vae_extract(path, tmp_path / "a.safetensors", spelling="kohya")


def test_a_file_without_a_vae_has_none_to_take_out(tmp_path: Path) -> None:
    lone = {n: t for n, t in checkpoint().items() if n.startswith(UNET_PREFIX)}
    save(tmp_path / "unet.safetensors", lone)
    with pytest.raises(Unsupported, match="holds no VAE"):
        vae_extract(tmp_path / "unet.safetensors", tmp_path / "a.safetensors")


def test_extract_and_put_back_is_what_was_before(tmp_path: Path) -> None:
    path = write(tmp_path / "sd1.safetensors")
    vae_extract(path, tmp_path / "vae.pt")
    other = write(tmp_path / "other.safetensors", seed=5)
    vae_replace(path, tmp_path / "foreign.safetensors", vae=other)
    vae_replace(
        tmp_path / "foreign.safetensors", tmp_path / "again.safetensors", vae=tmp_path / "vae.pt"
    )
    with open_model(path) as one, open_model(tmp_path / "again.safetensors") as two:
        assert contents(one) == contents(two)


@pytest.mark.parametrize("spelling", ["ldm", "diffusers"])
@pytest.mark.parametrize("folder", [False, True])
def test_any_spelling_takes_the_place_of_any(tmp_path: Path, spelling: str, folder: bool) -> None:
    path = write(tmp_path / "sd1.safetensors")
    other = write(tmp_path / "other.safetensors", seed=5)
    vae_extract(other, tmp_path / "vae.safetensors", spelling=spelling)
    if folder:
        convert(path, tmp_path / "folder")
        path = tmp_path / "folder"
    target = tmp_path / ("out" if folder else "out.safetensors")
    vae_replace(path, target, vae=tmp_path / "vae.safetensors")
    vae_extract(target, tmp_path / "back.safetensors")
    with open_model(tmp_path / "back.safetensors") as found:
        assert contents(found) == contents(vae(5))
    with open_model(path) as before, open_model(target) as after:
        kept = [name for name in before if not name.startswith(("vae.", VAE_PREFIX))]
        assert contents({n: before[n] for n in kept}) == contents({n: after[n] for n in kept})


def test_a_checkpoint_without_a_vae_gets_one_where_it_belongs(tmp_path: Path) -> None:
    bare = {n: t for n, t in checkpoint().items() if not n.startswith(VAE_PREFIX)}
    save(tmp_path / "bare.safetensors", bare)
    save(tmp_path / "vae.safetensors", vae(5))
    vae_replace(
        tmp_path / "bare.safetensors",
        tmp_path / "whole.safetensors",
        vae=tmp_path / "vae.safetensors",
    )
    with open_model(tmp_path / "whole.safetensors") as found:
        assert found.keys() == checkpoint().keys()


def test_the_numbers_of_a_vae_keep_their_type_in_a_narrower_checkpoint(tmp_path: Path) -> None:
    path = write(tmp_path / "half.safetensors", dtype=F16)
    save(tmp_path / "vae.safetensors", vae(5))
    vae_replace(path, tmp_path / "out.safetensors", vae=tmp_path / "vae.safetensors")
    with open_model(tmp_path / "out.safetensors") as found:
        got = {n.removeprefix(VAE_PREFIX): t for n, t in found.items() if n.startswith(VAE_PREFIX)}
        assert contents(got) == contents(vae(5))


def test_a_broken_vae_is_put_nowhere(tmp_path: Path) -> None:
    path, broken = write(tmp_path / "sd1.safetensors"), vae(5)
    values = np.array(array(broken["decoder.conv_in.weight"]))
    values.flat[3] = np.nan
    save(tmp_path / "vae.safetensors", {**broken, "decoder.conv_in.weight": tensor_from(values)})
    with pytest.raises(Damaged, match=r"its VAE is broken: BROKEN: NaN in decoder.conv_in.weight"):
        vae_replace(path, tmp_path / "out.safetensors", vae=tmp_path / "vae.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_what_does_not_fit_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = write(tmp_path / "sd1.safetensors")
    out = tmp_path / "out.safetensors"

    def refused(sizes: VAE | TinyVAE, sentence: str) -> None:
        shapes = tiny_shapes(sizes) if isinstance(sizes, TinyVAE) else vae_shapes(sizes)
        save(tmp_path / "vae.safetensors", random_tensors(shapes), force=True)
        with pytest.raises(Refused, match=sentence):
            vae_replace(path, out, vae=tmp_path / "vae.safetensors")

    refused(VAE(32, (1, 1, 2, 2), 1, latent=16), "latents of 16 channels, and those of .* have 4")
    refused(VAE(32, (1, 1, 2), 1), "makes 4×4 pixels of each in the latent")
    refused(VAE(32, (1, 1, 2, 2), 1, encoder=False), "half a VAE")
    refused(TinyVAE(), "TAESD")
    lone = {n: t for n, t in checkpoint().items() if n.startswith(UNET_PREFIX)}
    save(tmp_path / "unet.safetensors", {n.removeprefix(UNET_PREFIX): t for n, t in lone.items()})
    with pytest.raises(Refused, match="is a lone UNet, in which a VAE has no place"):
        vae_replace(tmp_path / "unet.safetensors", out, vae=path)
    assert not out.exists()
