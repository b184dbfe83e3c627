"""The latents of a run's pictures: encoded once, kept on disk, keyed by all that decides them."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

import torch
from torch import Tensor

from sfumato.containers.open import open_model
from sfumato.containers.save_file import save_file
from sfumato.engine.model import Model
from sfumato.engine.networks.vae import AutoencoderKL
from sfumato.errors import BadFile, Refused
from sfumato.training.data.lesson import Lesson
from sfumato.training.data.order import Draw
from sfumato.training.randomness import normal
from sfumato.training.torch_tensors import all_from_torch, to_torch

AT_ONCE = 8
"""pictures encoded together"""


class Latents:
    """Latents by draw.

    Mean and variance are kept, not a sample: each draw of a picture gets noise of its own. Pictures
    that are cropped at random are encoded each time.
    """

    def __init__(self, model: Model, lesson: Lesson, folder: Path) -> None:
        network = model.vae
        if not isinstance(network, AutoencoderKL):
            raise Refused("training takes a whole VAE; this model's own has no variance (TAESD)")
        self.network = network
        self.model = model
        self.lesson = lesson
        self.folder = folder
        self._kept: dict[str, Tensor] | None = None

    @property
    def key(self) -> str:
        """Identity of the VAE, the pictures and their sizes."""
        text = f"{_identity(self.network)} {self.lesson.digest} {self.lesson.settings.flip}"
        return blake2b(text.encode(), digest_size=12).hexdigest()

    def prepare(self) -> Iterator[int]:
        """Encode every picture that is not on disk; yields the number done after each batch."""
        if self.lesson.settings.crop == "random":
            return
        path = self.folder / f"latents-{self.key}.safetensors"
        self._kept = _read(path)
        if self._kept is not None:
            return
        self._kept = {}
        for flip in (False, True) if self.lesson.settings.flip else (False,):
            for rows in self._batches():
                pictures = torch.stack([self.lesson.still(row, flip=flip) for row in rows])
                moments = self.moments(pictures).cpu()
                self._kept |= {
                    _name(row, flip): one.clone() for row, one in zip(rows, moments, strict=True)
                }
                yield len(self._kept)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(path, all_from_torch(self._kept), force=True)

    def _batches(self) -> Iterator[list[int]]:
        """Rows of one size, a few at a time."""
        piles: dict[tuple[int, int], list[int]] = {}
        for row, fit in enumerate(self.lesson.fits):
            piles.setdefault(fit.bucket, []).append(row)
        for pile in piles.values():
            for start in range(0, len(pile), AT_ONCE):
                yield pile[start : start + AT_ONCE]

    @torch.no_grad()
    def moments(self, pictures: Tensor) -> Tensor:
        """Mean and log-variance (b, 8, h, w), float32, of pictures (b, 3, H, W) in [-1, 1]."""
        place = self.model.placement
        return self.network.moments(pictures.to(place.device, place.vae_dtype)).float()

    def at(self, draws: list[Draw]) -> Tensor:
        """Latents (b, 4, h, w) of a batch, drawn anew and scaled as the UNet sees them."""
        if self._kept is None:
            moments = self.moments(torch.stack([self.lesson.picture(draw) for draw in draws]))
        else:
            names = [_name(draw.item, self.lesson.flipped(draw)) for draw in draws]
            moments = torch.stack([self._kept[name] for name in names])
        mean, variance = moments.to(self.model.placement.device).chunk(2, dim=1)
        shape = tuple(mean.shape[1:])
        noise = torch.stack(
            [normal(shape, self.lesson.seed, "latent", draw.sample) for draw in draws]
        ).to(mean.device)
        latents = mean + (variance.clamp(-30, 20) / 2).exp() * noise
        return (latents - self.model.shift) * self.model.scale


def _name(row: int, flip: bool) -> str:
    return f"{row}.flipped" if flip else str(row)


def _read(path: Path) -> dict[str, Tensor] | None:
    """Latents on disk; None where there are none, or a file that is not whole."""
    if not path.is_file():
        return None
    try:
        with open_model(path) as file:
            return {name: to_torch(tensor) for name, tensor in file.items()}
    except BadFile:
        return None


def _identity(network: AutoencoderKL) -> str:
    """A digest of the encoder's weights."""
    digest = blake2b(digest_size=16)
    for name, weight in network.state_dict().items():
        if not name.startswith(("decoder.", "post_quant_conv.")):
            digest.update(name.encode())
            digest.update(weight.float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
