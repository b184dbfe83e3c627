"""The judges of the starter's paintings, on pictures about which nobody can be of two minds."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from quality import judges
from quality.distances import distances, ranks
from starter.build import GROUNDS, NIGHT

SIDE = 64
ACROSS, DOWN = np.meshgrid(np.arange(SIDE), np.arange(SIDE))

PAINTS = {
    "red": (220, 30, 40), "orange": (245, 140, 30), "yellow": (250, 220, 60),
    "green": (60, 160, 80), "blue": (50, 120, 230), "purple": (140, 80, 210),
    "pink": (250, 130, 190), "black": (25, 25, 28), "white": (238, 238, 240),
    "brown": (130, 80, 50),
}  # fmt: skip


def disc(
    paint: tuple[int, int, int],
    ground: tuple[int, int, int] = (255, 255, 255),
    *,
    at: tuple[int, int] = (32, 32),
) -> NDArray[np.uint8]:
    """A disc with a rim of darker paint."""
    picture = np.empty((SIDE, SIDE, 3), np.uint8)
    picture[:] = ground
    away = np.hypot(ACROSS - at[0], DOWN - at[1])
    picture[away < 20] = [channel * 3 // 4 for channel in paint]
    picture[away < 18] = paint
    return picture


@pytest.mark.parametrize("word", PAINTS)
def test_a_disc_on_white_has_its_own_colour(word: str) -> None:
    assert judges.colour(disc(PAINTS[word])) == word


def test_the_paper_has_no_part_in_the_colour_of_a_thing() -> None:
    assert judges.colour(disc(PAINTS["red"], GROUNDS["blue"])) == "red"


def test_noise_in_the_paper_changes_nothing() -> None:
    noise = np.random.default_rng(0).integers(-6, 7, (SIDE, SIDE, 3))
    noisy = (disc(PAINTS["green"]) + noise).clip(0, 255).astype(np.uint8)
    assert judges.colour(noisy) == "green"
    assert judges.paper(noisy) == "white"


def test_what_the_thing_encloses_belongs_to_it() -> None:
    ring = disc(PAINTS["red"])
    ring[np.hypot(ACROSS - 32, DOWN - 32) < 15] = 255
    assert judges.colour(ring) == "white"


def test_a_blank_sheet_shows_nothing() -> None:
    assert judges.colour(np.full((SIDE, SIDE, 3), 255, np.uint8)) == "nothing"


@pytest.mark.parametrize("word", GROUNDS)
def test_paper_is_called_by_its_colour(word: str) -> None:
    assert judges.paper(disc(PAINTS["white"], GROUNDS[word])) == word


def test_night_is_no_black() -> None:
    assert judges.paper(disc(PAINTS["red"], NIGHT)) == "night"


def test_grey_has_no_saturation_and_paint_has_some() -> None:
    assert judges.saturation(disc((90, 90, 90))) == 0
    assert judges.saturation(disc(PAINTS["red"])) > 0.1


def test_white_is_brighter_than_night() -> None:
    assert judges.luminance(disc(PAINTS["red"])) > judges.luminance(disc(PAINTS["red"], NIGHT))


def test_a_warm_tint_warms() -> None:
    plain = disc(PAINTS["white"])
    assert judges.warmth(judges.tinted(plain, (1.0, 0.95, 0.8))) > judges.warmth(plain) + 0.1


def test_a_tenth_of_the_range_off_is_twenty_decibels() -> None:
    dark, light = np.full((8, 8, 3), 100, np.uint8), np.full((8, 8, 3), 126, np.uint8)
    assert judges.psnr(judges.squared_error(dark, light)) == pytest.approx(19.8, abs=0.1)


def test_a_picture_is_nearest_to_itself_also_when_mirrored() -> None:
    pictures = np.stack([disc(paint, at=(26, 30)) for paint in PAINTS.values()])
    found = distances(pictures[:, :, ::-1], pictures)
    assert ranks(found, list(PAINTS), list(PAINTS)) == [0] * len(PAINTS)
    assert np.diag(found) == pytest.approx(0, abs=1e-4)


def test_a_subject_has_the_rank_of_its_nearest_picture() -> None:
    found = np.array([[5.0, 1.0, 3.0, 2.0]])
    assert ranks(found, ["far", "near", "far", "middle"], ["far"]) == [2]
    assert ranks(found, ["far", "near", "far", "middle"], ["near"]) == [0]
