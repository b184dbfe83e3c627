"""The blocks of a model by their names, and weights that differ from block to block."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from sfumato.containers.text import escape
from sfumato.errors import UsageError
from sfumato.operations.merging.presets import PRESETS, preset

BASE, MIDDLE, VAE = "BASE", "M00", "VAE"

Weighting = float | str | Sequence[float] | Mapping[str, float]
"""one weight for all, one for each block in order, some by name or pattern, or a preset's name"""

UNET = re.compile(
    r"^(?:model\.)?(?:diffusion_model\.)?"
    r"(?:(?P<part>input_blocks|output_blocks)\.(?P<number>\d+)\.|(?P<middle>middle_block)\."
    r"|(?P<first>time_embed|label_emb)\.|(?P<last>out)\.)"
)
"""where a tensor of a UNet in the original spelling stands"""

FIRST_STAGE = "first_stage_model."


@dataclass(frozen=True, slots=True)
class Blocks:
    """How many blocks a UNet has on the way down and up."""

    down: int
    up: int

    @property
    def unet(self) -> tuple[str, ...]:
        """IN00 … M00 … OUT00 …, in order."""
        down = (f"IN{number:02}" for number in range(self.down))
        return (*down, MIDDLE, *(f"OUT{number:02}" for number in range(self.up)))

    @property
    def names(self) -> tuple[str, ...]:
        """Every block: BASE for text encoders and what else there is, the UNet's, the VAE."""
        return (BASE, *self.unet, VAE)

    def of(self, name: str) -> str:
        """The block that a tensor belongs to: exactly one of `names`.

        The time and label embeddings belong to the first block and the output layers to the last,
        as in supermerger.
        """
        if name.startswith(FIRST_STAGE):
            return VAE
        found = UNET.match(name)
        if found is None or not self.down:
            return BASE
        if found["part"]:
            word = "IN" if found["part"] == "input_blocks" else "OUT"
            return f"{word}{int(found['number']):02}"
        if found["middle"]:
            return MIDDLE
        return self.unet[0] if found["first"] else self.unet[-1]


def blocks_of(names: Iterable[str]) -> Blocks:
    """The blocks of the UNet among `names`; none where there is no UNet."""
    counts = {"input_blocks": 0, "output_blocks": 0}
    for name in names:
        found = UNET.match(name)
        if found is not None and found["part"]:
            counts[found["part"]] = max(counts[found["part"]], int(found["number"]) + 1)
    return Blocks(counts["input_blocks"], counts["output_blocks"])


Weigh = Callable[[str], float]
"""name of a tensor → its weight"""


def weighing(value: Weighting, blocks: Blocks, *, default: float) -> Weigh:
    """What each tensor weighs.

    value: a number; a list with one for each block; a mapping from block names (`IN04`), ranges
        (`IN00-IN05`), groups (`IN`, `OUT`) or regular expressions on tensor names to numbers, of
        which the last that fits wins; or the name of a preset (`grad-v`, `grad-v:0.2..0.8`), which
        leaves all but the UNet alone.
    default: for what a mapping does not name.

    Raises UsageError for a list of a wrong length and for names of no block.
    """
    if isinstance(value, str):
        value = parsed(value)
    if isinstance(value, str):
        shape = preset(value, _unet(blocks))
        return lambda name: shape.get(blocks.of(name), 0.0)
    if isinstance(value, Mapping):
        return _by_name(value, blocks, default)
    if isinstance(value, Sequence):
        table = _listed(list(value), blocks)
        return lambda name: table[blocks.of(name)]
    return lambda _: float(value)


def parsed(text: str) -> Weighting:
    """What a text such as `0.5`, `0,0.1,…`, `IN=0.2,OUT00-OUT03=1` says; a preset stays text."""
    items = [item.strip() for item in text.split(",")]
    if all("=" in item for item in items):
        pairs = (item.rpartition("=") for item in items)
        return {key.strip(): _number(value, text) for key, _, value in pairs}
    if len(items) == 1 and items[0].partition(":")[0].strip().lower() in _names():
        return text
    numbers = [_number(item, text) for item in items]
    return numbers[0] if len(numbers) == 1 else numbers


def _names() -> list[str]:
    return [known.name for known in PRESETS]


