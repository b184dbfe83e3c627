"""A hypernetwork of AUTOMATIC1111 or NovelAI: how it is recognised."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sfumato.catalogue.adapters.training import training_notes
from sfumato.catalogue.tally import tally, with_rest
from sfumato.catalogue.verdict import Adapter, Verdict
from sfumato.containers.model_file import Leaf
from sfumato.containers.tensor import Tensors

_KEY = re.compile(r"(\d{1,5})[._]([01])\.(linear(?:\.\d{1,3}|[12]))\.(weight|bias)")

CONTEXTS: Mapping[int, tuple[str, str]] = {
    768: ("sd1", "SD 1.x"),
    1024: ("sd2", "SD 2.x"),
    2048: ("sdxl", "SDXL"),
}
"""width of the text encoding that a hypernetwork changes → family"""


LARGEST = 1 << 30
"""numbers beyond this are no sizes of anything, and may not fit a float"""


@dataclass(frozen=True, slots=True)
class Network:
    """One small network: what is added to the input of to_k or of to_v."""

    width: int
    layers: tuple[tuple[int, int], ...]
    """outputs and inputs of every linear layer, in order"""
    norms: int
    """layer norms"""

    @property
    def multipliers(self) -> tuple[float, ...]:
        """Widths between the layers as multiples of the outer width: 1, 2, 1."""
        if not self.layers:
            return ()
        sizes = [self.layers[0][1], *(outputs for outputs, _ in self.layers)]
        return tuple(min(size, LARGEST) / self.width for size in sizes)

    @property
    def sound(self) -> bool:
        """True where the layers fit each other and both ends have the outer width."""
        ins = [inputs for _, inputs in self.layers]
        outs = [outputs for outputs, _ in self.layers]
        return bool(ins) and [self.width, *outs] == [*ins, self.width]


def recognise_hypernetwork(model: Tensors, extras: Mapping[str, Leaf]) -> Verdict | None:
    """Say what a hypernetwork is; None for a file that is none. Nothing is read."""
    matches = {key: match for key in model if key[:1].isdigit() and (match := _KEY.fullmatch(key))}
    if not matches or 2 * len(matches) < len(model):
        return None
    networks = _networks(model, matches)
    widths = tuple(sorted({network.width for network in networks}))
    family, title = next((CONTEXTS[w] for w in widths if w in CONTEXTS), ("unknown", "Unknown"))
    structure = _structure(networks[0], extras)
    against = tuple(_contradictions(networks, extras))
    left_over = tuple(key for key in model if key not in matches)
    part = tally("hypernetwork", f"{len(networks)} small networks", matches, model)
    return Verdict(
        kind="hypernetwork",
        family=family,
        title=f"{title} hypernetwork: {structure}",
        parts=tuple(with_rest((part,), model)),
        adapter=Adapter(
            flavour="hypernetwork",
            spelling="novelai" if any(m[3] in ("linear1", "linear2") for m in matches.values())
            else "a1111",
            widths=widths,
            structure=structure,
        ),
        confidence="guess" if family == "unknown" else "likely" if against else "certain",
        evidence=(
            f"small networks for widths {', '.join(str(width) for width in widths)}",
            *training_notes(extras),
        ),
        contradictions=against,
        left_over=left_over,
    )  # fmt: skip


def _networks(model: Tensors, matches: Mapping[str, re.Match[str]]) -> list[Network]:
    grouped = dict[tuple[int, str], list[tuple[int, tuple[int, ...]]]]()
    for key, match in matches.items():
        layers = grouped.setdefault((int(match[1]), match[2]), [])
        if match[4] == "weight":
            layers.append((int(match[3].removeprefix("linear").lstrip(".")), model[key].shape))
    found = list[Network]()
    for (width, _), layers in grouped.items():
        shapes = [shape for _, shape in sorted(layers)]
        linear = tuple((shape[0], shape[1]) for shape in shapes if len(shape) == 2)
        found.append(Network(max(width, 1), linear, sum(len(shape) == 1 for shape in shapes)))
    return found


def _structure(network: Network, extras: Mapping[str, Leaf]) -> str:
    """The layers in words: "1, 2, 1, relu, layer norm"."""
    words = [f"{multiplier:g}" for multiplier in network.multipliers]
    activation = extras.get("activation_func")
    if isinstance(activation, str) and activation.lower() not in ("", "linear", "none"):
        words.append(activation.lower()[:40])
        if extras.get("activate_output", True):  # A1111's default when it loads
            words.append("activated output")
    if network.norms:
        words.append("layer norm")
    dropout = listed(extras, "dropout_structure")
    if extras.get("use_dropout") or any(rate for rate in dropout):
        words.append("dropout")
    return ", ".join(words)


def listed(extras: Mapping[str, Leaf], name: str) -> tuple[float, ...]:
    """A list of numbers that was flattened to `name.0`, `name.1` …"""
    found = list[float]()
    while isinstance(value := extras.get(f"{name}.{len(found)}"), int | float):
        if not -LARGEST < value < LARGEST:
            break
        found.append(value)
    return tuple(found)


def _contradictions(networks: Sequence[Network], extras: Mapping[str, Leaf]) -> Iterator[str]:
    first = networks[0].multipliers
    said = listed(extras, "layer_structure")
    if said and said != first:
        shown = ", ".join(f"{number:g}" for number in said)
        found = ", ".join(f"{number:g}" for number in first)
        yield f"layer_structure says {shown}, but the shapes are {found}"
    if extras.get("is_layer_norm") and not networks[0].norms:
        yield "is_layer_norm is set, but there are no layer norms"
    odd = [network.width for network in networks if network.multipliers != first]
    if odd:
        yield f"the networks of width {odd[0]} have another structure than the first"
    unsound = [network.width for network in networks if not network.sound]
    if unsound:
        yield f"the layers of width {unsound[0]} do not fit each other"
    single = [w for w in {n.width for n in networks} if sum(n.width == w for n in networks) != 2]
    if single:
        yield f"width {min(single)} has one network where there should be a key and a value network"
