"""Which weights of a text encoder change what the UNet is told: only they can learn."""

from __future__ import annotations

import re

from sfumato.catalogue.trees.text import Text
from sfumato.engine.encoding.readings import OPENCLIP, READINGS, Reading
from sfumato.engine.model import Model, Network

LAYER = re.compile(r"(?:\.layers|resblocks)\.(\d+)\.")
LAST_NORM = ("final_layer_norm.", "ln_final.")


def is_reached(network: Network, name: str, model: Model) -> bool:
    """True for a weight, or a layer, that the family reads; `name` is without the prefix.

    SD2 and SDXL take the last but one layer: what comes after it gets no gradient.
    """
    sizes = network.sizes
    if not isinstance(sizes, Text):
        return True
    reading = _reading(network, model)
    if "logit_scale" in name or ("text_projection" in name and not reading.pooled):
        return False
    if reading.pooled:
        return True
    if any(part in name for part in LAST_NORM):
        return reading.normed
    layer = LAYER.search(name)
    back = 1 if reading is OPENCLIP and not sizes.projection else reading.back
    return layer is None or int(layer[1]) <= sizes.layers - back


def _reading(network: Network, model: Model) -> Reading:
    texts = [n.role for n in model.networks if n.role.startswith("text")]
    return READINGS[model.family][texts.index(network.role)]