def _number(text: str, whole: str) -> float:
    try:
        found = float(text)
    except ValueError:
        near = get_close_matches(whole.strip().lower(), _names(), 1, 0.4)
        hint = f"; the nearest preset is {near[0]}" if near else ""
        raise UsageError(f"{escape(text)}: is no weight{hint}") from None
    if found - found != 0:
        raise UsageError(f"{escape(text)}: is no weight, which are finite numbers")
    return found


def _unet(blocks: Blocks) -> tuple[str, ...]:
    """The UNet's blocks; raises UsageError where there is no UNet."""
    if not blocks.down:
        raise UsageError("weights by block need a UNet in the original spelling, and there is none")
    return blocks.unet


LONG = 12
"""blocks each way in SD1 and SD2, whose lists are cut for smaller UNets"""


def _listed(values: Sequence[float], blocks: Blocks) -> dict[str, float]:
    """One weight for each block, from a list in one of the lengths that are in use.

    The UNet's blocks alone (BASE and VAE are 0, as in merge-block-weighted), with BASE before them
    (and for the VAE), with the VAE behind them. A list for SD1's 25 blocks does for SDXL as in
    supermerger: the first nine each way, and 0 for the VAE.
    """
    unet, count = _unet(blocks), len(values)
    if count == len(unet):
        return {BASE: 0.0, **dict(zip(unet, values, strict=True)), VAE: 0.0}
    if count == len(unet) + 1:
        return {**dict(zip((BASE, *unet), values, strict=True)), VAE: values[0]}
    if count == len(unet) + 2:
        return dict(zip(blocks.names, values, strict=True))
    if count in (2 * LONG + 1, 2 * LONG + 2) and blocks.down <= LONG and blocks.up <= LONG:
        base, rest = (values[0], values[1:]) if count % 2 == 0 else (0.0, values)
        cut = (*rest[: blocks.down], rest[LONG], *rest[LONG + 1 : LONG + 1 + blocks.up])
        return {BASE: base, **dict(zip(unet, cut, strict=True)), VAE: 0.0}
    raise UsageError(
        f"{count} weights for {len(unet)} blocks of the UNet: give {len(unet)}, "
        f"{len(unet) + 1} with {BASE} first, or {len(unet) + 2} with {VAE} last"
    )


SPAN = re.compile(r"^(IN|OUT)(\d\d?)(?:-(?:\1)?(\d\d?))?$", re.IGNORECASE)
GROUPS = ("IN", "OUT")


def _by_name(values: Mapping[str, float], blocks: Blocks, default: float) -> Weigh:
    rules = [(_rule(key, blocks), float(value)) for key, value in values.items()]

    def weigh(name: str) -> float:
        found = default
        for fits, value in rules:
            if fits(name):
                found = value
        return found

    return weigh


def _rule(key: str, blocks: Blocks) -> Callable[[str], bool]:
    """Whether a tensor is one that `key` names."""
    upper = key.upper()
    if upper in ("*", "DEFAULT"):
        return lambda _: True
    span = SPAN.match(key)
    if upper in blocks.names or (upper in GROUPS and blocks.down) or span is not None:
        wanted = frozenset(_spanned(upper, span, blocks))
        if not wanted:
            raise UsageError(f"{key}: is no block of this UNet, which has {_shown(blocks)}")
        return lambda name: blocks.of(name) in wanted
    try:
        pattern = re.compile(key.removeprefix("re:"))
    except re.error as error:
        raise UsageError(f"{escape(key)}: is no block and no regular expression: {error}") from None
    return lambda name: pattern.search(name) is not None


def _spanned(key: str, span: re.Match[str] | None, blocks: Blocks) -> Iterable[str]:
    if span is None:
        return [name for name in blocks.names if name == key or name.rstrip("0123456789") == key]
    first, last = int(span[2]), int(span[3] or span[2])
    wanted = {f"{span[1].upper()}{number:02}" for number in range(first, last + 1)}
    return wanted if wanted <= set(blocks.unet) else ()


def _shown(blocks: Blocks) -> str:
    return f"IN00-IN{blocks.down - 1:02}, {MIDDLE}, OUT00-OUT{blocks.up - 1:02}, {BASE} and {VAE}"
