"""Pruning keeps what paints, drops what was asked for, and says how much."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sfumato.containers.dtype import F16
from sfumato.containers.model_file import Tree
from sfumato.containers.open import open_model
from sfumato.containers.save import save
from sfumato.containers.tensor import Tensor
from sfumato.errors import OutputExists, Refused, UsageError
from sfumato.operations.prune import prune
from small_models import UNET, sd1
from toys import contents, random_tensors


def training_state(path: Path) -> dict[str, Tensor]:
    """A Lightning checkpoint with averages and optimizer state; gives the state dict."""
    state = sd1(ema=True)
    moment = state[f"{UNET}out.2.bias"]
    moments: Tree = {"exp_avg": moment, "step": 4000}
    tree: Tree = {
        "epoch": 1,
        "global_step": 4000,
        "pytorch-lightning_version": "1.4.2",
        "state_dict": {**state},
        "optimizer_states": [{"state": {0: moments}, "param_groups": [{"lr": 1e-4}]}],
        "lr_schedulers": [],
    }
    save(path, {**state, "optimizer_states.0.state.0.exp_avg": moment}, tree=tree)
    return state


def test_what_paints_is_kept_bit_for_bit(tmp_path: Path) -> None:
    state = training_state(tmp_path / "a.ckpt")
    report = prune(tmp_path / "a.ckpt", tmp_path / "b.safetensors")
    with open_model(tmp_path / "b.safetensors") as pruned:
        assert contents(pruned) == contents(state)
    assert [reason for reason, _, _ in report.plan.reasons()] == [
        "optimizer state: only resumes a training run"
    ]


def test_a_pruned_pickle_keeps_its_form_and_loses_its_bookkeeping(tmp_path: Path) -> None:
    training_state(tmp_path / "a.ckpt")
    prune(tmp_path / "a.ckpt", tmp_path / "b.ckpt", drop=("optimizer", "training", "loss", "ema"))
    loaded = torch.load(tmp_path / "b.ckpt", weights_only=True)
    assert loaded["global_step"] == 4000
    assert not {"optimizer_states", "lr_schedulers"} & set(loaded)
    assert not any(name.startswith("model_ema.") for name in loaded["state_dict"])


def test_values_beside_the_tensors_survive_safetensors_and_come_back(tmp_path: Path) -> None:
    training_state(tmp_path / "a.ckpt")
    prune(tmp_path / "a.ckpt", tmp_path / "b.safetensors")
    prune(tmp_path / "b.safetensors", tmp_path / "c.ckpt")
    loaded = torch.load(tmp_path / "c.ckpt", weights_only=True)
    assert (loaded["epoch"], loaded["global_step"]) == (1, 4000)
    assert loaded["pytorch-lightning_version"] == "1.4.2"


def test_a_dry_run_writes_nothing_and_tells_the_same(tmp_path: Path) -> None:
    training_state(tmp_path / "a.ckpt")
    dry = prune(tmp_path / "a.ckpt", tmp_path / "b.safetensors", dry_run=True)
    assert not (tmp_path / "b.safetensors").exists()
    done = prune(tmp_path / "a.ckpt", tmp_path / "b.safetensors")
    assert list(dry.plan.reasons()) == list(done.plan.reasons())


def test_unknown_tensors_go_only_when_asked(tmp_path: Path) -> None:
    model = {**sd1(F16), **random_tensors({"odd.thing": (5,)})}
    save(tmp_path / "a.safetensors", model)
    assert "odd.thing" in prune(tmp_path / "a.safetensors", tmp_path / "b.ckpt").plan.tensors
    asked = prune(tmp_path / "a.safetensors", tmp_path / "c.ckpt", drop=["unknown"])
    assert "odd.thing" not in asked.plan.tensors


def test_nothing_is_called_unknown_in_an_unknown_file(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", random_tensors({"x": (2,), "y": (3,)}))
    with pytest.raises(Refused, match="not recognised"):
        prune(tmp_path / "a.safetensors", tmp_path / "b.safetensors", drop=["unknown"])


def test_an_output_is_not_overwritten_by_accident(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", sd1(F16))
    with pytest.raises(OutputExists):
        prune(tmp_path / "a.safetensors", tmp_path / "a.safetensors")
    prune(tmp_path / "a.safetensors", tmp_path / "a.safetensors", force=True)


def test_a_misspelt_sort_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="optimizer"):
        prune(tmp_path / "a.ckpt", tmp_path / "b.ckpt", drop=["optimiser"])


def test_storage_that_no_tensor_uses_is_not_written(tmp_path: Path) -> None:
    base = torch.randn(1000, 4)
    torch.save({"emb_params": base[:2]}, tmp_path / "a.pt")
    report = prune(tmp_path / "a.pt", tmp_path / "b.safetensors")
    assert report.bytes_in > 16000 > 1000 > report.bytes_out
