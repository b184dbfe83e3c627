"""Hypernetworks: every layout against a plain reference, chained, attached and gone again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from sfumato.engine.adapters.hypernetwork_file import ACTIVATIONS
from sfumato.engine.adapters.hypernetworks import (
    FUNCTIONS,
    Hypernetwork,
    attach,
    network,
    read_hypernetwork,
)
from sfumato.engine.loading.load import load
from sfumato.engine.model import Model
from sfumato.engine.networks.attention import CrossAttention
from sfumato.errors import Damaged, Unsupported
from sfumato.operations.convert import convert

CPU, FP32 = torch.device("cpu"), torch.float32
Small = Callable[[str], Path]

MODULES: dict[str, Callable[[], nn.Module]] = {
    "linear": nn.Identity, "relu": nn.ReLU, "leakyrelu": nn.LeakyReLU, "elu": nn.ELU,
    "swish": nn.Hardswish, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "softsign": nn.Softsign,
    "mish": nn.Mish, "celu": nn.CELU, "gelu": nn.GELU, "hardshrink": nn.Hardshrink,
    "hardsigmoid": nn.Hardsigmoid, "hardswish": nn.Hardswish, "hardtanh": nn.Hardtanh,
    "logsigmoid": nn.LogSigmoid, "relu6": nn.ReLU6, "rrelu": nn.RReLU, "selu": nn.SELU,
    "silu": nn.SiLU, "softplus": nn.Softplus, "softshrink": nn.Softshrink,
    "tanhshrink": nn.Tanhshrink,
}  # fmt: skip


class Half(nn.Module):
    """One of the two networks of a width, as AUTOMATIC1111 builds it."""

    def __init__(
        self,
        width: int,
        *,
        structure: Sequence[float] = (1, 2, 1),
        activation: str | None = None,
        norm: bool = False,
        dropout: Sequence[float] = (),
        activate_output: bool = True,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number, (before, after) in enumerate(pairwise(structure)):
            layers.append(nn.Linear(int(width * before), int(width * after)))
            last = number == len(structure) - 2
            if activation not in (None, "linear") and (activate_output or not last):
                layers.append(MODULES[activation or ""]())
            if norm:
                layers.append(nn.LayerNorm(int(width * after)))
            if dropout and dropout[number + 1]:
                layers.append(nn.Dropout(dropout[number + 1]))
        self.linear = nn.Sequential(*layers)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.3)
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


Halves = dict[int, tuple[Half, Half]]


def halves(*widths: int, **options: object) -> Halves:
    torch.manual_seed(sum(widths))
    return {w: (Half(w, **options), Half(w, **options)) for w in widths}  # pyright: ignore


def saved(path: Path, made: Halves, **said: object) -> Path:
    value: dict[object, object] = {
        width: (keys.state_dict(), values.state_dict()) for width, (keys, values) in made.items()
    }
    torch.save({**value, **said}, path)
    return path


def applied(found: Hypernetwork, width: int, half: int, x: Tensor) -> Tensor:
    function = FUNCTIONS[found.activation]
    return network(found.branches[width][half], function, device=CPU, dtype=FP32)(x)


def same(found: Hypernetwork, made: Halves) -> bool:
    x = {width: torch.randn(2, 5, width) for width in made}
    return all(
        torch.allclose(
            applied(found, width, half, x[width]), made[width][half](x[width]), atol=1e-6
        )
        for width in made
        for half in (0, 1)
    )


def test_every_activation_has_its_function() -> None:
    assert set(ACTIVATIONS) == set(FUNCTIONS) == set(MODULES)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_is_torchs(activation: str, tmp_path: Path) -> None:
    made = halves(4, activation=activation)
    said = {"activation_func": activation, "layer_structure": [1, 2, 1]}
    assert same(read_hypernetwork(saved(tmp_path / "h.pt", made, **said)), made)


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("dropout", [(), (0, 0.3, 0.1, 0)])
@pytest.mark.parametrize("output", [False, True])
@pytest.mark.parametrize("activation", [None, "relu"])
def test_every_structure_is_rebuilt(
    norm: bool, dropout: Sequence[float], output: bool, activation: str | None, tmp_path: Path
) -> None:
    structure = (1, 2, 1.5, 1)
    made = halves(
        8, structure=structure, norm=norm, dropout=dropout, activate_output=output,
        activation=activation,
    )  # fmt: skip
    path = saved(
        tmp_path / "h.pt", made, layer_structure=list(structure), activation_func=activation,
        is_layer_norm=norm, use_dropout=bool(dropout), dropout_structure=list(dropout) or None,
        activate_output=output, last_layer_dropout=False, name="h", step=10, sd_checkpoint="x",
    )  # fmt: skip
    assert same(read_hypernetwork(path), made)


def test_the_output_is_activated_where_a_file_does_not_say(tmp_path: Path) -> None:
    made = halves(4, activation="relu")
    found = read_hypernetwork(saved(tmp_path / "h.pt", made, activation_func="relu"))
    assert same(found, made) and found.branches[4][0][-1].activated


@pytest.mark.parametrize("output", [False, True])
def test_layer_norms_tell_whether_the_output_is_activated(output: bool, tmp_path: Path) -> None:
    made = halves(4, activation="relu", norm=True, activate_output=output)
    assert same(read_hypernetwork(saved(tmp_path / "h.pt", made, activation_func="relu")), made)


def test_the_oldest_files_are_read(tmp_path: Path) -> None:
    made = halves(4, 8)
    value = {
        width: tuple(
            {
                k.replace("linear.0", "linear1").replace("linear.1", "linear2"): v
                for k, v in half.state_dict().items()
            }
            for half in pair
        )
        for width, pair in made.items()
    }
    torch.save(value, tmp_path / "old.pt")
    assert same(read_hypernetwork(tmp_path / "old.pt"), made)


def test_a_hypernetwork_survives_conversion_with_its_settings(tmp_path: Path) -> None:
    made = halves(4, activation="elu", activate_output=False)
    path = saved(tmp_path / "h.pt", made, activation_func="elu", activate_output=False)
    convert(path, tmp_path / "h.safetensors")
    found = read_hypernetwork(tmp_path / "h.safetensors")
    assert same(found, made) and found.activation == "elu"


def broken(change: Callable[[dict[object, object]], object]) -> dict[object, object]:
    keys, values = halves(4)[4]
    value: dict[object, object] = {4: (keys.state_dict(), values.state_dict())}
    change(value)
    return value


def _rename(value: dict[object, object]) -> None:
    value[5] = value.pop(4)


def _nan(value: dict[object, object]) -> None:
    value[4][0]["linear.0.weight"][0, 0] = float("nan")  # pyright: ignore


def _one(value: dict[object, object]) -> None:
    value[4] = value[4][:1]  # pyright: ignore


def _no_bias(value: dict[object, object]) -> None:
    del value[4][1]["linear.0.bias"]  # pyright: ignore


def _gap(value: dict[object, object]) -> None:
    value[4][1]["linear.0.weight"] = torch.zeros(6, 4)  # pyright: ignore
    value[4][1]["linear.0.bias"] = torch.zeros(6)  # pyright: ignore


def _strange(value: dict[object, object]) -> None:
    value["activation_func"] = "reluu"


FAULTS: list[tuple[Callable[[dict[object, object]], object], type[Exception], str]] = [
    (_rename, Damaged, "from width 4 to 4, expected 5"),
    (_nan, Damaged, "4.0.linear.0 holds NaN"),
    (_one, Damaged, "one network of width 4"),
    (_no_bias, Damaged, "4.1.linear.0 has only weight"),
    (_gap, Damaged, "gives 6 numbers where the next takes 8"),
    (_strange, Unsupported, "the nearest is relu"),
    (lambda value: value.clear(), Unsupported, "no hypernetwork"),
]


@pytest.mark.parametrize(("change", "error", "reason"), FAULTS)
def test_what_cannot_be_used_is_refused(
    change: Callable[[dict[object, object]], object],
    error: type[Exception],
    reason: str,
    tmp_path: Path,
) -> None:
    torch.save(broken(change), tmp_path / "h.pt")
    with pytest.raises(error, match=reason):
        read_hypernetwork(tmp_path / "h.pt")


@pytest.fixture(scope="module")
def model(small: Small) -> Model:
    return load(small("sd1"), device="cpu")


@pytest.fixture
def two(tmp_path: Path) -> tuple[tuple[Hypernetwork, Halves], tuple[Hypernetwork, Halves]]:
    """A model's UNet has widths 32 and 64, and texts of width 128."""
    first, second = halves(32, 128, 768), halves(128, activation="relu")
    one = read_hypernetwork(saved(tmp_path / "one.pt", first))
    other = read_hypernetwork(saved(tmp_path / "two.pt", second, activation_func="relu"))
    return (one, first), (other, second)


