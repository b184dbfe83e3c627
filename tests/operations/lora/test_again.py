"""LoRA files made again from their recipes, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lora_toys import write_lora
from paintable import write
from sfumato.operations.lora.extract import extract
from sfumato.operations.lora.merging import merge
from sfumato.operations.lora.resize import resize
from sfumato.operations.lora.translate import translate
from sfumato.operations.plan import Report
from sfumato.operations.rerun import rerun

Model = Callable[[str], Path]


def _extract(own: Path, base: Path, made: Path) -> Report:
    return extract(write(own.with_name("tuned.safetensors"), seed=1), base, made, rank="energy:0.3")


def _merge(own: Path, base: Path, made: Path) -> Report:
    return merge([(own, 1 / 3), (own, 0.1, 0.7)], made, model=base)


MAKE: dict[str, Callable[[Path, Path, Path], Report]] = {
    "extract": _extract,
    "resize": lambda own, base, made: resize(own, made, rank=3, conv_rank=1, model=base, seed=5),
    "merge": _merge,
    "translate": lambda own, base, made: translate(own, made, spelling="peft", model=base),
}


@pytest.mark.parametrize("name", MAKE)
def test_a_recipe_makes_the_same_bytes_again(model: Model, tmp_path: Path, name: str) -> None:
    base, made = model("sd1"), tmp_path / "made.safetensors"
    MAKE[name](write_lora(tmp_path / "own.safetensors", base), base, made)
    assert rerun(made, tmp_path / "again.safetensors", models=[base.parent]).same
