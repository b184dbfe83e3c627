"""How a file came about is kept through every later operation."""

from __future__ import annotations

from pathlib import Path

import pytest

from sfumato.catalogue.cards.inspect import inspect
from sfumato.containers.dtype import F16, F32
from sfumato.containers.open import open_model
from sfumato.containers.save import save
from sfumato.errors import Damaged
from sfumato.operations.convert import convert
from sfumato.operations.ema import ema
from sfumato.operations.metadata import metadata
from sfumato.operations.prune import prune
from sfumato.operations.recipe import KEY, Recipe, parse
from sfumato.operations.split import join, split
from small_models import sd1
from toys import random_tensors


def recipe_of(path: Path) -> Recipe:
    with open_model(path) as model:
        return parse(model.metadata[KEY])


def test_a_recipe_holds_the_recipe_of_its_input(tmp_path: Path) -> None:
    a, b, c, d = (tmp_path / f"{name}.safetensors" for name in "abcd")
    save(a, sd1(ema=True))
    ema(a, b)
    convert(b, c, dtype="f16")
    metadata(c, d, put={"title": "dusk"})
    last = recipe_of(d)
    assert [last.operation, last.earlier[0].operation] == ["metadata", "convert"]
    assert last.earlier[0].earlier[0].inputs[0].name == "a.safetensors"


def test_a_recipe_survives_a_pickle(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", sd1())
    prune(tmp_path / "a.safetensors", tmp_path / "b.ckpt")
    convert(tmp_path / "b.ckpt", tmp_path / "c.safetensors")
    assert [r.operation for r in recipe_of(tmp_path / "c.safetensors").earlier] == ["prune"]


def test_what_a_stranger_wrote_as_a_recipe_is_passed_over(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", random_tensors({"w": (2,)}), {KEY: '{"inputs": 7}'})
    convert(tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    assert recipe_of(tmp_path / "b.safetensors").earlier == ()
    with pytest.raises(Damaged):
        parse("[" * 100_000)


def test_a_recipe_that_was_to_go_is_gone(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", random_tensors({"w": (2,)}))
    convert(tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    metadata(tmp_path / "b.safetensors", tmp_path / "c.safetensors", remove=[KEY])
    with open_model(tmp_path / "c.safetensors") as model:
        assert KEY not in model.metadata


def test_markers_come_back_from_split_parts(tmp_path: Path) -> None:
    empty = random_tensors({"v_pred": (0,), "ztsnr": (0,)}, F32)
    save(tmp_path / "a.safetensors", {**sd1(F16), **empty})
    split(tmp_path / "a.safetensors", tmp_path / "parts")
    parts = [tmp_path / "parts" / f"{name}.safetensors" for name in ("unet", "vae", "text_encoder")]
    join(parts, tmp_path / "b.safetensors")
    for path in (tmp_path / "a.safetensors", tmp_path / "b.safetensors"):
        identity = inspect(path).identity
        assert identity is not None and identity.prediction is not None
        assert (identity.prediction.type, identity.prediction.zero_terminal_snr) == ("v", True)
