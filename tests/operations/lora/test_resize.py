"""Resizing: the best change of its rank, at the strength it had."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from lora_toys import ONLY, apart, deltas, write_lora
from sfumato.containers.arrays import array, tensor_from
from sfumato.containers.open import open_model
from sfumato.containers.save import save
from sfumato.errors import OutputExists, Refused, UsageError
from sfumato.operations.lora.resize import resize

Model = Callable[[str], Path]


def halved(deltas: dict[str, torch.Tensor], rank: int) -> dict[str, torch.Tensor]:
    """The best changes of a rank, by full decompositions (Eckart and Young)."""
    found: dict[str, torch.Tensor] = {}
    for key, delta in deltas.items():
        left, values, right = torch.linalg.svd(delta.flatten(1), full_matrices=False)
        found[key] = ((left[:, :rank] * values[:rank]) @ right[:rank]).reshape(delta.shape)
    return found


@pytest.mark.parametrize("kind", ["lora", "cp", "loha", "full"])
def test_a_rank_keeps_the_best_of_every_change(model: Model, tmp_path: Path, kind: str) -> None:
    base = model("sd1")
    own = write_lora(tmp_path / "own.safetensors", base, kind)
    resize(own, tmp_path / "less.safetensors", rank=2, model=base, exact=True)
    best = halved(deltas(own, base), 2)
    assert apart(best, deltas(tmp_path / "less.safetensors", base)) < 1e-4


def test_alpha_keeps_its_meaning(model: Model, tmp_path: Path) -> None:
    own = write_lora(tmp_path / "own.safetensors", model("sd1"))
    resize(own, tmp_path / "same.safetensors", rank=4, model=model("sd1"))
    assert (
        apart(deltas(own, model("sd1")), deltas(tmp_path / "same.safetensors", model("sd1"))) < 1e-5
    )
    with open_model(tmp_path / "same.safetensors") as file:
        alphas = {float(array(file[key])) for key in file if key.endswith(".alpha")}
        assert alphas == {4.0} and file.metadata["ss_network_alpha"] == "4"


def test_a_spelling_stays_unless_another_is_asked_for(model: Model, tmp_path: Path) -> None:
    own = write_lora(tmp_path / "own.safetensors", model("sd1"), style="comfyui")
    resize(own, tmp_path / "less.safetensors", rank=2, model=model("sd1"))
    resize(own, tmp_path / "peft.safetensors", rank=2, model=model("sd1"), spelling="peft")
    with open_model(tmp_path / "less.safetensors") as one, open_model(own) as two:
        assert set(one) == set(two)
    with open_model(tmp_path / "peft.safetensors") as file:
        assert all(".lora_" in key for key in file)


def test_convolutions_may_have_ranks_of_their_own(model: Model, tmp_path: Path) -> None:
    own = write_lora(tmp_path / "own.safetensors", model("sd1"))
    less = tmp_path / "less.safetensors"
    resize(own, less, rank=3, conv_rank=1, model=model("sd1"))
    with open_model(less) as file:
        downs = {key: file[key].shape for key in file if "lora_down" in key}
    assert {shape[0] for key, shape in downs.items() if "resnets" in key} == {1}
    assert {shape[0] for key, shape in downs.items() if "resnets" not in key} == {3}


def test_energy_decides_layer_by_layer(model: Model, tmp_path: Path) -> None:
    base = model("sd1")
    own, less = write_lora(tmp_path / "own.safetensors", base), tmp_path / "less.safetensors"
    resize(own, less, rank="energy:0.8", model=base)
    one, two = deltas(own, base), deltas(less, base)
    for key, delta in one.items():
        left = float((delta - two[key]).norm() / delta.norm()) ** 2
        assert left <= 0.2 + 1e-5


def test_a_size_is_kept(model: Model, tmp_path: Path) -> None:
    base = model("sd1")
    own, less = write_lora(tmp_path / "own.safetensors", base), tmp_path / "less.safetensors"
    resize(own, less, rank="size:20kB", model=base)
    with open_model(less) as file:
        assert 15_000 < sum(t.nbytes for key, t in file.items() if "alpha" not in key) <= 20_000


@pytest.mark.parametrize("kind", ["norm", "dora", "ia3"])
def test_what_cannot_be_cut_stays_as_it_is(model: Model, tmp_path: Path, kind: str) -> None:
    only = ("norm",) if kind == "norm" else ONLY
    own = write_lora(tmp_path / "own.safetensors", model("sd1"), kind, only=only)
    resize(own, tmp_path / "less.safetensors", rank=1, model=model("sd1"))
    assert (
        apart(deltas(own, model("sd1")), deltas(tmp_path / "less.safetensors", model("sd1"))) == 0
    )


def test_settings_of_peft_that_are_true_no_more_are_left_out(model: Model, tmp_path: Path) -> None:
    base, folder = model("sd1"), tmp_path / "peft"
    folder.mkdir()
    own = write_lora(tmp_path / "own.safetensors", base, style="kohya", only=("to_q",))
    with open_model(own) as file:
        arrays = {
            "base_model.model." + key.replace("lora_unet_", "").replace(".lora_down.", ".lora_A.")
            .replace(".lora_up.", ".lora_B."): array(file[key])
            for key in file if "alpha" not in key
        }  # fmt: skip
    save(folder / "adapter_model.safetensors", {k: tensor_from(v) for k, v in arrays.items()})
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 4, "lora_alpha": 2}')
    less = tmp_path / "less.safetensors"
    resize(folder, less, rank=4, model=base)
    assert apart(deltas(own, base), deltas(less, base)) < 1e-5  # alpha 2 of rank 4 in both
    with open_model(less) as file:
        assert "adapter_config.json" not in file.metadata


def test_an_output_that_is_there_is_kept_before_any_work(model: Model, tmp_path: Path) -> None:
    own = write_lora(tmp_path / "own.safetensors", model("sd1"))
    with pytest.raises(OutputExists):
        resize(own, own, rank=2, model=model("sd1"))


def test_a_lora_of_no_published_size_wants_its_model(model: Model, tmp_path: Path) -> None:
    own = write_lora(tmp_path / "own.safetensors", model("sd1"))
    with pytest.raises(Refused, match=r"no published size.*--model"):
        resize(own, tmp_path / "less.safetensors", rank=2)


def test_words_that_make_no_sense_together_are_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a size is for the whole file"):
        resize("a", tmp_path / "b.safetensors", rank="size:1MB", conv_rank=2)
    with pytest.raises(UsageError, match=r"is written as \.safetensors or \.pt"):
        resize("a", tmp_path / "b.gguf", rank=2)


def test_the_same_input_gives_the_same_bytes(model: Model, tmp_path: Path) -> None:
    own = write_lora(tmp_path / "own.safetensors", model("sd1"), "full")
    for name in ("one", "two"):
        resize(own, tmp_path / f"{name}.safetensors", rank=2, model=model("sd1"))
    one, two = ((tmp_path / f"{n}.safetensors").read_bytes() for n in ("one", "two"))
    assert one == two and np.frombuffer(one, np.uint8).any()


def test_a_dry_run_tells_and_writes_nothing(model: Model, tmp_path: Path) -> None:
    own = write_lora(tmp_path / "own.safetensors", model("sd1"))
    before = set(tmp_path.iterdir())
    report = resize(own, tmp_path / "less.safetensors", rank=2, model=model("sd1"), dry_run=True)
    assert any("hold" in line for line in report.sentences()) and set(tmp_path.iterdir()) == before
