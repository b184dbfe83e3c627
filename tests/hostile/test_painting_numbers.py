"""Adapters without numbers, settings beyond all numbers, devices that compute nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from loras import modules, random, saved, weights
from paintable import write
from sampling_toys import TABLE
from sfumato.containers.arrays import tensor_from
from sfumato.containers.dtype import F32
from sfumato.containers.tensor import Tensor
from sfumato.engine.adapters.patches import Patches, Use
from sfumato.engine.loading.load import load
from sfumato.engine.loading.placement import placement
from sfumato.engine.model import Model
from sfumato.engine.request import Tuning
from sfumato.engine.sampling.levels import sigmas
from sfumato.errors import Damaged, Refused, UsageError
from sfumato.operations.adapters.lora import read_lora
from sfumato.operations.into_torch import read_into


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load(write(tmp_path_factory.mktemp("model") / "sd1.safetensors", "sd1"), device="cpu")


def module(model: Model) -> tuple[str, int, int]:
    """A linear layer in kohya's spelling, with its outputs and inputs."""
    one = next(m for site, m in modules(model) if site.role == "unet" and len(m.shape) == 2)
    return f"lora_unet_{one.diffusers.replace('.', '_')}", one.shape[0], one.shape[1]


EMPTY = {
    "LoRA of rank 0": {"lora_down.weight": (0, -1), "lora_up.weight": (-2, 0)},
    "LoRA of rank 0 with alpha": {
        "lora_down.weight": (0, -1), "lora_up.weight": (-2, 0), "alpha": (),
    },
    "no alpha in alpha": {"lora_down.weight": (2, -1), "lora_up.weight": (-2, 2), "alpha": (0,)},
    "IA3": {"weight": (-2,), "on_input": (0,)},
    "LoKr": {"lokr_w1_a": (4, 0), "lokr_w1_b": (0, 4), "lokr_w2": (8, 8)},
    "DoRA": {"lora_down.weight": (2, -1), "lora_up.weight": (-2, 2), "dora_scale": (0,)},
}  # fmt: skip


@pytest.mark.parametrize("kind", EMPTY)
def test_an_adapter_with_an_empty_tensor_is_refused_with_its_sizes(
    model: Model, tmp_path: Path, kind: str
) -> None:
    name, outputs, inputs = module(model)
    size = {-1: inputs, -2: outputs}
    arrays = {
        f"{name}.{slot}": np.ones([size.get(n, n) for n in shape], np.float32)
        for slot, shape in EMPTY[kind].items()
    }
    with pytest.raises(Refused, match=rf"0 of {len(arrays)} tensors .*rank 0.*\[.*0.*\]"):
        read_lora(saved(tmp_path / "lora.safetensors", arrays), model.target)


def test_an_empty_part_is_left_out_of_a_lora_that_has_others(model: Model, tmp_path: Path) -> None:
    name, outputs, inputs = module(model)
    before = weights(model)
    arrays = {
        f"{name}.lora_down.weight": random("down", (2, inputs)),
        f"{name}.lora_up.weight": random("up", (outputs, 2)),
        f"{name}.diff_b": np.ones(0, np.float32),
    }
    with Patches(model) as patches:
        lora = read_lora(saved(tmp_path / "lora.safetensors", arrays), model.target)
        patches.set([Use(lora)])
        after = weights(model)
    assert lora.applied == 2 and "1 tensor left out" in lora.notes[0]
    assert sum(not torch.equal(before[key], after[key]) for key in before) == 1


def test_factors_that_are_single_numbers_are_told_with_their_sizes(
    model: Model, tmp_path: Path
) -> None:
    name, *_ = module(model)
    one = np.ones((), np.float32)
    arrays = {f"{name}.lora_down.weight": one, f"{name}.lora_up.weight": one}
    with pytest.raises(Refused, match=re.escape("down [], up []")):
        read_lora(saved(tmp_path / "lora.safetensors", arrays), model.target)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 3, 3)])
def test_a_tensor_without_numbers_is_read_into_one_without_numbers(shape: tuple[int, ...]) -> None:
    read_into(torch.empty(shape), tensor_from(np.ones(shape, np.float32)))
    with pytest.raises(Damaged):
        read_into(torch.empty(1), Tensor(F32, (1,), bytes))


EXTREMES = (
    ("Karras", Tuning(rho=1e-300)), ("Karras", Tuning(rho=1e300)), ("Karras", Tuning(rho=1e-3)),
    ("Beta", Tuning(beta_alpha=1e300)), ("Beta", Tuning(beta_beta=1e300)),
    ("Beta", Tuning(beta_alpha=1e300, beta_beta=1e300)),
)  # fmt: skip


@pytest.mark.parametrize(("schedule", "tuning"), EXTREMES, ids=str)
def test_a_schedule_bent_beyond_numbers_is_wrong_usage(schedule: str, tuning: Tuning) -> None:
    with pytest.raises(UsageError, match=f"schedule {schedule} makes no falling|lies between"):
        sigmas(schedule, 5, TABLE, tuning, sampler="Euler")


@pytest.mark.parametrize("device", ["meta", "xla", "hpu", "vulkan", "cpu:3", "cuda:999", "abacus"])
def test_a_device_that_networks_do_not_run_on_is_wrong_usage(device: str) -> None:
    with pytest.raises(UsageError, match="device"):
        placement(device)
    assert placement("cpu").device == torch.device("cpu")


INTERRUPTED = """
import sys
wanted, model = sys.argv[1:]
class Impatient:
    def find_spec(self, name, *_):
        if name == wanted:
            raise KeyboardInterrupt
sys.meta_path.insert(0, Impatient())
from sfumato.__main__ import main
sys.argv[1:] = ["generate", "a fox", "-m", model, "-o", "a.png"]
main()
"""


@pytest.mark.parametrize("module", ["sfumato.app.cli", "click", "difflib", "sfumato.engine.model"])
def test_an_interrupt_while_the_command_is_loaded_is_told_in_one_line(
    tmp_path: Path, module: str
) -> None:
    path = write(tmp_path / "sd1.safetensors", "sd1")
    words = [sys.executable, "-c", INTERRUPTED, module, str(path)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.strip() == "sfumato: interrupted"
    assert list(tmp_path.iterdir()) == [path]
