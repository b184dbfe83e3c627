"""Advice is computed from what was found, and never contradicts it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sfumato.catalogue.cards.advice import advise
from sfumato.catalogue.cards.card import Card
from sfumato.catalogue.cards.waste import Waste
from sfumato.catalogue.numbers.health import Finding, Health
from sfumato.catalogue.verdict import Adapter, Part, Prediction, TriggerWord, Verdict
from sfumato.containers.model_file import SAFETENSORS, TORCH_ZIP

UNET = Part("unet", "SD1 UNet", "", 1, 10, 40, {"F32": 1}, expected=1)
VAE = replace(UNET, role="vae", title="SD VAE")
TEXT = replace(UNET, role="text_encoder", title="CLIP-L text encoder")
CHECKPOINT = Verdict("checkpoint", "sd1", parts=(UNET, VAE, TEXT))
HALF = Waste("half of every fp32 number", 2_000_000, False, "convert --dtype f16")


def said(verdict: Verdict, **card: object) -> str:
    base = Card(Path("ink.safetensors"), container=SAFETENSORS, identity=verdict)
    return "\n".join(advise(replace(base, **card)))  # pyright: ignore[reportArgumentType]


def test_a_whole_checkpoint_is_for_painting_and_for_fine_tuning() -> None:
    assert "paint with it, or fine-tune from it" in said(CHECKPOINT)


def test_a_checkpoint_with_a_hole_is_not_recommended_for_anything() -> None:
    hole = replace(UNET, missing=("out.2.bias",), expected=686)
    text = said(replace(CHECKPOINT, parts=(hole, VAE, TEXT)))
    assert text.startswith("NOT WHOLE: 1 of 686 tensors of the SD1 UNet")
    assert "paint with it" not in text


def test_missing_parts_are_said_and_present_ones_are_not() -> None:
    text = said(replace(CHECKPOINT, parts=(UNET,)))
    assert "no VAE inside" in text and "no text encoder inside" in text
    assert "inside" not in said(CHECKPOINT)


def test_two_sets_are_told_apart_by_their_use() -> None:
    ema = replace(UNET, role="ema")
    text = said(replace(CHECKPOINT, parts=(UNET, ema, VAE, TEXT)))
    assert "For painting take the averaged" in text and "For fine-tuning keep the trained" in text


def test_a_pickle_should_become_safetensors_and_safetensors_need_not() -> None:
    assert "sfumato convert" in said(CHECKPOINT, container=TORCH_ZIP)
    assert "sfumato convert" not in said(CHECKPOINT)


def test_a_cast_is_offered_only_where_the_numbers_fit() -> None:
    large = Health(1, 1, (Finding("overflow", "w", 1, 1e9),))
    assert "--dtype f16" in said(CHECKPOINT, waste=(HALF,))
    assert "--dtype f16" not in said(CHECKPOINT, waste=(HALF,), health=large)


def test_what_is_broken_is_said_first() -> None:
    text = said(CHECKPOINT, health=Health(1, 1, (Finding("nan", "w", 3),)))
    assert "NaN" in text.splitlines()[0]


def test_an_adapter_says_how_to_call_it() -> None:
    lora = Verdict("lora", "sd1", adapter=Adapter("lora", known=4, modules=4))
    assert "<lora:ink:1>" in said(lora) and "no alpha" in said(lora)
    word = (TriggerWord("ink", "file name"),)
    assert 'Write "ink"' in said(Verdict("embedding", "sd1", trigger_words=word))


def test_v_prediction_is_warned_of() -> None:
    v = replace(CHECKPOINT, prediction=Prediction("v", "it says so"))
    assert "predicts v" in said(v) and "predicts v" not in said(CHECKPOINT)


def test_every_refusal_has_its_own_advice() -> None:
    for verdict, word in (("dangerous", "Delete"), ("damaged", "Download"), ("not-a-model", "")):
        text = "\n".join(advise(Card(Path("x"), verdict=verdict)))
        assert word in text and bool(text) == bool(word)
