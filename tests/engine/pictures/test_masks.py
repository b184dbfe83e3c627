"""Masks and sizes: A1111's geometry, on pictures of a few pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from sfumato.engine.pictures import geometry, masks
from sfumato.engine.pictures.colour import corrected, match, to_lab, to_rgb, with_luminosity
from sfumato.engine.pictures.upscale import UPSCALERS, find_upscaler
from sfumato.engine.request import Inpaint, Resize
from sfumato.errors import UsageError

rng = np.random.default_rng(0)


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    return Image.fromarray(rng.integers(0, 255, (height, width, 4), np.uint8)).convert(mode)


def boxed(width: int, height: int, box: geometry.Box) -> Image.Image:
    mask = Image.new("L", (width, height))
    mask.paste(255, box)
    return mask


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(["stretch", "crop", "fill"]))
@settings(max_examples=60, deadline=None)
def test_every_way_of_resizing_gives_the_size_asked_for(w: int, h: int, how: Resize) -> None:
    assert geometry.resize(noise(13, 7), (w, h), how).size == (w, h)


def test_the_latent_way_leaves_the_picture_alone() -> None:
    picture = noise(8, 6)
    assert geometry.resize(picture, (4, 4), "latent") is picture


def test_cropping_keeps_the_middle() -> None:
    found = np.asarray(geometry.resize(noise(20, 10), (10, 10), "crop"))
    assert found.shape == (10, 10, 3)
    picture = noise(20, 10)
    assert np.array_equal(
        np.asarray(geometry.resize(picture, (10, 10), "crop")), np.asarray(picture)[:, 5:15]
    )


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_filling_repeats_the_edges_to_the_last_pixel(mode: str) -> None:
    picture = noise(10, 10, mode)
    found, pixels = np.asarray(geometry.resize(picture, (10, 17), "fill")), np.asarray(picture)
    assert np.array_equal(found[3:13], pixels)
    assert (found[:3] == pixels[0]).all() and (found[13:] == pixels[-1]).all()


@pytest.mark.parametrize(("size", "whole"), [((512, 768), (512, 768)), ((515, 7), (512, 8))])
def test_sizes_are_brought_down_to_whole_latents(size: geometry.Size, whole: geometry.Size) -> None:
    assert geometry.whole_latents(*size) == whole


def test_a_size_without_pixels_is_refused() -> None:
    with pytest.raises(UsageError, match="0 × 4"):
        geometry.resize(noise(8, 8), (0, 4))


def test_what_is_transparent_shows_the_background() -> None:
    clear = Image.new("RGBA", (2, 2), (9, 9, 9, 0))
    assert geometry.flatten(clear, (1, 2, 3)).getpixel((0, 0)) == (1, 2, 3)
    assert geometry.flatten(noise(2, 2)).mode == "RGB"


def test_an_alpha_channel_that_varies_is_the_mask() -> None:
    picture = noise(4, 1, "RGBA")
    picture.putalpha(Image.fromarray(np.array([[0, 128, 129, 255]], np.uint8)))
    assert np.asarray(masks.mask_of(picture)).tolist() == [[0, 0, 255, 255]]
    assert np.asarray(masks.mask_of(picture, rounded=False)).tolist() == [[0, 128, 129, 255]]
    assert np.asarray(masks.mask_of(picture, invert=True)).tolist() == [[255, 255, 0, 0]]
    picture.putalpha(255)
    assert np.array_equal(np.asarray(masks.mask_of(picture)), np.asarray(picture.convert("L")))


def test_the_kernel_has_the_length_of_a1111() -> None:
    assert [len(masks.kernel(blur)) for blur in (1, 2, 4, 64)] == [7, 11, 21, 321]
    assert masks.kernel(4).sum() == pytest.approx(1)


def test_blur_keeps_flat_masks_and_spreads_a_point_by_the_kernel() -> None:
    flat = Image.new("L", (5, 3), 77)
    assert np.array_equal(np.asarray(masks.blurred(flat, (4, 4))), np.asarray(flat))
    row = np.asarray(masks.blurred(boxed(41, 1, (20, 0, 21, 1)), (4, 0)))[0]
    assert np.array_equal(row[10:31], np.rint(255 * masks.kernel(4)).astype(np.uint8))


def test_blur_mirrors_the_edge_without_doubling_it() -> None:
    row = np.array([200, 100, 0, 0, 0, 0, 0, 0], np.uint8)
    mirrored = np.concatenate([row[3:0:-1], row])
    wanted = np.rint(np.convolve(mirrored, masks.kernel(1), "valid"))
    found = np.asarray(masks.blurred(Image.fromarray(row[None]), (1, 0)))[0]
    assert np.array_equal(found[: len(wanted) - 0][:2], wanted[:2])


def test_the_region_is_padded_and_stays_inside() -> None:
    mask = boxed(64, 48, (20, 10, 30, 20))
    assert masks.region(mask, 4) == (16, 6, 34, 24)
    assert masks.region(mask, 32) == (0, 0, 62, 48)
    assert masks.region(Image.new("L", (8, 8)), 4) is None


@given(*[st.integers(0, 60)] * 2, *[st.integers(1, 40)] * 2, *[st.integers(1, 9)] * 2)
@settings(deadline=None)
def test_a_grown_box_holds_the_old_one_and_stays_inside(
    left: int, top: int, wide: int, tall: int, across: int, down: int
) -> None:
    box = (left, top, left + wide, top + tall)
    grown = masks.grown(box, (across, down), (100, 100))
    assert grown[0] <= box[0] and grown[1] <= box[1] and grown[2] >= box[2] and grown[3] >= box[3]
    assert grown[0] >= 0 and grown[1] >= 0 and grown[2] <= 100 and grown[3] <= 100
    if min(grown[0], grown[1]) > 0 and max(grown[2:]) < 100:
        ratio = (grown[2] - grown[0]) * down - (grown[3] - grown[1]) * across
        assert abs(ratio) <= max(across, down)


def test_a_box_at_the_edge_is_moved_not_cut() -> None:
    assert masks.grown((90, 10, 100, 50), (1, 1), (100, 100)) == (60, 10, 100, 50)
    assert masks.grown((0, 0, 100, 10), (1, 1), (100, 50)) == (0, 0, 100, 50)


def test_filling_smears_the_surroundings_into_the_mask_and_leaves_them() -> None:
    picture = Image.new("RGB", (64, 64), (200, 40, 40))
    picture.paste((0, 0, 255), (24, 24, 40, 40))
    mask = boxed(64, 64, (24, 24, 40, 40))
    found = np.asarray(masks.filled(picture, mask)).astype(int)
    assert np.abs(found[32, 32] - (200, 40, 40)).max() < 12
    assert np.array_equal(found[:16], np.asarray(picture)[:16])


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("how", ["stretch", "crop", "fill", "latent"])
def test_pixels_outside_the_mask_come_back_untouched(whole: bool, how: Resize) -> None:
    picture, mask = noise(96, 64), boxed(96, 64, (30, 20, 50, 40))
    inpaint = Inpaint(mask, blur=(0, 0), whole=whole, padding=8, fill="fill")
    ready = masks.prepare(picture, inpaint, (96, 64), how)
    assert ready is not None and ready.picture.size == ready.mask.size == (96, 64)
    painted = Image.new("RGB", (96, 64), (1, 2, 3))
    found = np.asarray(masks.laid_over(painted, ready.overlay, ready.box))
    outside = np.asarray(mask) == 0
    assert np.array_equal(found[outside], np.asarray(picture)[outside])
    assert (found[~outside] == (1, 2, 3)).all()


def test_only_masked_paints_the_region_at_full_size() -> None:
    picture, mask = noise(96, 64), boxed(96, 64, (30, 20, 40, 30))
    ready = masks.prepare(
        picture, Inpaint(mask, (0, 0), whole=False, padding=5), (64, 64), "stretch"
    )
    assert ready is not None and ready.box == (25, 15, 45, 35) and ready.picture.size == (64, 64)
    assert ready.overlay.size == (96, 64)


def test_the_overlay_of_a_whole_picture_doubles_soft_edges() -> None:
    mask = Image.new("L", (8, 8), 100)
    ready = masks.prepare(noise(8, 8), Inpaint(mask, (0, 0)), (8, 8), "stretch")
    assert ready is not None and ready.overlay.getpixel((0, 0))[3] == 55


def test_a_blank_mask_leaves_nothing_to_paint() -> None:
    blank = Inpaint(Image.new("L", (8, 8)), whole=False)
    assert masks.prepare(noise(8, 8), blank, (8, 8), "stretch") is None


def test_a_latent_mask_is_rounded_or_soft() -> None:
    mask = Image.fromarray(np.tile(np.linspace(0, 255, 16, dtype=np.uint8), (16, 1)))
    soft, hard = masks.latent_mask(mask, (4, 2), rounded=False), masks.latent_mask(mask, (4, 2))
    assert soft.shape == hard.shape == (2, 4) and soft.dtype == np.float32
    assert set(hard.ravel().tolist()) == {0.0, 1.0} and 0 < soft[0, 1] < 1


def test_colours_go_there_and_back_through_lab() -> None:
    pixels = rng.integers(0, 256, (50, 3), np.uint8)
    assert np.abs(to_rgb(to_lab(pixels)).astype(int) - pixels).mean() < 3
    grey = np.array([[0, 0, 0], [119, 119, 119], [255, 255, 255]], np.uint8)
    assert to_lab(grey).tolist() == [[0, 128, 128], [128, 128, 128], [255, 128, 128]]


def test_matching_a_histogram_gives_that_histogram() -> None:
    values, wanted = rng.integers(0, 256, 4000, np.uint8), rng.integers(60, 90, 4000, np.uint8)
    found = match(values, wanted)
    assert abs(found.mean() - wanted.mean()) < 1 and np.array_equal(match(wanted, wanted), wanted)


def test_correction_brings_colours_back_and_keeps_the_light() -> None:
    original = Image.blend(noise(32, 32), Image.new("RGB", (32, 32), (180, 90, 60)), 0.7)
    painted = ImageOps.invert(original)
    found = np.asarray(corrected(painted, original), float)
    luma = np.array([0.3, 0.59, 0.11])
    assert np.abs(found @ luma - np.asarray(painted) @ luma).mean() < 1.5
    hue = (np.asarray(original, float).mean((0, 1)) - found.mean((0, 1))) @ [1, 0, -1]
    assert found[..., 0].mean() > found[..., 2].mean() and abs(hue) < 60


def test_a_picture_corrected_by_itself_stays() -> None:
    picture = noise(16, 16)
    assert np.abs(np.asarray(corrected(picture, picture), int) - np.asarray(picture)).mean() < 4


@given(st.lists(st.floats(0, 1), min_size=6, max_size=6))
def test_luminosity_is_that_of_the_other(values: list[float]) -> None:
    colours, lights = np.array(values[:3]), np.array(values[3:])
    luma = np.array([0.3, 0.59, 0.11])
    assert with_luminosity(colours, lights) @ luma == pytest.approx(lights @ luma, abs=1e-6)


@pytest.mark.parametrize("upscaler", UPSCALERS, ids=lambda one: one.name)
def test_every_upscaler_is_found_by_its_name_and_gives_the_size(upscaler: object) -> None:
    found = find_upscaler(upscaler.name.upper())
    assert found is upscaler
    assert found.run is None or found.run(noise(4, 4), (9, 6)).size == (9, 6)
    assert (found.run is None) == bool(found.mode) == found.name.startswith("Latent")


def test_an_unknown_upscaler_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'Lanczos'"):
        find_upscaler("Lanzcos")
