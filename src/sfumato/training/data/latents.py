"""The latents of a run's pictures: encoded once, kept on disk, keyed by all that decides them."""

from __future__ import annotations

from collections.abc import Iterator, Set
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

import torch
from torch import Tensor

from sfumato.containers.atomic import check_room
from sfumato.containers.open import open_model
from sfumato.containers.save_file import save_file
from sfumato.engine.model import Model
from sfumato.engine.networks.vae import AutoencoderKL
from sfumato.errors import BadFile, Refused
from sfumato.training.data.lesson import Lesson
from sfumato.training.data.order import Draw
from sfumato.training.randomness import normal
from sfumato.training.torch_tensors import all_from_torch, to_torch

SHARD = 64
"""pictures whose latents are written to one file, and lost at most when encoding is killed"""


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
        self._kept: dict[str, Tensor] = {}

    def prepare(self) -> Iterator[tuple[int, int]]:
        """Encode every picture that is not on disk; yields the number done, and of all.

        What is on disk is known by the encoder's weights, the picture's bytes and its sizes, so
        that nothing stale is taken, and a new picture does not mean encoding all again.
        """
        if self.lesson.settings.crop == "random":
            return
        wanted = self._wanted()
        prefix = f"latents-{_identity(self.network)}-"
        self._kept |= _read(self.folder, prefix, wanted.keys() - self._kept.keys())
        missing = [name for name in wanted if name not in self._kept]
        if not missing:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        check_room(self.folder, self.folder, sum(self._nbytes(wanted[name][0]) for name in missing))
        for start in range(0, len(missing), SHARD):
            names = missing[start : start + SHARD]
            for done, name in enumerate(names, start + 1):
                # One by one, so that the last bits do not depend on what else is encoded.
                row, flip = wanted[name]
                self._kept[name] = self.moments(self.lesson.still(row, flip=flip)[None])[0].cpu()
                yield done, len(missing)
            shard = {name: self._kept[name] for name in names}
            digest = blake2b(" ".join(names).encode(), digest_size=8).hexdigest()
            path = self.folder / f"{prefix}{digest}.safetensors"
            save_file(path, all_from_torch(shard), force=True)

    def _wanted(self) -> dict[str, tuple[int, bool]]:
        """Name of every latent → row of the lesson, and whether it is mirrored."""
        ways = (False, True) if self.lesson.settings.flip else (False,)
        rows = range(len(self.lesson.items))
        return {self._name(row, flip): (row, flip) for row in rows for flip in ways}

    def _name(self, row: int, flip: bool) -> str:
        fit = self.lesson.fits[row]
        sizes = "-".join(f"{width}x{height}" for width, height in (fit.scaled, fit.bucket))
        return f"{self.lesson.items[row].digest}-{sizes}{'-flipped' if flip else ''}"

    def _nbytes(self, row: int) -> int:
        width, height = self.lesson.fits[row].bucket
        return 8 * (width // 8) * (height // 8) * 4

    @torch.no_grad()
    def moments(self, pictures: Tensor) -> Tensor:
        """Mean and log-variance (b, 8, h, w), float32, of pictures (b, 3, H, W) in [-1, 1]."""
        place = self.model.placement
        return self.network.moments(pictures.to(place.device, place.vae_dtype)).float()

    def at(self, draws: list[Draw]) -> Tensor:
        """Latents (b, 4, h, w) of a batch, drawn anew and scaled as the UNet sees them."""
        names = [self._name(draw.item, self.lesson.flipped(draw)) for draw in draws]
        if all(name in self._kept for name in names):
            moments = torch.stack([self._kept[name] for name in names])
        else:
            moments = self.moments(torch.stack([self.lesson.picture(draw) for draw in draws]))
        mean, variance = moments.to(self.model.placement.device).chunk(2, dim=1)
        shape = tuple(mean.shape[1:])
        noise = torch.stack(
            [normal(shape, self.lesson.seed, "latent", draw.sample) for draw in draws]
        ).to(mean.device)
        latents = mean + (variance.clamp(-30, 20) / 2).exp() * noise
        return (latents - self.model.shift) * self.model.scale


def _read(folder: Path, prefix: str, names: Set[str]) -> dict[str, Tensor]:
    """Those latents of `names` that are on disk; a file that is not whole is passed over."""
    found: dict[str, Tensor] = {}
    for path in sorted(folder.glob(f"{prefix}*.safetensors")) if names else ():
        with suppress(BadFile), open_model(path) as file:
            found |= {name: to_torch(file[name]) for name in names & file.keys()}
    return found


def _identity(network: AutoencoderKL) -> str:
    """A digest of the encoder's weights."""
    digest = blake2b(digest_size=12)
    for name, weight in network.state_dict().items():
        if not name.startswith(("decoder.", "post_quant_conv.")):
            digest.update(name.encode())
            digest.update(all_from_torch({name: weight})[name].read())
    return digest.hexdigest()
