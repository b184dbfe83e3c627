"""How long a step takes is measured without learning anything."""

from __future__ import annotations

from pathlib import Path

from sfumato.training.settings import Run
from sfumato.training.trial import seconds_a_step
from training_toys import Toy


def test_a_trial_takes_time_and_moves_no_weight(tmp_path: Path) -> None:
    run = Run("lora", str(tmp_path / "toy.safetensors"), batch=2, accumulate=3)
    toy = Toy(run)
    before = {name: w.detach().clone() for g in toy.groups() for name, w in g.parameters.items()}
    assert seconds_a_step(run, toy) > 0
    after = {name: w for group in toy.groups() for name, w in group.parameters.items()}
    assert all(bool((after[name] == weight).all()) for name, weight in before.items())