Two = tuple[tuple[Hypernetwork, Halves], tuple[Hypernetwork, Halves]]


def paint(model: Model) -> Tensor:
    torch.manual_seed(1)
    x, text = torch.randn(2, 4, 8, 8), torch.randn(2, 77, 128)
    with torch.no_grad():
        return model.unet(x, torch.tensor([5.0, 900.0]), text)


def projected(layer: CrossAttention, for_keys: Tensor, for_values: Tensor) -> tuple[Tensor, ...]:
    split = layer.heads
    keys, values = layer.to_k(for_keys), layer.to_v(for_values)
    return tuple(t.unflatten(-1, (split, -1)).transpose(1, 2) for t in (keys, values))


def test_keys_and_values_are_changed_one_after_the_other(model: Model, two: Two) -> None:
    (one, first), (other, second) = two
    layers = [m for m in model.unet.modules() if isinstance(m, CrossAttention)]
    layer = next(layer for layer in layers if layer.to_k.in_features == 128)
    context = torch.randn(1, 3, 128)
    keys, values = context, context
    for made, multiplier in ((first, 0.5), (second, -1.5)):
        keys = keys + multiplier * made[128][0](keys)
        values = values + multiplier * made[128][1](values)
    with torch.no_grad(), attach(model, [(one, 0.5), (other, -1.5)]):
        found = layer.project(context)
        expected = projected(layer, keys, values)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(found, expected, strict=True))


