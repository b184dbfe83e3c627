"""Painting as a whole: what stays the same, what changes, what is kept, what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image as Images

from paintable import KINDS
from sfumato.catalogue.trees.tiny_vae import TinyVAE, tiny_half_shapes
from sfumato.containers.save import save
from sfumato.engine.autoencoding.decode import as_tensor, decode, encode
from sfumato.engine.loading.load import load
from sfumato.engine.painter import Painter
from sfumato.engine.pictures.picture import Picture
from sfumato.engine.progress import Progress
from sfumato.engine.request import Guidance, Hires, Init, Inpaint, Request, Tuning, Variation
from sfumato.engine.sampling.registry import SAMPLERS
from sfumato.engine.sampling.schedules import SCHEDULES
from sfumato.errors import Refused, SfumatoError, UsageError
from sfumato.library.find import Shelf
from toys import random_tensors

pytestmark = pytest.mark.slow

Small = Callable[[str], Path]
Pixels = NDArray[np.uint8]

BASE = Request("a fox", "a dog", width=32, height=32, steps=3, seed=7, sampler="Euler a")


@pytest.fixture(scope="module")
def painter(small: Small) -> Iterator[Painter]:
    with Painter(load(small("sd1"))) as found:
        yield found


def pictures(painter: Painter, request: Request) -> list[Picture]:
    return [event for event in painter.paint(request) if isinstance(event, Picture)]


def pixels(painter: Painter, request: Request) -> Pixels:
    return np.asarray(pictures(painter, request)[0].image)


def differ(painter: Painter, request: Request, other: Request) -> bool:
    return bool((pixels(painter, request) != pixels(painter, other)).any())


def drawing(width: int = 32, height: int = 32) -> Images.Image:
    rng = np.random.default_rng(3)
    return Images.fromarray(rng.integers(0, 255, (height, width, 3), np.uint8).astype(np.uint8))


def half_mask(width: int = 32, height: int = 32) -> Images.Image:
    mask = np.zeros((height, width), np.uint8)
    mask[:, width // 2 :] = 255
    return Images.fromarray(mask)


def test_the_same_request_gives_the_same_picture(small: Small, painter: Painter) -> None:
    with Painter(load(small("sd1"))) as other:
        assert (pixels(painter, BASE) == pixels(other, BASE)).all()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "sd1-ip2p"])
def test_every_family_paints(kind: str, small: Small) -> None:
    with Painter(load(small(kind))) as found:
        assert pixels(found, BASE).shape == (32, 32, 3)
        assert differ(found, BASE, replace(BASE, prompt="a wolf"))


def test_a_picture_is_the_same_alone_and_in_a_batch(painter: Painter) -> None:
    batch = pictures(painter, replace(BASE, batch=2, count=2))
    assert [picture.seed for picture in batch] == [7, 8, 9, 10]
    for picture in batch:
        alone = pixels(painter, replace(BASE, seed=picture.seed))
        assert (np.asarray(picture.image) == alone).all()


def test_a_record_repeats_its_picture(painter: Painter) -> None:
    first = pictures(painter, replace(BASE, seed=-1, batch=2))[1]
    assert first.record.fields["Seed"] == str(first.seed)
    assert first.request is not None
    assert (pixels(painter, replace(BASE, seed=first.seed)) == np.asarray(first.image)).all()


@pytest.mark.parametrize(
    "other",
    [
        replace(BASE, seed=8),
        replace(BASE, prompt="a wolf"),
        replace(BASE, prompt="a (fox:1.4)"),
        replace(BASE, prompt="a fox AND a tree"),
        replace(BASE, prompt="a [fox:wolf:1]"),
        replace(BASE, negative=""),
        replace(BASE, clip_skip=2),
        replace(BASE, rng="CPU"),
        replace(BASE, ensd=31337),
        replace(BASE, schedule="Karras"),
        replace(BASE, tiling=True),
        replace(BASE, zero_snr=True),
        replace(BASE, guidance=Guidance(3)),
        replace(BASE, guidance=Guidance(rescale=0.7)),
        replace(BASE, guidance=Guidance(skip_early=0.5)),
        replace(BASE, variation=Variation(3, 0.5)),
        replace(BASE, variation=Variation(resize_from=(16, 16))),
        replace(BASE, tuning=Tuning(eta=0.5)),
        replace(BASE, tuning=Tuning(rho=3), schedule="Karras"),
        replace(BASE, pad="empty", prompt="a fox BREAK a tree"),
    ],
    ids=lambda r: " ".join(f"{v}" for v in (r.prompt, r.clip_skip, r.schedule, r.rng)),
)
def test_what_is_asked_for_changes_the_picture(painter: Painter, other: Request) -> None:
    assert differ(painter, BASE, other)


@pytest.mark.parametrize(
    "other",
    [
        replace(BASE, variation=Variation(3, 0.0)),
        replace(BASE, prompt="a fox # which is red"),
        replace(BASE, prompt="a [fox:wolf:1.5]"),
        replace(BASE, guidance=Guidance(skip_below=1e-4)),
        replace(BASE, prompt="a fox<unknown:x>"),
    ],
    ids=lambda r: r.prompt,
)
def test_what_says_nothing_changes_nothing(painter: Painter, other: Request) -> None:
    assert not differ(painter, BASE, other)


@pytest.mark.parametrize("sampler", [sampler.name for sampler in SAMPLERS])
def test_every_sampler_paints(painter: Painter, sampler: str) -> None:
    request = replace(BASE, sampler=sampler, width=16, height=16)
    first = pictures(painter, request)[0]
    assert first.record.fields["Sampler"] == sampler
    over = replace(request, init=Init(drawing(16, 16), 0.7))
    assert pixels(painter, over).shape == (16, 16, 3)


@pytest.mark.parametrize("schedule", [schedule.name for schedule in SCHEDULES])
def test_every_schedule_paints_and_is_recorded(painter: Painter, schedule: str) -> None:
    request = replace(BASE, sampler="Euler", schedule=schedule, width=16, height=16)
    assert pictures(painter, request)[0].record.fields["Schedule type"] == schedule


def test_a_schedule_in_a_samplers_name_is_understood(painter: Painter) -> None:
    fields = pictures(painter, replace(BASE, sampler="k_euler Karras"))[0].record.fields
    assert (fields["Sampler"], fields["Schedule type"]) == ("Euler", "Karras")


def steps(painter: Painter, request: Request) -> list[Progress]:
    return [event for event in painter.paint(request) if isinstance(event, Progress)]


def test_progress_counts_every_step_of_every_picture(painter: Painter) -> None:
    request = replace(BASE, batch=2, hires=Hires(1.5, steps=2))
    told = steps(painter, request)
    assert [event.done for event in told] == list(range(1, 11))
    assert {event.total for event in told} == {10}
    assert [event.stage for event in told[:5]] == ["paint"] * 3 + ["enlarge"] * 2
    assert {event.picture for event in told[5:]} == {1}
    assert all(event.rate > 0 for event in told)


@pytest.mark.parametrize(("denoise", "count"), [(0.75, 16), (0.0, 1), (1.0, 20)])
def test_painting_over_a_picture_takes_as_many_steps_as_in_a1111(
    painter: Painter, denoise: float, count: int
) -> None:
    init = Init(drawing(16, 16), denoise)
    request = replace(BASE, width=16, height=16, steps=20, init=init)
    assert len(steps(painter, request)) == count
    exact = replace(request, init=replace(init, exact_steps=True))
    assert len(steps(painter, exact)) == (20 if denoise else 0)


def test_a_preview_shows_the_latent(painter: Painter) -> None:
    for event in painter.paint(BASE):
        if isinstance(event, Progress):
            assert event.preview().size == (4, 4)


def test_a_preview_may_come_from_taesd(small: Small, tmp_path: Path) -> None:
    path = tmp_path / "taesd_decoder.safetensors"
    save(path, random_tensors(tiny_half_shapes(TinyVAE(width=8, encoder=False))))
    with Painter(load(small("sd1")), preview=str(path), offload=True) as found:
        shown = [event.preview().size for event in steps(found, BASE)]
        assert shown == [(32, 32)] * 3


def test_painting_over_nothing_gives_the_picture_back(painter: Painter) -> None:
    source = drawing()
    init = Init(source, 0.0, exact_steps=True)
    with torch.inference_mode():
        latent = encode(painter.model, as_tensor([np.asarray(source)]))
        expected = decode(painter.model, latent)[0]
    assert (pixels(painter, replace(BASE, init=init)) == expected).all()


def test_the_more_is_denoised_the_less_stays(painter: Painter) -> None:
    source = drawing()
    weak, strong = (
        pixels(painter, replace(BASE, steps=10, init=Init(source, denoise))).astype(float)
        for denoise in (0.1, 0.9)
    )
    kept = pixels(painter, replace(BASE, init=Init(source, 0.0, exact_steps=True))).astype(float)
    assert np.abs(weak - kept).mean() < np.abs(strong - kept).mean()


@pytest.mark.parametrize("fill", ["original", "fill", "latent noise", "latent nothing"])
@pytest.mark.parametrize("sampler", ["Euler a", "DDIM"])
def test_a_mask_keeps_what_it_covers(painter: Painter, fill: str, sampler: str) -> None:
    source = drawing()
    inpaint = Inpaint(half_mask(), blur=(0, 0), fill=fill)  # pyright: ignore[reportArgumentType]
    request = replace(BASE, steps=8, sampler=sampler, init=Init(source, inpaint=inpaint))
    painted = pixels(painter, request)
    assert (painted[:, :16] == np.asarray(source)[:, :16]).all()
    assert (painted[:, 16:] != np.asarray(source)[:, 16:]).any()


def test_only_what_is_masked_is_painted_at_full_size(painter: Painter) -> None:
    source = drawing(64, 48)
    mask = Images.new("L", (64, 48))
    mask.paste(255, (40, 8, 56, 24))
    inpaint = Inpaint(mask, blur=(0, 0), whole=False, padding=4)
    painted = pixels(painter, replace(BASE, init=Init(source, inpaint=inpaint)))
    changed = (painted != np.asarray(source)).any(axis=2)
    assert painted.shape == (48, 64, 3)
    assert changed[8:24, 40:56].any()
    changed[8:24, 40:56] = False
    assert not changed.any()


def test_a_blank_mask_is_said_and_all_is_painted(painter: Painter) -> None:
    inpaint = Inpaint(Images.new("L", (32, 32)), whole=False)
    found = pictures(painter, replace(BASE, init=Init(drawing(), inpaint=inpaint)))[0]
    assert "mask is blank" in " ".join(found.notes)


def test_an_inpainting_model_sees_the_picture_around_the_mask(small: Small) -> None:
    inpaint = Inpaint(half_mask(), blur=(0, 0), fill="latent nothing")
    with Painter(load(small("sd1-inpainting"))) as found:
        request = replace(BASE, init=Init(drawing(), 1.0, inpaint=inpaint))
        other = replace(request, init=Init(drawing().rotate(180), 1.0, inpaint=inpaint))
        assert (pixels(found, request)[:, 16:] != pixels(found, other)[:, 16:]).any()
        weaker = replace(request, init=Init(drawing(), 1.0, inpaint=replace(inpaint, weight=0.0)))
        assert differ(found, request, weaker)
        assert pixels(found, replace(BASE, hires=Hires(1.5))).shape == (48, 48, 3)


def test_an_editing_model_edits_and_wants_a_picture(small: Small) -> None:
    with Painter(load(small("sd1-ip2p"))) as found:
        request = replace(BASE, init=Init(drawing(), 1.0))
        assert differ(found, request, replace(request, guidance=Guidance(image_scale=3)))
        with pytest.raises(Refused, match="InstructPix2Pix"):
            pixels(found, BASE)


@pytest.mark.parametrize("upscaler", ["Latent", "Lanczos"])
def test_an_editing_model_edits_the_enlarged_picture_again(small: Small, upscaler: str) -> None:
    with Painter(load(small("sd1-ip2p"))) as found:
        hires = Hires(1.5, upscaler=upscaler)
        request = replace(BASE, init=Init(drawing(), 1.0), hires=hires)
        assert pixels(found, request).shape == (48, 48, 3)
        weighed = replace(request, guidance=Guidance(image_scale=3))
        assert differ(found, request, weighed)


@pytest.mark.parametrize(
    ("hires", "size"),
    [
        (Hires(2.0), (64, 64)),
        (Hires(1.3), (40, 40)),
        (Hires(size=(48, 0)), (48, 48)),
        (Hires(size=(0, 40)), (40, 40)),
        (Hires(size=(64, 48)), (64, 48)),
        (Hires(2.0, upscaler="Lanczos"), (64, 64)),
        (Hires(size=(64, 40), upscaler="Nearest"), (64, 40)),
        (Hires(1.5, upscaler="Latent (nearest-exact)"), (48, 48)),
        (Hires(1.5, upscaler="Latent (bicubic antialiased)"), (48, 48)),
        (Hires(1.5, denoise=0.0, upscaler="None"), (48, 48)),
    ],
    ids=str,
)
def test_the_second_pass_makes_the_size_asked_for(
    painter: Painter, hires: Hires, size: tuple[int, int]
) -> None:
    assert pictures(painter, replace(BASE, hires=hires))[0].image.size == size


@pytest.mark.parametrize(
    ("hires", "sentence"),
    [
        (Hires(1.3), "makes 40×40 pixels in place of 41×41"),
        (Hires(size=(43, 0)), "makes 40×40 pixels in place of 43×43"),
        (Hires(size=(60, 43)), "makes 56×40 pixels in place of 60×43"),
        (Hires(2.0), ""),
        (Hires(size=(64, 48)), ""),
    ],
    ids=str,
)
def test_a_second_pass_that_becomes_of_another_size_says_so(
    painter: Painter, hires: Hires, sentence: str
) -> None:
    notes = " ".join(pictures(painter, replace(BASE, hires=hires, steps=1))[0].notes)
    assert sentence in notes
    assert sentence or "the second pass makes" not in notes


def test_the_second_pass_has_prompts_and_samplers_of_its_own(painter: Painter) -> None:
    request = replace(BASE, hires=Hires(1.5))
    assert differ(painter, request, replace(BASE, hires=Hires(1.5, prompt="a wolf")))
    assert differ(painter, request, replace(BASE, hires=Hires(1.5, sampler="DDIM")))
    assert differ(painter, request, replace(BASE, hires=Hires(1.5, denoise=0.3)))


def test_a_refiner_takes_over(small: Small) -> None:
    folder = small("sdxl").parent
    small("sdxl-refiner")
    with Painter(load(small("sdxl")), shelf=Shelf((folder,))) as found:
        request = replace(BASE, steps=6, refiner="sdxl-refiner", refiner_switch=0.5)
        refined = pictures(found, request)[0]
        assert differ(found, request, replace(request, refiner=""))
        assert differ(found, request, replace(request, refiner_switch=0.2))
        assert not differ(found, replace(request, refiner=""), replace(request, refiner_switch=1.0))
        assert refined.record.fields["Refiner"] == "sdxl-refiner"


def test_where_there_are_two_passes_the_second_is_refined(small: Small) -> None:
    small("sdxl-refiner")
    shelf = Shelf((small("sdxl").parent,))
    with Painter(load(small("sdxl")), shelf=shelf) as found:
        request = replace(BASE, refiner="sdxl-refiner", refiner_switch=0.0)
        two = replace(request, hires=Hires(1.5, denoise=0.0))
        assert not differ(found, two, replace(two, refiner=""))
        assert differ(found, request, replace(request, refiner=""))


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [("sd2", "SD 2.x model and cannot refine what SD 1.x"), ("sd1-inpainting", "a plain picture")],
)
def test_a_refiner_that_cannot_go_on_is_refused(small: Small, kind: str, sentence: str) -> None:
    shelf = Shelf((small(kind).parent,))
    with Painter(load(small("sd1")), shelf=shelf) as found, pytest.raises(Refused, match=sentence):
        pixels(found, replace(BASE, refiner=kind, refiner_switch=0.3))


@pytest.mark.parametrize("where", ["first", "second", "both"])
def test_a_refiner_takes_part_in_the_passes_asked_for(small: Small, where: str) -> None:
    small("sdxl-refiner")
    with Painter(load(small("sdxl")), shelf=Shelf((small("sdxl").parent,))) as found:
        hires = Hires(1.5, refiner=where)  # pyright: ignore[reportArgumentType]
        request = replace(BASE, refiner="sdxl-refiner", refiner_switch=0.0, hires=hires)
        nothing = replace(request, hires=replace(hires, denoise=0.0))
        assert differ(found, nothing, replace(nothing, refiner="")) == (where != "second")
        assert differ(found, request, replace(request, hires=Hires(1.5))) == (where != "second")
        told = pictures(found, request)[0].record.fields.get("Hires refiner")
        assert told == {"first": "first pass", "both": "both passes"}.get(where)


def test_clip_skip_acts_on_sdxl_where_asked_and_is_said_to_be_idle_elsewhere(small: Small) -> None:
    with Painter(load(small("sdxl"))) as found:
        plain, acting = replace(BASE, clip_skip=3), replace(BASE, clip_skip=3, skip_sdxl=True)
        assert not differ(found, BASE, plain)
        assert differ(found, BASE, acting)
        assert "clip skip 3 has no effect in SDXL" in " ".join(pictures(found, plain)[0].notes)
        made = pictures(found, acting)[0]
        assert "no effect" not in " ".join(made.notes)
        assert made.record.fields["Clip skip SDXL"] == "True"
    with Painter(load(small("sd2"))) as found:
        said = pictures(found, replace(BASE, clip_skip=2))[0].notes
        assert "clip skip 2 has no effect in SD 2.x models" in said


def test_sizes_become_multiples_of_8_and_that_is_said(painter: Painter) -> None:
    found = pictures(painter, replace(BASE, width=37, height=33))[0]
    assert found.image.size == (32, 32)
    assert "37×33 pixels became 32×32" in " ".join(found.notes)


@pytest.mark.parametrize("size", [(40, 24), (8, 56)])
def test_sizes_that_halve_to_odd_ones_paint(painter: Painter, size: tuple[int, int]) -> None:
    request = replace(BASE, width=size[0], height=size[1])
    assert pictures(painter, request)[0].image.size == size


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (replace(BASE, steps=0), "steps is 0"),
        (replace(BASE, batch=0), "batch is 0"),
        (replace(BASE, sampler="Euler aa"), "nearest is Euler a"),
        (replace(BASE, schedule="Karas"), "nearest is Karras"),
        (replace(BASE, hires=Hires(upscaler="Latnt")), "did you mean 'Latent'"),
        (replace(BASE, clip_skip=0), "clip skip is 0"),
        (replace(BASE, clip_skip=9), "clip skip 9"),
        (replace(BASE, width=100000), "width is 100000; it lies between 0 and 16384"),
        (replace(BASE, init=Init(drawing(), 1.5)), "between 0 and 1"),
        (replace(BASE, refiner="nobody"), "nobody"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_makes_no_sense_is_refused_in_one_sentence(
    painter: Painter, request_: Request, sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        pictures(painter, request_)


def test_styles_are_merged_and_unknown_ones_named(small: Small) -> None:
    from sfumato.engine.prompt.styles import Style

    styles = {"forest": Style("forest", "{prompt} in a forest", "city")}
    with Painter(load(small("sd1")), styles=styles) as found:
        made = pictures(found, replace(BASE, styles=("forest", "forrest")))[0]
        assert made.record.prompt == "a fox in a forest"
        assert made.record.negative == "a dog, city"
        assert "there is no style forrest" in " ".join(made.notes)
        assert (np.asarray(made.image) == pixels(found, replace(
            BASE, prompt="a fox in a forest", negative="a dog, city"
        ))).all()  # fmt: skip


def spoilt(painter: Painter) -> None:
    with torch.no_grad():
        painter.model.unet.out[2].bias.fill_(float("nan"))  # pyright: ignore


def test_a_unet_that_gives_nan_is_named_with_a_likely_cause(small: Small) -> None:
    with Painter(load(small("sd1"))) as found:
        spoilt(found)
        with pytest.raises(SfumatoError, match=r"the UNet gave NaN.*prediction type") as told:
            pixels(found, BASE)
        assert "LoRA" not in str(told.value)
        with pytest.raises(SfumatoError, match=r"numbers with a CFG scale of 900$"):
            pixels(found, replace(BASE, guidance=Guidance(900)))
        with pytest.raises(
            SfumatoError, match=r"an encoded prompt that reaches .* and noise times"
        ):
            loud = replace(
                BASE, prompt="(a fox:100000)", emphasis="No norm", tuning=Tuning(noise=9)
            )
            pixels(found, loud)


def test_latents_out_of_range_are_not_blamed_on_the_vae(
    painter: Painter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sfumato.engine.painting.passes.FARTHEST", 1e3)
    with pytest.raises(SfumatoError, match=r"latents went out of range.* CFG scale of 1e\+06"):
        pixels(painter, replace(BASE, guidance=Guidance(1e6), tuning=Tuning(noise=1e6)))


@pytest.mark.parametrize(
    "request_",
    [
        replace(BASE, width=16384, height=16384),
        replace(BASE, hires=Hires(size=(16384, 0))),
        replace(BASE, hires=Hires(size=(16384, 8200))),
    ],
    ids=str,
)
def test_a_picture_that_nobody_could_wait_for_is_refused_at_once(
    painter: Painter, request_: Request
) -> None:
    with pytest.raises(UsageError, match="megapixels, and the most that is painted at once is 67"):
        pictures(painter, request_)


def test_a_picture_too_large_for_the_memory_is_refused_before_painting(
    painter: Painter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sfumato.engine.painting.room.room", lambda _: 1_000_000_000)
    with pytest.raises(Refused, match=r"4096×4096 pixels takes about 1\d? GB .* 1.0 GB are free"):
        pictures(painter, replace(BASE, width=4096, height=4096))
    assert pixels(painter, BASE).shape == (32, 32, 3)
    monkeypatch.setattr("sfumato.engine.painting.room.room", lambda _: None)
    assert pixels(painter, BASE).shape == (32, 32, 3)


def test_closing_keeps_what_is_finished(painter: Painter) -> None:
    painting = painter.paint(replace(BASE, batch=3))
    done: list[Picture] = []
    for event in painting:
        if isinstance(event, Picture):
            done.append(event)
        elif event.picture == 1:
            break
    painting.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert len(done) == 1
    assert (np.asarray(done[0].image) == pixels(painter, BASE)).all()


def test_painting_leaves_no_mode_of_torch_behind(painter: Painter) -> None:
    for _ in painter.paint(BASE):
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()


def test_prompts_are_encoded_once(painter: Painter, monkeypatch: pytest.MonkeyPatch) -> None:
    from sfumato.engine.painting import conditions

    pixels(painter, BASE)
    monkeypatch.delattr(conditions, "encode")
    pixels(painter, replace(BASE, seed=99))
    with pytest.raises(NameError):
        pixels(painter, replace(BASE, prompt="something else"))


def test_options_by_name_make_a_request(painter: Painter) -> None:
    made = painter.generate("a fox", negative="a dog", width=32, height=32, steps=2, cfg=4.0)
    assert made[0].record.fields["CFG scale"] == "4"
    with pytest.raises(UsageError, match="did you mean steps"):
        painter.generate("a fox", step=3)


def test_parts_that_are_not_at_work_leave_memory_and_change_nothing(small: Small) -> None:
    with Painter(load(small("sdxl")), offload=True) as found, Painter(load(small("sdxl"))) as all_:
        for request in (BASE, replace(BASE, hires=Hires(1.5, upscaler="Lanczos"))):
            assert (pixels(found, request) == pixels(all_, request)).all()
        held = {n.role: next(n.module.parameters()).is_meta for n in found.model.networks}
        assert held == {"unet": True, "text_encoder": True, "text_encoder_2": True, "vae": False}


def test_a_compiled_unet_is_the_one_that_paints(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[torch.nn.Module] = []
    monkeypatch.setattr(torch, "compile", lambda module: compiled.append(module) or module)
    with Painter(load(small("sd1")), compiled=True) as found:
        pixels(found, BASE)
        assert compiled == [found.model.unet]
