"""Repairs mend what they are asked to, never a weight, and say what they did."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sfumato.containers.arrays import tensor_from
from sfumato.containers.dtype import F16, I64
from sfumato.containers.open import open_model
from sfumato.containers.save import save
from sfumato.containers.tensor import Tensor
from sfumato.errors import Refused, UsageError
from sfumato.operations.repair import FIXES, STRAY, faults, repair
from small_models import IDS, TEXT, sd1
from toys import contents

EVERY = [fix.name for fix in FIXES]


def saved(folder: Path, model: dict[str, Tensor]) -> Path:
    save(folder / "a.safetensors", model, force=True)
    return folder / "a.safetensors"


def names(path: Path) -> list[str]:
    return [fix.name for fix in faults(path)]


def wrapped(model: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in model.items()}


@pytest.mark.parametrize("prefix", ["module.", "state_dict.", "model.", "module.state_dict.model."])
def test_stray_prefixes_are_stripped_however_deep(tmp_path: Path, prefix: str) -> None:
    source = saved(tmp_path, wrapped(sd1(F16), prefix))
    assert names(source) == ["prefixes"]
    repair(source, tmp_path / "b.safetensors", fixes=["prefixes"])
    with open_model(tmp_path / "b.safetensors") as mended:
        assert contents(mended) == contents(sd1(F16))


def test_old_text_encoder_names_get_their_middle_part(tmp_path: Path) -> None:
    old = {n.replace(f"{TEXT}text_model.", TEXT): tensor for n, tensor in sd1(F16).items()}
    source = saved(tmp_path, old)
    assert names(source) == ["text-model"]
    repair(source, tmp_path / "b.ckpt", fixes=["text-model"])
    with open_model(tmp_path / "b.ckpt") as mended:
        assert contents(mended) == contents(sd1(F16))


def test_broken_position_ids_become_the_integers_they_should_be(tmp_path: Path) -> None:
    crooked = tensor_from((np.arange(77) - 0.0025).astype("<f4")[None])
    source = saved(tmp_path, {**sd1(F16), IDS: crooked})
    report = repair(source, tmp_path / "b.safetensors", fixes=["position-ids"])
    with open_model(tmp_path / "b.safetensors") as mended:
        assert mended[IDS].dtype is I64 and mended[IDS].shape == (1, 77)
        assert np.frombuffer(mended[IDS].read(), "<i8").tolist() == list(range(77))
        assert contents(mended) == contents(sd1(F16))
    assert any("76 were wrong" in sentence for sentence in report.sentences())


def test_missing_position_ids_are_written_for_old_programs(tmp_path: Path) -> None:
    source = saved(tmp_path, {n: t for n, t in sd1(F16).items() if n != IDS})
    repair(source, tmp_path / "b.safetensors", fixes=["position-ids"])
    with open_model(tmp_path / "b.safetensors") as mended:
        assert contents(mended) == contents(sd1(F16))


def test_a_stray_key_is_dropped_and_told_of(tmp_path: Path) -> None:
    source = saved(tmp_path, {**sd1(F16), STRAY: sd1()[IDS]})
    report = repair(source, tmp_path / "b.safetensors", fixes=["stray-keys"])
    assert [item.name for item in report.plan.dropped] == [STRAY]
    with open_model(tmp_path / "b.safetensors") as mended:
        assert contents(mended) == contents(sd1(F16))


def test_only_what_is_asked_for_is_mended(tmp_path: Path) -> None:
    crooked = tensor_from((np.arange(77) - 0.0025).astype("<f4")[None])
    model = wrapped({**sd1(F16), IDS: crooked}, "module.")
    repair(saved(tmp_path, model), tmp_path / "b.safetensors", fixes=["prefixes"])
    with open_model(tmp_path / "b.safetensors") as mended:
        assert mended[IDS].dtype.name == "F32"


def test_a_sound_file_has_nothing_to_mend(tmp_path: Path) -> None:
    source = saved(tmp_path, sd1(F16))
    assert not names(source)
    with pytest.raises(Refused, match="nothing to mend"):
        repair(source, tmp_path / "b.safetensors", fixes=EVERY)
    assert not (tmp_path / "b.safetensors").exists()


def test_mending_twice_is_mending_once(tmp_path: Path) -> None:
    source = saved(tmp_path, wrapped(sd1(F16), "module."))
    repair(source, tmp_path / "b.safetensors", fixes=EVERY)
    assert not names(tmp_path / "b.safetensors")


def test_an_unknown_fix_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nearest: position-ids"):
        repair(saved(tmp_path, sd1()), tmp_path / "b.ckpt", fixes=["positions-id"])
    with pytest.raises(UsageError, match="say what"):
        repair(saved(tmp_path, sd1()), tmp_path / "b.ckpt", fixes=[])