def test_self_attention_is_changed_too(model: Model, two: Two) -> None:
    one, _ = two[0]
    with attach(model, [(one, 1.0)]):
        changed = {
            layer.to_k.in_features
            for layer in model.unet.modules()
            if isinstance(layer, CrossAttention) and layer.changes
        }
    assert changed == {32, 128}


def test_the_picture_changes_and_changes_back_exactly(model: Model, two: Two) -> None:
    (one, _), (other, _) = two
    before = paint(model)
    with attach(model, [(one, 1.0)]):
        alone = paint(model)
        with attach(model, [(other, 1.0)]):
            both = paint(model)
        assert torch.equal(paint(model), alone)
    assert not torch.allclose(before, alone) and not torch.allclose(alone, both)
    assert torch.equal(paint(model), before)


def test_an_error_inside_leaves_nothing_behind(model: Model, two: Two) -> None:
    before = paint(model)
    with pytest.raises(ZeroDivisionError), attach(model, [(two[0][0], 1.0)]):
        raise ZeroDivisionError
    assert torch.equal(paint(model), before)


def test_a_multiplier_of_zero_changes_nothing_and_says_so(model: Model, two: Two) -> None:
    before = paint(model)
    with attach(model, [(two[0][0], 0.0)]) as (report,):
        assert torch.equal(paint(model), before)
    assert "multiplier is 0" in report.notes[-1]


def test_cached_keys_and_values_know_of_the_change(model: Model, two: Two) -> None:
    torch.manual_seed(1)
    x, text, t = torch.randn(1, 4, 8, 8), torch.randn(1, 77, 128), torch.tensor([5.0])
    with torch.no_grad(), attach(model, [(two[1][0], 1.0)]):
        straight = model.unet(x, t, text)
        cached = model.unet(x, t, model.unet.project(text))
    assert torch.allclose(straight, cached, atol=1e-6)


def test_the_report_counts_what_acts_and_names_the_widths_that_are_absent(
    model: Model, two: Two
) -> None:
    with attach(model, [(two[0][0], 1.0), (two[1][0], 1.0)]) as (one, other):
        pass
    assert (one.applied, one.total) == (16, 24) and "of width 768" in one.notes[0]
    assert (other.applied, other.total) == (8, 8) and not other.notes
    assert one.sentence() == "16 of 24 tensors of hypernetwork one at 1 apply"
