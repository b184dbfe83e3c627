"""The values beside an adapter's tensors, wherever its container keeps them."""

from __future__ import annotations

from collections.abc import Mapping

from sfumato.containers.model_file import Leaf
from sfumato.containers.strict_json import JsonError, parse_json

EXTRA = "sfumato.extra."
"""beginning of the metadata keys under which Sfumato's conversions keep a pickle's values"""

MOST = 200
"""values taken from the metadata"""

LONGEST = 10_000
"""characters of one value"""


def beside(metadata: Mapping[str, str], extras: Mapping[str, Leaf]) -> Mapping[str, Leaf]:
    """A pickle's own values, and those that a file made from a pickle carries as text."""
    keys = [key for key in metadata if key.startswith(EXTRA)][:MOST]
    if not keys:
        return extras
    kept = {key.removeprefix(EXTRA): _value(metadata[key]) for key in keys}
    return {**kept, **extras}


def _value(text: str) -> Leaf:
    """The value that a JSON text stands for; the text itself where it stands for no single one."""
    if len(text) > LONGEST:
        return None
    try:
        value = parse_json(text.encode("utf-8", "surrogatepass"))
    except JsonError:
        return text
    return text if isinstance(value, list | dict) else value
