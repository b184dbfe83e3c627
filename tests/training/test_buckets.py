"""Buckets: near in aspect, no larger in area, covered by the picture that goes in."""

from __future__ import annotations

from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sfumato.training.data.buckets import Fit, buckets, cut, fit

SIDES = st.integers(8, 4000)


@pytest.mark.parametrize(("resolution", "step"), [(512, 64), (768, 64), (1024, 64), (64, 8)])
def test_buckets_have_whole_steps_and_no_more_than_the_area(resolution: int, step: int) -> None:
    found = buckets(resolution, step)
    assert (resolution, resolution) in found
    for width, height in found:
        assert width % step == height % step == 0
        assert width * height <= resolution**2
        assert (height, width) in found


def test_the_buckets_of_512_are_those_of_other_trainers() -> None:
    known = {(512, 512), (448, 576), (576, 448), (384, 640), (640, 384), (320, 768), (256, 1024)}
    assert known <= set(buckets(512, 64))


@given(SIDES, SIDES, st.booleans(), st.booleans())
def test_a_picture_covers_its_bucket(width: int, height: int, square: bool, upscale: bool) -> None:
    found = fit((width, height), 256, 64, square=square, upscale=upscale)
    assert found.scaled[0] >= found.bucket[0] and found.scaled[1] >= found.bucket[1]
    assert found.bucket[0] * found.bucket[1] <= 256**2
    assert all(side % 64 == 0 and side for side in found.bucket)


@given(st.integers(300, 4000), st.integers(300, 4000))
def test_no_bucket_is_nearer_in_aspect(width: int, height: int) -> None:
    found = fit((width, height), 256, 64, square=False, upscale=True).bucket
    aspect = log(width / height)
    distance = abs(log(found[0] / found[1]) - aspect)
    assert all(abs(log(w / h) - aspect) >= distance - 1e-12 for w, h in buckets(256, 64))


def test_a_small_picture_keeps_its_size_unless_it_may_grow() -> None:
    kept = fit((100, 70), 256, 8, square=False, upscale=False)
    assert (kept.scaled, kept.bucket) == ((100, 70), (96, 64))
    grown = fit((100, 70), 256, 8, square=False, upscale=True)
    assert grown.scaled[0] > 200


def test_a_picture_that_fits_is_not_touched() -> None:
    picture = Image.effect_noise((64, 64), 50).convert("RGB")
    found = fit((64, 64), 64, 8, square=False, upscale=False)
    assert cut(picture, found).tobytes() == picture.tobytes()


def test_crops_reach_from_edge_to_edge() -> None:
    picture = Image.new("RGB", (10, 4))
    picture.putpixel((9, 3), (255, 0, 0))
    to = Fit((10, 4), (4, 4))
    assert cut(picture, to, across=1.0, down=1.0).getpixel((3, 3)) == (255, 0, 0)
    assert cut(picture, to, across=0.0, down=0.0).getpixel((3, 3)) == (0, 0, 0)
