"""How well pictures survive an autoencoder."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quality.judges import psnr, squared_error, tinted, warmth
from quality.probes import THINGS
from quality.records import Bench, Record
from quality.studio import Look
from sfumato.containers.open import open_model

OWN, WARM = "checkpoints/starter", "vae/warmth"
AIM, WISH = 24, 27
"""decibels"""

PLAIN = (1.0, 1.0, 1.0)


def back(path: Path, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pictures through the autoencoder of a file, as they would be saved."""
    import torch

    with torch.inference_mode():
        network = _autoencoder(path)
        pictures = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
        each = [network.decode(network.encode(picture[None])) for picture in pictures]
        levels = ((torch.cat(each).clamp(-1, 1) + 1) * 127.5).round().byte()
        return levels.permute(0, 2, 3, 1).contiguous().numpy()


@cache
def _autoencoder(path: Path):  # noqa: ANN202
    from sfumato.training.kinds.vae import read_autoencoder

    return read_autoencoder(path)


def tint_of(path: Path) -> tuple[float, ...]:
    """By what an autoencoder was taught to multiply red, green and blue."""
    with open_model(path) as model:
        run = tomllib.loads(model.metadata.get("sfumato.run", ""))
    return tuple(run.get("vae", {}).get("tint", PLAIN))


def reconstruction(bench: Bench) -> list[Record]:
    """The PSNR of held-out pictures behind the checkpoint's autoencoder."""
    return [_reconstructed(bench, OWN, "vae")]


def warm_reconstruction(bench: Bench) -> list[Record]:
    """The PSNR of the other autoencoder, against pictures in its tint."""
    return [_reconstructed(bench, WARM, "vae warmth")]


def _reconstructed(bench: Bench, file: str, name: str) -> Record:
    path, images = bench.studio.file(file), bench.rows("validation").images
    factors = tint_of(path) if file == WARM else PLAIN
    pairs = zip(images, back(path, images), strict=True)
    errors = [squared_error(tinted(picture, factors), again) for picture, again in pairs]
    mean, each = psnr(float(np.mean(errors))), [psnr(error) for error in errors]
    target = "the same pictures" if factors == PLAIN else f"pictures multiplied by {factors}"
    return Record(
        name, f"{mean:.1f} dB", f"≥ {AIM} dB (wish {WISH})", mean >= AIM,
        f"PSNR of {len(images)} held-out pictures against {target}, from the mean squared error "
        f"of all; their own PSNRs are {np.mean(each):.1f} dB in the mean, the least "
        f"{min(each):.1f} dB.",
        {"psnr": mean, "mean of psnrs": float(np.mean(each)), "each": each},
    )  # fmt: skip


def warm_paintings(bench: Bench) -> list[Record]:
    """Whether painting with the other autoencoder changes colours as its tint says."""
    factors = tint_of(bench.studio.file(WARM))
    own = bench.studio.each(THINGS)
    other = bench.studio.each(THINGS, look=Look(vae=WARM))
    before = float(np.mean([warmth(picture) for picture in own]))
    after = float(np.mean([warmth(picture) for picture in other]))
    told = float(np.mean([warmth(tinted(picture, factors)) for picture in own]))
    part = (after - before) / (told - before) if told != before else 0.0
    return [
        Record(
            "vae warmth, painting", f"{100 * before:+.1f} → {100 * after:+.1f} %",
            f"{100 * (told - before):+.1f} %, give or take half", 0.5 <= part <= 1.5,
            f"Mean of red less blue over {len(own)} paintings without and with the VAE; the tint "
            f"it was taught, {factors}, would give {100 * told:+.1f} %.",
            {"without": before, "with": after, "expected": told, "part": part},
        )
    ]  # fmt: skip
