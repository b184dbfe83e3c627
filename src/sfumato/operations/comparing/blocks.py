"""The blocks of a network, by which comparisons are summed: whose a tensor is, in what order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

ORDER: Mapping[str, tuple[str, ...]] = {
    "unet": ("time_embed", "label_emb", "input_blocks", "middle_block", "output_blocks", "out"),
    "vae": (
        "encoder.conv_in", "encoder.down", "encoder.mid", "encoder.norm_out", "encoder.conv_out",
        "quant_conv", "post_quant_conv", "decoder.conv_in", "decoder.mid", "decoder.up",
        "decoder.norm_out", "decoder.conv_out",
    ),
    "text": ("embeddings", "layers", "final_layer_norm", "text_projection"),
}  # fmt: skip
"""sort of network → its blocks as the numbers pass through them, without their own numbers"""


def block(name: str, network: str = "") -> str:
    """The block that a tensor belongs to.

    UNet: input_blocks.4, middle_block, time_embed · VAE: encoder.down.0, decoder.mid · text
    encoder: layers.7, embeddings · others: the path up to its first number.
    """
    rule = RULES.get(network)
    return _first_number(name.split(".")) if rule is None else rule(name)


def ordered(blocks: Iterable[str], network: str = "") -> list[str]:
    """Blocks in the order in which a network runs through them, numbers as numbers."""
    known = ORDER.get(network, ())
    seen: dict[str, int] = {}

    def key(name: str) -> tuple[int, int]:
        head, _, last = name.rpartition(".")
        stem, number = (head, int(last)) if last.isdecimal() else (name, -1)
        fallback = seen.setdefault(stem, len(known) + len(seen))
        return (known.index(stem) if stem in known else fallback), number

    return sorted(blocks, key=key)


def _unet(name: str) -> str:
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] in ("input_blocks", "output_blocks") else parts[0]


def _vae(name: str) -> str:
    parts = name.split(".")
    depth = 3 if parts[1:2] in (["down"], ["up"]) else 2
    return ".".join(parts[:depth]) if len(parts) > 2 else parts[0]


def _text(name: str) -> str:
    parts = name.removeprefix("text_model.").removeprefix("encoder.").split(".")
    return ".".join(parts[:2]) if parts[0] == "layers" else parts[0]


def _first_number(parts: list[str]) -> str:
    number = next((i for i, part in enumerate(parts) if part.isdecimal()), 0)
    return ".".join(parts[: number + 1])


RULES: Mapping[str, Callable[[str], str]] = {"unet": _unet, "vae": _vae, "text": _text}
"""sort of network → the rule for its names"""
