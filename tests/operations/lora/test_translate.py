"""Translation: other names and other kinds, the same changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lora_toys import ONLY, apart, deltas, write_lora
from sfumato.catalogue.identify import identify
from sfumato.containers.dtype import BF16, F16, F32, DType
from sfumato.containers.open import open_model
from sfumato.errors import Refused, Unverified, UsageError
from sfumato.operations.lora.proof import Proof, check
from sfumato.operations.lora.spellings import STYLES, style_like, style_named
from sfumato.operations.lora.translate import translate
from toys import contents

Model = Callable[[str], Path]

SPELLINGS = [style.name for style in STYLES]
EVERYWHERE = ("loha", "lokr", "ia3", "glora", "oft", "boft", "dora", "full", "set", "norm", "cp")


def bytes_of(path: Path) -> object:
    with open_model(path) as file:
        return contents(file.tensors)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("kind", ["sd1", "sd2", "sdxl"])
def test_there_and_back_is_where_it_was(
    model: Model, tmp_path: Path, kind: str, spelling: str
) -> None:
    if (kind, spelling) == ("sdxl", "lycoris"):
        pytest.skip("LyCORIS' names have no place for a second text encoder")
    base = model(kind)
    own = write_lora(tmp_path / "own.safetensors", base)
    there, back = tmp_path / "there.safetensors", tmp_path / "back.safetensors"
    translate(own, there, spelling=spelling, model=base)
    translate(there, back, spelling="kohya", model=base)
    assert apart(deltas(own, base), deltas(there, base)) < 1e-6
    assert apart(deltas(own, base), deltas(back, base)) < 1e-6
    if spelling not in ("peft", "diffusers-0.2"):  # which multiply the scale in
        assert bytes_of(own) == bytes_of(back)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_catalogue_knows_a_translation_for_what_it_is(
    model: Model, tmp_path: Path, spelling: str
) -> None:
    own = write_lora(tmp_path / "own.safetensors", model("sd1"))
    translate(own, tmp_path / "there.safetensors", spelling=spelling, model=model("sd1"))
    with open_model(tmp_path / "there.safetensors") as file:
        found = identify(file).adapter
    assert found is not None and style_like(found.spelling) in (style_named(spelling), STYLES[0])


@pytest.mark.parametrize("spelling", ["onetrainer", "lycoris", "comfyui"])
@pytest.mark.parametrize("kind", EVERYWHERE)
def test_every_kind_keeps_its_bytes_in_other_names(
    model: Model, tmp_path: Path, kind: str, spelling: str
) -> None:
    only = ("norm",) if kind == "norm" else ONLY
    own = write_lora(tmp_path / "own.safetensors", model("sd1"), kind, only=only)
    there, back = tmp_path / "there.safetensors", tmp_path / "back.safetensors"
    translate(own, there, spelling=spelling, model=model("sd1"))
    translate(there, back, spelling="kohya", model=model("sd1"))
    assert apart(deltas(own, model("sd1")), deltas(there, model("sd1"))) < 1e-6
    assert {k: v[2] for k, v in bytes_of(back).items()}.items() >= {  # type: ignore[attr-defined]
        k: v[2] for k, v in bytes_of(own).items()
    }.items()  # type: ignore[attr-defined]


def test_dora_of_rows_goes_to_diffusers_and_back(model: Model, tmp_path: Path) -> None:
    base = model("sd1")
    own = write_lora(tmp_path / "own.safetensors", base, "dora")
    there, back = tmp_path / "there.safetensors", tmp_path / "back.safetensors"
    translate(own, there, spelling="diffusers", model=base)
    translate(there, back, model=base)
    assert apart(deltas(own, base), deltas(there, base)) < 1e-5
    assert apart(deltas(own, base), deltas(back, base)) < 1e-5


@pytest.mark.parametrize("kind", ["loha", "lokr", "full", "cp"])
def test_other_kinds_become_plain_lora(model: Model, tmp_path: Path, kind: str) -> None:
    base = model("sd1")
    own = write_lora(tmp_path / "own.safetensors", base, kind)
    plain = tmp_path / "plain.safetensors"
    report = translate(own, plain, spelling="peft", rank=4096, model=base)
    assert apart(deltas(own, base), deltas(plain, base)) < 1e-4
    assert any("hold 100.00% of the change" in line for line in report.plan.changes)
    with open_model(plain) as file:
        assert all(".lora_A." in key or ".lora_B." in key for key in file)


@pytest.mark.parametrize("kind", ["ia3", "glora", "oft", "dora", "set"])
def test_with_its_model_every_kind_becomes_plain_lora(
    model: Model, tmp_path: Path, kind: str
) -> None:
    base = model("sd1")
    own = write_lora(tmp_path / "own.safetensors", base, kind)
    translate(own, tmp_path / "plain.safetensors", rank=4096, model=base)
    assert apart(deltas(own, base), deltas(tmp_path / "plain.safetensors", base)) < 1e-4


def test_what_a_spelling_cannot_say_is_refused(model: Model, tmp_path: Path) -> None:
    own = write_lora(tmp_path / "own.safetensors", model("sd1"), "loha")
    with pytest.raises(Refused, match=r"of LoHa.*have no words for them; a rank makes plain LoRA"):
        translate(own, tmp_path / "there.safetensors", spelling="peft", model=model("sd1"))
    assert not (tmp_path / "there.safetensors").exists()


def test_a_spelling_that_there_is_not_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nearest: kohya"):
        translate(tmp_path / "a", tmp_path / "b.safetensors", spelling="khoya")


@pytest.mark.parametrize("dtype", [F16, BF16])
def test_a_scale_is_multiplied_in_within_the_rounding_of_the_type(
    model: Model, tmp_path: Path, dtype: DType
) -> None:
    base = model("sd1")
    own = write_lora(tmp_path / "own.safetensors", base, dtype=dtype)
    translate(own, tmp_path / "there.safetensors", spelling="peft", model=base)
    bound = 2.0**-9 if dtype == F16 else 2.0**-6
    assert apart(deltas(own, base), deltas(tmp_path / "there.safetensors", base)) < bound


def test_a_change_that_comes_out_otherwise_is_not_written() -> None:
    with pytest.raises(Unverified, match=r"unet.x: its change differs by 30.00% after translation"):
        check(Proof(1, 0.3, "unet.x", 0.3), [F32])


def test_a_model_is_no_lora(model: Model, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="is no LoRA but: SD 1"):
        translate(model("sd1"), tmp_path / "there.safetensors")
