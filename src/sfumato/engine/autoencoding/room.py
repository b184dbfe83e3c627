"""How much memory a VAE takes for a picture, and how much there is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sfumato.catalogue.trees.tiny_vae import TinyVAE
from sfumato.catalogue.trees.vae import VAE

if TYPE_CHECKING:
    import torch

ALIVE = 7
"""maps of `VAE.width` channels at full size that exist at once: in the last level's first block
its input of twice the width, the same normalised, the outputs of two convolutions, and what torch
keeps for itself (measured: 6.4 in float32 at 512×512)"""

SMALL = 768 * 768
"""pixels up to which a picture is never cut by itself, so that pictures of everyday sizes are the
same on all machines"""

UNKNOWN = 2048 * 2048
"""pixels beyond which one is cut where nobody says how much memory is left"""

MEMINFO = Path("/proc/meminfo")


def needed(sizes: object, pixels: int, itemsize: int) -> int:
    """Bytes that decoding or encoding a picture takes at its peak, weights left out."""
    width = sizes.width if isinstance(sizes, (VAE, TinyVAE)) else 128
    return ALIVE * width * pixels * itemsize


def room(device: torch.device) -> int | None:
    """Bytes that are free; None where the system does not tell."""
    if device.type == "cuda":
        import torch

        return torch.cuda.mem_get_info(device)[0]
    if device.type != "cpu":
        return None
    try:
        lines = MEMINFO.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return None
    found = (line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    return next((1024 * int(size) for size in found if size.isdecimal()), None)


def is_large(sizes: object, pixels: int, itemsize: int, device: torch.device) -> bool:
    """True where a picture had better be worked on in tiles."""
    if pixels <= SMALL:
        return False
    free = room(device)
    return pixels > UNKNOWN if free is None else needed(sizes, pixels, itemsize) > free
