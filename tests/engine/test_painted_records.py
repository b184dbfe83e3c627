"""What the record of a painted picture says is what it takes to paint it again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from loras import arrays, saved
from paintable import UNET_PREFIX, checkpoint
from sfumato.containers.save import save
from sfumato.engine.loading.load import load
from sfumato.engine.painter import Painter
from sfumato.engine.pictures.infotext import Record, read_text
from sfumato.engine.pictures.picture import Picture
from sfumato.engine.pictures.requests import to_request
from sfumato.engine.prompt.styles import Style
from sfumato.engine.request import Hires, Request, Tuning
from sfumato.library.find import Shelf

Small = Callable[[str], Path]

BASE = Request("a fox", "a dog", width=32, height=32, steps=3, seed=7, sampler="Euler")
SOFT = Style("soft", "soft, {prompt}", "hard, {prompt}")


@pytest.fixture(scope="module")
def painter(small: Small, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Painter]:
    root = tmp_path_factory.mktemp("models")
    model = load(small("sd1"))
    for name, part in (("ink", "attn1"), ("wash", "attn2"), ("a=b", "attn2")):
        saved(root / "Lora" / f"{name}.safetensors", arrays(model, "lora", (part,)))
    with Painter(model, shelf=Shelf((root,)), styles={"soft": SOFT}) as found:
        yield found


def painted(painter: Painter, request: Request) -> Picture:
    return next(event for event in painter.paint(request) if isinstance(event, Picture))


def repeated(painter: Painter, picture: Picture) -> bool:
    """Whether the text of a picture gives the same pixels again."""
    again = painted(painter, to_request(read_text(picture.texts().parameters))[0])
    return bool((np.asarray(again.image) == np.asarray(picture.image)).all())


def test_a_lora_attached_by_hand_is_asked_for_in_the_record(painter: Painter) -> None:
    with painter.lora("ink", 0.8), painter.lora("wash", 0.25, unet=2):
        made = painted(painter, replace(BASE, prompt="a fox<lora:wash:0.5>"))
    tags = "a fox<lora:wash:0.5><lora:ink:0.8><lora:wash:0.25:2>"
    assert made.record.prompt == tags and made.request is not None
    assert made.request.prompt == "a fox<lora:wash:0.5>"
    assert repeated(painter, made)


def test_the_second_pass_is_asked_for_it_too(painter: Painter) -> None:
    with painter.lora("ink", 1.5):
        made = painted(painter, replace(BASE, hires=Hires(1.5, prompt="a wolf")))
    assert made.record.fields["Hires prompt"] == "a wolf<lora:ink:1.5>"
    assert repeated(painter, made)


def test_a_name_that_no_tag_can_say_is_told(painter: Painter) -> None:
    with painter.lora("a=b"):
        made = painted(painter, BASE)
    assert "a=b has a name that no prompt can say" in " ".join(made.notes)
    assert made.record.prompt == "a fox"


def with_averages(path: Path) -> Path:
    tensors, other = dict(checkpoint("sd1")), checkpoint("sd1", seed=1)
    live = [name for name in tensors if name.startswith(UNET_PREFIX)]
    flat = {"model_ema." + n.removeprefix("model.").replace(".", ""): other[n] for n in live}
    save(path, tensors | flat)
    return path


def test_averaged_weights_are_told_and_read_back(tmp_path: Path) -> None:
    with Painter(load(with_averages(tmp_path / "m.safetensors"), weights="ema")) as found:
        made = painted(found, BASE)
    assert made.record.fields["Weights"] == "ema"
    assert json.loads(made.to_json())["weights"] == "ema"
    assert to_request(made.record)[0].weights == "ema"


def test_the_weights_are_those_loaded_and_not_those_asked_for(painter: Painter) -> None:
    fields = painted(painter, replace(BASE, weights="ema")).record.fields
    assert "Weights" not in fields and "Precision" not in fields


def test_a_precision_that_the_device_does_not_take_by_itself_is_told(small: Small) -> None:
    with Painter(load(small("sd1"), dtype="bf16")) as found:
        made = painted(found, BASE)
    assert made.record.fields["Precision"] == "bf16"
    assert json.loads(made.to_json())["precision"] == "bf16"
    assert "computed in bf16" in " ".join(to_request(made.record)[1])


NOISY = (
    replace(BASE, sampler="Euler a"),
    replace(BASE, sampler="DDIM", tuning=Tuning(eta=0.5)),
    replace(BASE, sampler="LCM"),
    replace(BASE, sampler="Restart", steps=20),
    replace(BASE, tuning=Tuning(churn=1.0)),
    replace(BASE, sampler="Heun", tuning=Tuning(churn=1.0)),
    replace(BASE, sampler="DPM2", tuning=Tuning(churn=1.0)),
    replace(BASE, hires=Hires(1.5, sampler="Euler a")),
)
QUIET = (
    BASE,
    replace(BASE, sampler="DDIM"),
    replace(BASE, sampler="Euler a", tuning=Tuning(eta=0.0)),
    replace(BASE, sampler="DPM++ SDE"),
)


@pytest.mark.parametrize("request_", NOISY, ids=lambda request: request.sampler)
def test_ensd_is_told_by_every_sampler_that_draws_noise(
    painter: Painter, request_: Request
) -> None:
    moved = painted(painter, replace(request_, ensd=31337))
    assert moved.record.fields["ENSD"] == "31337" and repeated(painter, moved)
    plain = painted(painter, request_)
    assert "ENSD" not in plain.record.fields
    assert (np.asarray(moved.image) != np.asarray(plain.image)).any()


@pytest.mark.parametrize("request_", QUIET, ids=lambda request: request.sampler)
def test_ensd_is_not_told_where_it_moves_nothing(painter: Painter, request_: Request) -> None:
    moved, plain = painted(painter, replace(request_, ensd=31337)), painted(painter, request_)
    assert "ENSD" not in moved.record.fields
    assert (np.asarray(moved.image) == np.asarray(plain.image)).all()


def second(painter: Painter, first: Request, hires: Hires) -> Record:
    made = painted(painter, replace(first, hires=hires))
    assert repeated(painter, made)
    return made.record


def test_the_schedule_of_the_second_pass_is_told_where_it_is_not_implied(
    painter: Painter,
) -> None:
    karras = replace(BASE, sampler="DPM++ 2M")
    found = second(painter, karras, Hires(1.5, sampler="Euler"))
    assert found.fields["Hires schedule type"] == "Automatic"
    found = second(painter, karras, Hires(1.5, sampler="DPM++ 2M SDE"))
    assert found.fields["Hires schedule type"] == "Exponential"
    found = second(painter, replace(BASE, sampler="DPM++ 2M Karras"), Hires(1.5, schedule="Beta"))
    assert found.fields["Hires schedule type"] == "Karras"
    assert "Hires schedule type" not in second(painter, karras, Hires(1.5)).fields


def test_the_prompts_of_the_second_pass_are_told_as_they_were_painted(painter: Painter) -> None:
    hires = Hires(1.5, prompt="a wolf # grey", negative="a cat # black")
    found = second(painter, replace(BASE, styles=("soft",)), hires)
    assert found.prompt == "soft, a fox"
    assert found.fields["Hires prompt"].strip() == "soft, a wolf"
    assert found.fields["Hires negative prompt"].strip() == "hard, a cat"
    assert "#" not in "".join(found.fields.values())
