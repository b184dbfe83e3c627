"""What a diffusers folder's own settings say, where the tensors say otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from sfumato.catalogue.component import Match, numbers
from sfumato.containers.strict_json import Json, JsonError, parse_json

LARGEST = 1 << 18
"""characters of a settings file that are read at most"""

FIELDS: tuple[tuple[str, str], ...] = (
    ("in_channels", "inputs"),
    ("out_channels", "outputs"),
    ("cross_attention_dim", "context"),
    ("block_out_channels", "widths"),
    ("latent_channels", "latent"),
    ("hidden_size", "width"),
    ("num_hidden_layers", "layers"),
)
"""setting, size that is read off the tensors"""


def settings(metadata: Mapping[str, str], path: str) -> Mapping[str, Json]:
    """The settings in one JSON file of the folder; empty where there are none that can be read."""
    text = metadata.get(path, "")
    if not text or len(text) > LARGEST:
        return {}
    try:
        value = parse_json(text.encode("utf-8", "replace"))
    except JsonError:
        return {}
    return value if isinstance(value, dict) else {}


def contradictions(matches: Iterable[Match], metadata: Mapping[str, str]) -> Iterator[str]:
    """One clause per setting that does not fit the tensors."""
    for match in matches:
        part = match.prefix.removesuffix(".")
        path = f"{part}/config.json" if part else "config.json"
        told = settings(metadata, path)
        found = numbers(match.sizes)
        for setting, field in FIELDS:
            said, size = told.get(setting), found.get(field)
            if said is None or size is None or not _comparable(match, setting):
                continue
            shown = list(size) if isinstance(size, tuple) else size
            if said != shown:
                yield f"{path} says {setting} {said}, the tensors say {shown}"


def _comparable(match: Match, setting: str) -> bool:
    """The channels of a VAE's picture are no size of its latent."""
    return match.role != "vae" or setting == "latent_channels"
