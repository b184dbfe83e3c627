"""Requests as people write them in Python: short forms, wrong types, words and numbers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields, replace
from operator import attrgetter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Images

from sfumato.engine.asking.bounds import BOUNDS, check_bounds
from sfumato.engine.asking.options import request_of
from sfumato.engine.asking.typed import typed
from sfumato.engine.request import Guidance, Hires, Init, Inpaint, Request, Tuning, Variation
from sfumato.errors import NotAModel, Unreadable, UsageError

PICTURE = Images.new("RGB", (8, 8))
WHOLE = Request(hires=Hires(), init=Init(PICTURE, inpaint=Inpaint(PICTURE)))


def asked(**options: object) -> Request:
    return request_of("a fox", None, options)


@pytest.mark.parametrize(
    ("short", "whole"),
    [
        ({"seed": None}, {"seed": -1}),
        ({"seed": ""}, {"seed": -1}),
        ({"seed": np.int64(7)}, {"seed": 7}),
        ({"hires": True}, {"hires": Hires()}),
        ({"hires": False}, {"hires": None}),
        ({"hires": 1.5}, {"hires": Hires(1.5)}),
        ({"hires": 2}, {"hires": Hires(2.0)}),
        ({"styles": "red"}, {"styles": ("red",)}),
        ({"styles": ["red", "blue"]}, {"styles": ("red", "blue")}),
        ({"guidance": 3.0}, {"guidance": Guidance(3.0)}),
        ({"sdxl_crop": [0, 8]}, {"sdxl_crop": (0, 8)}),
        ({"init": PICTURE}, {"init": Init(PICTURE)}),
        ({"refiner": Path("a", "b.ckpt")}, {"refiner": str(Path("a", "b.ckpt"))}),
    ],
)
def test_short_forms_mean_what_they_seem_to(
    short: Mapping[str, object], whole: Mapping[str, object]
) -> None:
    assert asked(**short) == asked(**whole)


def test_a_picture_may_be_given_by_its_path(tmp_path: Path) -> None:
    PICTURE.save(tmp_path / "a.png")
    for path in (tmp_path / "a.png", str(tmp_path / "a.png")):
        init = asked(init=path).init
        assert init is not None and init.image.size == (8, 8)
    (tmp_path / "b.png").write_text("no picture")
    for name in ("b.png", "c.png", "."):
        with pytest.raises((NotAModel, Unreadable), match=name):
            asked(init=tmp_path / name)


def test_a_pipe_in_place_of_a_picture_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(Unreadable, match="pipe"):
        asked(init=tmp_path / "pipe.png")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"width": "64"}, r"width is '64' \(str\); expected a whole number"),
        ({"steps": 1.5}, r"steps is 1\.5 \(float\)"),
        ({"steps": None}, "steps is None; expected a whole number"),
        ({"steps": True}, r"steps is True \(bool\)"),
        ({"seed": 1.5}, r"seed is 1\.5"),
        ({"negative": b"fog"}, r"negative is b'fog' \(bytes\); expected a text"),
        ({"sampler": 5}, r"sampler is 5 \(int\); expected a text"),
        ({"styles": (5,)}, r"styles is 5 \(int\)"),
        ({"styles": 5}, r"styles is 5 \(int\); expected texts"),
        ({"sdxl_crop": (1, 2, 3)}, "expected 2 values"),
        ({"init": 5}, "init is 5"),
        ({"hires": "big"}, "expected a Hires"),
        ({"hires": Hires("2")}, r"hires\.scale is '2'"),
        ({"init": Init("a.png")}, r"init\.image is 'a.png' \(str\); expected a picture"),
        ({"tuning": Tuning(unipc_variant="bh3")}, "expected one of bh1, bh2, vary_coeff"),
        ({"rng": "XX"}, r"rng is 'XX' \(str\); expected one of NV, CPU, GPU"),
        ({"rng": []}, "expected one of NV"),
        ({"emphasis": "loud"}, "expected one of Original, No norm, Ignore, None"),
        ({"pad": "both"}, "expected one of none, empty, v0"),
        ({"init": Init(PICTURE, resize="bend")}, r"init\.resize is 'bend'"),
        ({"init": Init(PICTURE, inpaint=Inpaint(PICTURE, fill="x"))}, r"init\.inpaint\.fill"),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_named_with_what_is_expected(
    options: Mapping[str, object], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        asked(**options)


def test_a_scale_that_is_no_number_is_refused() -> None:
    with pytest.raises(UsageError, match=r"scale is '7' \(str\); expected a number"):
        request_of("a fox", "7", {})  # pyright: ignore[reportArgumentType]
    with pytest.raises(UsageError, match="prompt is 5"):
        request_of(5, None, {})  # pyright: ignore[reportArgumentType]


def test_a_request_that_is_right_stays_the_same_object() -> None:
    for request in (Request(), WHOLE):
        assert typed(request) is request
        check_bounds(request)


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (replace(WHOLE, hires=Hires(float("nan"))), "scale of the second pass is nan"),
        (replace(WHOLE, hires=Hires(0.0)), "lies between 0.01 and 64"),
        (replace(WHOLE, hires=Hires(-1.0)), "second pass is -1"),
        (replace(WHOLE, hires=Hires(float("inf"))), "second pass is inf"),
        (Request(guidance=Guidance(float("nan"))), "the CFG scale is nan"),
        (Request(guidance=Guidance(1e300)), r"the CFG scale is 1e\+300"),
        (Request(tuning=Tuning(eta=float("nan"))), "eta is nan"),
        (Request(tuning=Tuning(churn=float("inf"))), "churn is inf"),
        (Request(tuning=Tuning(rho=1e300)), "rho is"),
        (Request(seed=2**64), "seed is 18446744073709551616; .* and 18446744073709551615"),
        (Request(variation=Variation(2**64)), "the variation seed"),
        (Request(comma_backtrack=-1), "comma_backtrack is -1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_numbers_that_cannot_be_meant_are_refused(request_: Request, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        check_bounds(request_)


def test_every_number_of_a_request_has_bounds() -> None:
    bounded = {bound.path for bound in BOUNDS}
    parts = ("", "guidance", "variation", "tuning", "hires", "init", "init.inpaint")
    for part in parts:
        value: object = attrgetter(part)(WHOLE) if part else WHOLE
        for entry in fields(value):  # pyright: ignore[reportArgumentType]
            if str(entry.type).startswith(("int", "float", "tuple[int")):
                assert f"{part}.{entry.name}".lstrip(".") in bounded
