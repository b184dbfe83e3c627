"""Latents to pictures and back: levels, scales, NaN, and tiles."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sfumato.catalogue.trees.tiny_vae import TinyVAE, tiny_shapes
from sfumato.catalogue.trees.vae import VAE
from sfumato.containers.save import save
from sfumato.engine.autoencoding import decode as decoding
from sfumato.engine.autoencoding import room
from sfumato.engine.autoencoding.decode import as_tensor, decode, encode, levels
from sfumato.engine.autoencoding.load import load_vae, swapped, vae_network
from sfumato.engine.autoencoding.tiles import Tiles, in_tiles, spans
from sfumato.engine.loading.load import load
from sfumato.engine.model import Model, Network
from sfumato.engine.networks.seamless import seamless
from sfumato.errors import Damaged, SfumatoError, UsageError
from toys import random_tensors

Small = Callable[[str], Path]


class Toy(nn.Module):
    """A VAE without depth: each latent pixel is a block of its first three channels."""

    def __init__(self, factor: int = 8) -> None:
        super().__init__()
        self.factor = factor
        self.weight = nn.Parameter(torch.ones(()), requires_grad=False)

    def decode(self, latents: Tensor) -> Tensor:
        wide = torch.repeat_interleave(latents[:, :3] * self.weight, self.factor, dim=2)
        return torch.repeat_interleave(wide, self.factor, dim=3)

    def encode(self, pictures: Tensor) -> Tensor:
        small = nn.functional.avg_pool2d(pictures * self.weight, self.factor)
        return nn.functional.pad(small, (0, 0, 0, 0, 0, 1))


@pytest.fixture
def model(small: Small) -> Model:
    return load(small("sd1"), device="cpu")


def toy(module: nn.Module | None = None) -> Network:
    return Network("vae", "", module or Toy(), VAE())


def latents(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def test_levels_are_cut_off_and_not_rounded() -> None:
    values = torch.tensor([-2.0, -1.0, 0.0, 0.999, 1.0, 3.0]).expand(3, 1, 6)
    assert levels(values)[0, :, 0].tolist() == [0, 0, 127, 254, 255, 255]


def test_pictures_survive_being_tensors() -> None:
    pixels = np.arange(256 * 3, dtype=np.uint8).reshape(16, 16, 3)
    back = levels(as_tensor([pixels])[0])
    assert np.abs(back.astype(int) - pixels).max() <= 1  # cut off just below a level
    assert np.array_equal(levels(as_tensor([pixels])[0] + 1e-5), pixels)


def test_the_scale_is_the_familys_and_taesd_has_none(model: Model, tmp_path: Path) -> None:
    x = latents(1, 4, 2, 3) * 0.1
    with swapped(model, toy()):
        (picture,) = decode(model, x)
        assert np.array_equal(picture, levels(Toy().decode(x / 0.18215)[0]))
        back = encode(model, as_tensor([picture]))
        assert torch.allclose(back[:, :3], x[:, :3].clamp(-0.18215, 0.18215), atol=2e-3)
    path = tmp_path / "taesd.safetensors"
    save(path, random_tensors(tiny_shapes(TinyVAE(4, 8))))
    tiny = load_vae(path, model)
    with swapped(model, tiny), torch.no_grad():
        assert np.array_equal(decode(model, x)[0], levels(tiny.module.decode(x)[0]))
        p = torch.zeros(1, 3, 16, 24)
        assert torch.equal(encode(model, p), tiny.module.encode(p))


def test_a_shift_is_undone_and_done(model: Model) -> None:
    model.shift = 0.5
    x = torch.full((1, 4, 1, 1), 0.05)
    with swapped(model, toy()):
        assert np.array_equal(decode(model, x)[0], levels(Toy().decode(x / 0.18215 + 0.5)[0]))
        assert torch.allclose(
            encode(model, torch.ones(1, 3, 8, 8))[0, 0, 0], torch.tensor(0.0911), atol=1e-4
        )


def test_pictures_of_a_batch_are_those_made_alone(model: Model) -> None:
    x = latents(3, 4, 5, 6)
    together = decode(model, x)
    assert all(np.array_equal(decode(model, x[i : i + 1])[0], together[i]) for i in range(3))
    assert together[0].shape == (40, 48, 3) and together[0].dtype == np.uint8


def test_encoding_takes_the_mean_and_repeats_itself(model: Model) -> None:
    pictures = latents(2, 3, 16, 24).clamp(-1, 1)
    first = encode(model, pictures)
    assert torch.equal(first, encode(model, pictures)) and first.shape == (2, 4, 2, 3)
    with torch.no_grad():
        mean = model.vae.encode(pictures[:1]) * model.scale
    assert torch.allclose(first[:1], mean, atol=1e-6)


def test_a_size_that_does_not_divide_is_refused(model: Model) -> None:
    with pytest.raises(UsageError, match="20×16 cannot be encoded"):
        encode(model, torch.zeros(1, 3, 16, 20))


class Fragile(Toy):
    """Overflows in half precision, in one corner only."""

    def decode(self, latents: Tensor) -> Tensor:
        out = super().decode(latents).clone()
        if latents.dtype != torch.float32:
            out[..., -1, -1] = float("nan")
        return out


def test_nan_anywhere_is_found_and_the_vae_works_in_full_precision_from_then_on(
    model: Model,
) -> None:
    said = list[str]()
    network = toy(Fragile().to(torch.bfloat16))
    x = latents(2, 4, 3, 3)
    with swapped(model, network):
        found = decode(model, x, note=said.append)
    assert said == ["the VAE gave NaN in bf16 and works in fp32 from here on"]
    assert np.array_equal(found[1], levels(Toy().decode(x / model.scale)[1]))
    assert network.module.weight.dtype == torch.float32


def test_weights_made_in_the_retry_can_be_changed_later(model: Model) -> None:
    network = toy(Fragile().half())
    with swapped(model, network), torch.inference_mode():
        decode(model, latents(1, 4, 2, 2))
    assert not network.module.weight.is_inference()


class Hopeless(Toy):
    def decode(self, latents: Tensor) -> Tensor:
        return super().decode(latents) * float("inf")


def test_nan_in_full_precision_is_an_error_that_names_the_vae(model: Model) -> None:
    with swapped(model, toy(Hopeless())), pytest.raises(SfumatoError, match="even in fp32"):
        decode(model, latents(1, 4, 2, 2))
    spoilt = Toy()
    spoilt.weight.fill_(float("nan"))
    with swapped(model, toy(spoilt)), pytest.raises(Damaged, match="weight holds NaN"):
        decode(model, latents(1, 4, 2, 2))


def test_nan_in_a_latent_is_blamed_on_the_unet(model: Model) -> None:
    x = latents(2, 4, 2, 2)
    x[1, 3, 1, 1] = float("nan")
    with pytest.raises(SfumatoError, match=r"latent 2 of 2 holds NaN .*UNet"):
        decode(model, x)


@pytest.mark.parametrize("length", [1, 16, 17, 20, 28, 29, 100])
def test_tiles_cover_a_side_and_overlap_enough(length: int) -> None:
    found = spans(length, Tiles(16, 4))
    assert found[0].start == 0 and found[-1].stop == length
    assert all(len(span) == min(16, length) for span in found)
    assert all(a.stop - b.start >= 4 for a, b in pairwise(found))


@pytest.mark.parametrize("size", [(5, 7), (16, 16), (33, 20), (40, 61)])
def test_work_that_sees_no_neighbours_is_the_same_in_tiles(size: tuple[int, int]) -> None:
    x = latents(1, 4, *size)
    tiled = in_tiles(Toy().decode, x, Tiles(16, 4), out=8)
    assert torch.allclose(tiled, Toy().decode(x), atol=1e-5)
    picture = Toy().decode(x)
    back = in_tiles(Toy().encode, picture, Tiles(16, 4), into=8)
    assert torch.allclose(back, Toy().encode(picture), atol=1e-5)


def seams(error: Tensor, tiles: Tiles) -> float:
    """How much larger the jumps where a tile begins or ends are than the others, on average."""
    jumps = error.diff(dim=3).abs().mean(dim=(0, 1, 2))
    found = spans(error.shape[3] // 8, tiles)
    edges = {8 * x for span in found for x in (span.start, span.stop)} - {0, error.shape[3]}
    there = torch.tensor([x + 1 in edges for x in range(len(jumps))])
    return float(jumps[there].mean() / jumps[~there].mean())


def test_no_seam_is_seen(model: Model) -> None:
    x = nn.functional.interpolate(latents(1, 4, 4, 6), size=(16, 40), mode="bicubic")
    hard, soft = Tiles(24, 0), Tiles(24, 8)
    with torch.no_grad():
        whole = model.vae.decode(x)
        errors = [in_tiles(model.vae.decode, x, tiles, out=8) - whole for tiles in (hard, soft)]
    assert seams(errors[0], hard) > 2
    assert seams(errors[1], soft) < 1.2


def test_tiles_come_out_right_through_the_front_door(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "TILES", Tiles(16, 8))
    x = latents(1, 4, 24, 20)
    with swapped(model, toy()):
        whole, tiled = decode(model, x)[0], decode(model, x, tiled=True)[0]
        assert np.abs(whole.astype(int) - tiled).max() <= 1
        pictures = as_tensor([whole])
        assert torch.allclose(
            encode(model, pictures), encode(model, pictures, tiled=True), atol=1e-5
        )


def test_a_seamless_picture_stays_seamless_in_tiles(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "TILES", Tiles(16, 8))
    x = nn.functional.interpolate(latents(1, 4, 4, 6), size=(16, 24), mode="bicubic")
    seamless(vae_network(model).module, True)
    picture = decode(model, x, tiled=True)[0].astype(int)
    inner = np.abs(np.diff(picture, axis=1)).max()
    assert picture.shape == (128, 192, 3)
    assert np.abs(picture[:, 0] - picture[:, -1]).max() <= 1.2 * inner


def test_large_pictures_go_in_tiles_where_memory_is_short(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = list[str]()
    monkeypatch.setattr(room, "SMALL", 100)
    monkeypatch.setattr(room, "room", lambda device: 10**12)
    monkeypatch.setattr(decoding, "TILES", Tiles(16, 8))
    x = latents(1, 4, 20, 20)
    with swapped(model, toy()):
        decode(model, x, note=said.append)
        assert not said
        monkeypatch.setattr(room, "room", lambda device: 1000)
        decode(model, x, note=said.append)
        assert len(said) == 1 and "in tiles to save memory" in said[0]
        decode(model, x, tiled=False, note=said.append)
        assert len(said) == 1


def test_a_device_that_runs_out_of_memory_is_given_tiles(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Tight(Toy):
        def decode(self, latents: Tensor) -> Tensor:
            if latents.shape[2] > 16:
                raise torch.OutOfMemoryError
            return super().decode(latents)

    monkeypatch.setattr(decoding, "TILES", Tiles(16, 8))
    said = list[str]()
    with swapped(model, toy(Tight())):
        (picture,) = decode(model, latents(1, 4, 20, 20), note=said.append)
    assert picture.shape == (160, 160, 3) and "in tiles" in said[0]


def test_the_memory_of_this_machine_is_known_or_it_is_said_not_to_be() -> None:
    free = room.room(torch.device("cpu"))
    assert free is None or free > 10**6
    assert room.needed(VAE(), 512 * 512, 4) == 7 * 128 * 512 * 512 * 4
    assert not room.is_large(VAE(), 512 * 512, 4, torch.device("cpu"))


def test_nothing_known_of_memory_leaves_it_to_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MEMINFO", Path("nowhere"))
    cpu = torch.device("cpu")
    assert room.room(cpu) is None
    assert not room.is_large(VAE(), 2048 * 2048, 4, cpu)
    assert room.is_large(VAE(), 2048 * 2048 + 1, 4, cpu)
