"""Several LoRAs as one: the sum of their changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lora_toys import apart, deltas, lora_arrays, write_lora
from loras import saved
from sfumato.containers.dtype import F16
from sfumato.containers.open import open_model
from sfumato.errors import Refused, UsageError
from sfumato.operations.adapters.opened import target_of_file
from sfumato.operations.lora.merging import merge

Model = Callable[[str], Path]
Deltas = dict[str, torch.Tensor]

OTHER = ("to_k", "to_q", "layers.0.mlp.fc1", "norm1")


def total(*terms: tuple[Deltas, float, float]) -> Deltas:
    """Weighted changes summed by the definition."""
    found: Deltas = {}
    for own, unet, text in terms:
        for key, delta in own.items():
            weight = unet if "diffusion_model" in key else text
            found[key] = found.get(key, torch.zeros_like(delta)) + weight * delta
    return found


def two(base: Path, folder: Path, *kinds: str) -> tuple[Path, Path]:
    first, second = kinds or ("lora", "lora")
    one = write_lora(folder / "one.safetensors", base, first)
    return one, write_lora(folder / "two.safetensors", base, second, style="comfyui", only=OTHER)


@pytest.mark.parametrize("kind", ["sd1", "sd2", "sdxl"])
def test_ranks_side_by_side_are_the_exact_sum(model: Model, tmp_path: Path, kind: str) -> None:
    base, both = model(kind), tmp_path / "both.safetensors"
    one, other = two(base, tmp_path)
    merge([(one, 0.7), (other, -0.5, 2.0)], both, concat=True, model=base)
    wanted = total((deltas(one, base), 0.7, 0.7), (deltas(other, base), -0.5, 2.0))
    assert apart(wanted, deltas(both, base)) < 2e-6


def test_enough_ranks_are_the_sum_too(model: Model, tmp_path: Path) -> None:
    base, both = model("sd1"), tmp_path / "both.safetensors"
    one, other = two(base, tmp_path)
    merge([(one, 0.7), (other, 0.5)], both, rank=8, model=base)
    wanted = total((deltas(one, base), 0.7, 0.7), (deltas(other, base), 0.5, 0.5))
    assert apart(wanted, deltas(both, base)) < 1e-5
    with open_model(both) as file:  # no layer has more ranks than went in
        assert {file[k].shape[0] for k in file if "lora_down" in k} == {4, 8}


def test_fewer_ranks_are_the_best_of_the_sum(model: Model, tmp_path: Path) -> None:
    base, both = model("sd1"), tmp_path / "both.safetensors"
    one, other = two(base, tmp_path)
    report = merge([one, other], both, model=base)  # the largest rank of the inputs: 4
    wanted = total((deltas(one, base), 1, 1), (deltas(other, base), 1, 1))
    for key, delta in deltas(both, base).items():
        tail = torch.linalg.svdvals(wanted[key].flatten(1))[4:]
        assert float((delta - wanted[key]).norm()) == pytest.approx(float(tail.norm()), abs=1e-4)
    assert any("hold" in line for line in report.plan.changes)


def test_a_merge_with_itself_at_half_is_itself(model: Model, tmp_path: Path) -> None:
    base, both = model("sd1"), tmp_path / "both.safetensors"
    one = write_lora(tmp_path / "one.safetensors", base)
    merge([(one, 0.5), (one, 0.5)], both, model=base)
    assert apart(deltas(one, base), deltas(both, base)) < 1e-5


def test_kinds_may_differ(model: Model, tmp_path: Path) -> None:
    base, both = model("sd1"), tmp_path / "both.safetensors"
    one, other = two(base, tmp_path, "loha", "full")
    merge([(one, 2.0), (other, 0.5)], both, rank=500, model=base)
    wanted = total((deltas(one, base), 2, 2), (deltas(other, base), 0.5, 0.5))
    assert apart(wanted, deltas(both, base)) < 1e-4


def test_norms_and_biases_add_up(model: Model, tmp_path: Path) -> None:
    base, both = model("sd1"), tmp_path / "both.safetensors"
    one = write_lora(tmp_path / "one.safetensors", base, "norm", only=("norm",))
    merge([(one, 0.25), (one, 0.5)], both, model=base)
    assert apart(total((deltas(one, base), 0.75, 0.75)), deltas(both, base)) < 1e-6


def test_there_are_no_cross_terms(model: Model, tmp_path: Path) -> None:
    base = model("sd1")
    one, other = two(base, tmp_path)
    plus, minus = tmp_path / "plus.safetensors", tmp_path / "minus.safetensors"
    merge([one, other], plus, rank=8, model=base)
    merge([plus, (other, -1.0)], minus, rank=4, model=base)
    found, own = deltas(minus, base), deltas(one, base)
    for key, delta in found.items():
        torch.testing.assert_close(delta, own.get(key, torch.zeros_like(delta)), atol=1e-5, rtol=0)


def test_what_bends_weights_does_not_add_up(model: Model, tmp_path: Path) -> None:
    base = model("sd1")
    one, other = two(base, tmp_path, "lora", "dora")
    with pytest.raises(Refused, match="is DoRA, which depends on the weight"):
        merge([one, other], tmp_path / "both.safetensors", model=base)


def test_only_plain_ranks_stand_side_by_side(model: Model, tmp_path: Path) -> None:
    base = model("sd1")
    one, other = two(base, tmp_path, "lora", "loha")
    with pytest.raises(Refused, match="is LoHa, and only the ranks of plain LoRA"):
        merge([one, other], tmp_path / "both.safetensors", concat=True, model=base)


def test_the_widest_type_of_the_inputs_is_kept(model: Model, tmp_path: Path) -> None:
    base, both = model("sd1"), tmp_path / "both.safetensors"
    one = write_lora(tmp_path / "one.safetensors", base, dtype=F16)
    two = write_lora(tmp_path / "two.safetensors", base)
    for sources, wanted in (([one, one], "F16"), ([one, two], "F32")):
        merge(list(sources), both, model=base, force=True)
        with open_model(both) as file:
            assert {t.dtype.name for key, t in file.items() if t.shape} == {wanted}


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_weights_are_finite_numbers(tmp_path: Path, weight: float) -> None:
    with pytest.raises(UsageError, match="finite"):
        merge([("a", weight)], tmp_path / "b.safetensors")
    with pytest.raises(UsageError, match="no LoRA"):
        merge([], tmp_path / "b.safetensors")


def test_nothing_at_weight_zero_is_refused(model: Model, tmp_path: Path) -> None:
    one = write_lora(tmp_path / "one.safetensors", model("sd1"))
    with pytest.raises(Refused, match="nothing is left"):
        merge([(one, 0.0)], tmp_path / "both.safetensors", model=model("sd1"))


def test_trigger_words_of_all_are_kept(model: Model, tmp_path: Path) -> None:
    with open_model(model("sd1")) as file:
        arrays = lora_arrays(target_of_file(file))
    words = {"modelspec.trigger_phrase": "inky"}, {"modelspec.trigger_phrase": "hat"}
    paths = [saved(tmp_path / f"{i}.safetensors", arrays, **said) for i, said in enumerate(words)]
    merge(list(paths), tmp_path / "both.safetensors", model=model("sd1"))
    with open_model(tmp_path / "both.safetensors") as file:
        assert file.metadata["modelspec.trigger_phrase"] == "inky, hat"
        assert file.metadata["modelspec.merged_from"] == "0, 1"
