"""From records to requests and back: nothing is lost in silence."""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter

import pytest
from PIL import Image

from sfumato.engine.pictures import known
from sfumato.engine.pictures.infotext import Record, read_text, write_text
from sfumato.engine.pictures.requests import Facts, from_request, to_request
from sfumato.engine.pictures.settings import ALWAYS, ORDER, SETTINGS, Setting
from sfumato.engine.pictures.unmet import SPECIAL
from sfumato.engine.pictures.used import FileUsed
from sfumato.engine.pictures.versions import version_of
from sfumato.engine.request import (
    UNIPC_ORDERS,
    Guidance,
    Hires,
    Init,
    Inpaint,
    Request,
    Tuning,
    Variation,
)
from sfumato.engine.sampling import registry
from sfumato.engine.sampling.schedules import SCHEDULES
from sfumato.errors import UsageError

MASK = Image.new("L", (8, 8))
FULL = Request(hires=Hires(), init=Init(MASK, inpaint=Inpaint(MASK)))
FILES = (
    FileUsed("checkpoint", "any", "x/any.ckpt", "ab" * 32),
    FileUsed("vae", "kl", "x/kl.pt", "cd" * 32),
    FileUsed("lora", "ink", "x/ink.safetensors", "ef" * 32, "01" * 32),
    FileUsed("embedding", "bad", "x/bad.pt", "23" * 32),
)


def facts(request: Request, **others: object) -> Facts:
    plain = Facts(
        seed=request.seed,
        width=request.width,
        height=request.height,
        sampler=request.sampler,
        schedule=request.schedule,
        prompt=request.prompt,
        negative=request.negative,
        subseed=request.variation.seed,
    )
    return replace(plain, **others)


def again(request: Request, **pictures: Image.Image) -> Request:
    text = write_text(from_request(request, facts(request)))
    found, notes = to_request(read_text(text), **pictures)
    assert notes == ()
    return found


PLAIN = Request("x", seed=1, width=8, height=8)
UNIPC = Tuning(
    unipc_order=2, unipc_variant="bh2", unipc_skip="logSNR", unipc_lower_order_final=False,
    quantize=True, old_karras=True, sgm_noise=True, discard_penultimate=True,
)  # fmt: skip
SECOND = Hires(size=(64, 0), sampler="Euler", schedule="Karras", prompt="a, b", negative="c: d")
EXAMPLES = (
    Request("a fox", "bad", steps=3, seed=2**60, width=64, height=96),
    replace(PLAIN, schedule="Karras", rng="CPU", clip_skip=2, ensd=31337),
    replace(PLAIN, prompt="(x", emphasis="No norm", comments=False, pad="v0", comma_backtrack=0),
    replace(PLAIN, pad="empty", tiling=True, sdxl_crop=(8, 16), old_schedules=True),
    replace(PLAIN, rng="GPU", zero_snr=True, half_alphas=True),
    replace(PLAIN, model="any", vae="kl", refiner="r", refiner_switch=0.6, refiner_by_steps=True),
    replace(PLAIN, guidance=Guidance(1.1, 2.0, 0.7, 0.5, True, 0.2)),
    replace(PLAIN, variation=Variation(7, 0.25, (64, 32))),
    replace(PLAIN, tuning=Tuning(0.5, 1.0, 0.1, 9.0, 1.01, 0.03, 14.0, 5.0, 0.5, 0.7)),
    replace(PLAIN, sampler="DDIM CFG++", tuning=Tuning(eta=1.0)),
    replace(PLAIN, sampler="UniPC", tuning=UNIPC),
    replace(PLAIN, hires=Hires(1.5, steps=7, denoise=0.3, upscaler="Lanczos")),
    replace(PLAIN, hires=SECOND),
)


@pytest.mark.parametrize("request_", EXAMPLES)
def test_a_request_comes_back_from_its_own_text(request_: Request) -> None:
    assert again(request_) == request_


@pytest.mark.parametrize("whole", [True, False])
def test_a_request_with_a_mask_comes_back_when_the_pictures_are_given(whole: bool) -> None:
    inpaint = Inpaint(
        MASK, (3, 5), True, "latent noise", whole, 32 if whole else 9, False, 0.5, False
    )
    init = Init(MASK, 0.4, "fill", inpaint, 1.1, 0.2, True, True)
    request = Request("x", seed=1, width=8, height=8, init=init, hires=Hires(denoise=0.6))
    assert again(request, image=MASK, mask=MASK) == request


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.key)
def test_every_setting_is_a_field_whose_default_goes_without_saying(setting: Setting) -> None:
    value: object = attrgetter(setting.path)(FULL)
    assert setting.key in ORDER
    assert setting.default is ALWAYS or value == setting.default
    assert value is None or setting.value(setting.text(value)) == value


def test_every_key_in_the_order_is_read_or_known_to_be_quiet() -> None:
    notes = to_request(Record("", "", dict.fromkeys(ORDER, "?")))[1]
    assert not [note for note in notes if "is not known here" in note]
    assert not {setting.key for setting in SETTINGS} & set(SPECIAL)


def test_keys_stand_in_the_order_of_a1111_and_files_by_their_hashes() -> None:
    request = Request("x (y)", "z", seed=5, width=64, height=32, clip_skip=2)
    assert write_text(from_request(request, facts(request, schedule="Karras", files=FILES))) == (
        "x (y)\nNegative prompt: z\n"
        "Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 5, Size: 64x32, "
        "Model hash: ababababab, Model: any, VAE hash: cdcdcdcdcd, VAE: kl, Clip skip: 2, RNG: NV, "
        'Lora hashes: "ink: 010101010101", TI hashes: "bad: 232323232323", Version: Sfumato 0.1.0, '
        'Hashes: {"model": "ababababab", "vae": "cdcdcdcdcd", "lora:ink": "efefefefef", '
        '"embed:bad": "2323232323"}'
    )


def test_foreign_fields_stand_before_the_version() -> None:
    request = Request(seed=1, width=8, height=8)
    record = from_request(request, facts(request, extra={"Mine": "1", "Script": "X/Y/Z plot"}))
    assert list(record.fields)[-3:] == ["Script", "Mine", "Version"]


def test_ensd_is_told_where_it_has_a_part() -> None:
    request = Request(seed=1, width=8, height=8, ensd=31337)
    assert from_request(request, facts(request)).fields["ENSD"] == "31337"
    assert "ENSD" not in from_request(request, facts(request, ensd_used=False)).fields


def test_a_sampler_without_schedules_says_automatic() -> None:
    request = Request(seed=1, width=8, height=8, sampler="DDIM", schedule="Karras")
    assert from_request(request, facts(request, schedule="")).fields["Schedule type"] == "Automatic"


def asked(fields: str) -> tuple[Request, tuple[str, ...]]:
    return to_request(read_text(f"a [fox:wolf:3]\nSteps: 20, Seed: 1, Sampler: DDIM, {fields}"))


def test_noise_of_a_gpu_is_had_anywhere() -> None:
    assert asked("Size: 64x64")[0].rng == "NV"
    assert asked("RNG: CPU")[0].rng == "CPU"
    assert asked("RNG: GPU")[0].rng == "NV"


@pytest.mark.parametrize(
    ("version", "old", "pad", "half"),
    [
        ("v1.5.2", True, "v0", True),
        ("v1.6.0", False, "none", True),
        ("v1.7.0-224-gabc", False, "none", True),
        ("v1.7.0-225-gabc", False, "none", False),
        ("v1.10.1", False, "none", False),
        ("f2.0.1v1.10.1-previous-669-gdfdcbab6", False, "none", False),
        ("Sfumato 0.1.0", False, "none", False),
    ],
)
def test_old_versions_mean_other_things(version: str, old: bool, pad: str, half: bool) -> None:
    request = asked(f"Version: {version}")[0]
    assert (request.old_schedules, request.pad, request.half_alphas) == (old, pad, half)


def test_without_a_version_no_rule_applies() -> None:
    request = asked("Size: 64x64")[0]
    assert (request.old_schedules, request.pad, request.half_alphas) == (False, "none", False)


def test_versions_are_ordered_by_their_numbers() -> None:
    assert version_of("v1.7.0-225-gabc") == (1, 7, 0, 225)
    assert version_of("v1.10.1") == (1, 10, 1, 0)
    assert version_of("ComfyUI") is None


@pytest.mark.parametrize("version", ["ComfyUI v0.3.10", "Sfumato 0.1.0", "neo v1.2.3", "1.5.0"])
def test_the_version_of_another_program_is_none_of_a1111s(version: str) -> None:
    assert version_of(version) is None
    assert not asked(f"Version: {version}")[0].half_alphas


@pytest.mark.parametrize("version", ["f2.0.1v1.10.1-previous-669-gdfdcbab6", "f1.0.0-v2-v1.10.1RC"])
def test_forge_names_the_version_of_a1111_behind_its_own(version: str) -> None:
    assert version_of(version) == (1, 10, 1, 0)


def test_an_order_of_unipc_that_may_be_asked_for_is_read_back() -> None:
    request = replace(PLAIN, sampler="UniPC", tuning=Tuning(unipc_order=UNIPC_ORDERS))
    assert again(request) == request


def test_the_plain_name_of_a_sampler_was_the_uniform_schedule_before_1_9() -> None:
    line = "Steps: 20, Sampler: DPM++ 2M, Seed: 1, Version: "
    assert to_request(read_text(line + "v1.8.0"))[0].schedule == "Uniform"
    assert to_request(read_text(line + "v1.9.0"))[0].schedule == "Automatic"
    assert to_request(read_text(line + "v1.8.0, Schedule type: Karras"))[0].schedule == "Karras"


def test_the_legacy_name_of_a_sampler_stays_as_it_is() -> None:
    line = "Steps: 20, Sampler: DPM++ 2M Karras, Seed: 1, Version: v1.8.0"
    request = to_request(read_text(line))[0]
    assert (request.sampler, request.schedule) == ("DPM++ 2M Karras", "Automatic")


def test_hypernetworks_and_additional_networks_become_tags() -> None:
    request, notes = asked(
        "Hypernet: oil, Hypernet strength: 0.5, AddNet Enabled: True, AddNet Module 1: LoRA, "
        "AddNet Model 1: ink(a1b2c3), AddNet Weight A 1: 0.7, AddNet Weight B 1: 0.7"
    )
    assert request.prompt.endswith("<hypernet:oil:0.5><lora:ink:0.7>") and notes == ()


def test_an_old_second_pass_is_todays() -> None:
    request, _ = asked("Size: 1024x1024, First pass size: 0x0, Denoising strength: 0.6")
    assert (request.width, request.height) == (512, 512)
    assert request.hires == Hires(size=(1024, 1024), denoise=0.6)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ("Face restoration: CodeFormer", "restored by CodeFormer"),
        ("Hires upscale: 2, Hires upscaler: 4x-UltraSharp", "4x-UltraSharp"),
        ("Soft inpainting enabled: True", "soft inpainting"),
        ("Token merging ratio: 0.5", "merged (0.5)"),
        ("Denoising strength: 0.6", "another picture (strength 0.6)"),
        ("Mask blur: 4", "within a mask"),
        ("Mystery: 5", "Mystery: 5 is not known"),
        ("CFG scale: seven", "'seven' is no number"),
        ("Clip skip: 1e9", "no whole number from 1 to 64"),
        ("Size: 99999x99999", "at most 16384"),
        ("RNG: dice", "not one of NV, CPU, GPU"),
        ("VAE Decoder: TAESD", "decoded by TAESD"),
        ("ControlNet 0: \"a, b\"", "ControlNet"),
    ],
)  # fmt: skip
def test_what_cannot_be_honoured_is_said(fields: str, said: str) -> None:
    notes = asked(fields)[1]
    assert len(notes) == 1 and said in notes[0]


def test_an_unknown_upscaler_is_replaced_by_a_known_one() -> None:
    request = asked("Hires upscale: 2, Hires upscaler: R-ESRGAN 4x+")[0]
    assert request.hires is not None and request.hires.upscaler == "Lanczos"


FORGE = "Sampler: DDPM, Schedule type: Turbo, Hires upscale: 2, Hires upscaler: Latent"


def test_samplers_and_schedules_of_forge_give_way_to_known_ones_and_that_is_said() -> None:
    line = f"Steps: 9, Seed: 1, {FORGE}, Hires sampler: DDPM, Hires schedule type: Turbo"
    request, notes = to_request(read_text(line))
    assert request.hires is not None
    assert (request.sampler, request.schedule) == ("Euler a", "Automatic")
    assert (request.hires.sampler, request.hires.schedule) == ("Euler a", "Automatic")
    assert notes[:2] == (
        "Sampler: DDPM is not to be had here; Euler a is used",
        "Schedule type: Turbo is not to be had here; Automatic is used",
    )


def test_the_names_that_are_known_are_those_of_the_registry() -> None:
    assert {s.name: s.aliases for s in registry.SAMPLERS} == {n: (*a,) for n, *a in known.SAMPLERS}
    titles = [(schedule.name, schedule.alias) for schedule in SCHEDULES]
    assert [entry[:2] for entry in known.SCHEDULES] == titles
    short = {(f"_{short}", name) for name, _, *rest in known.SCHEDULES for short in rest}
    assert short == set(registry.SHORT)
    assert known.AUTOMATIC == registry.AUTOMATIC


@pytest.mark.parametrize("name", ["DPM++ 2M Karras", "k_dpmpp_2m_ka", " euler  A ", "DDPM"])
def test_what_is_known_is_what_is_found(name: str) -> None:
    try:
        registry.find_sampler(name)
    except UsageError:
        assert not known.knows_sampler(name)
    else:
        assert known.knows_sampler(name)


def test_notes_cannot_drive_a_terminal() -> None:
    notes = asked("Myst: \x1b[31mred, Face restoration: \x1b[0m, Size: \x1b")[1]
    assert len(notes) == 3 and "\x1b" not in "".join(notes)


def test_what_says_the_same_without_it_is_no_news() -> None:
    fields = (
        'Model hash: a1b2, Lora hashes: "x: y", User: me, VAE Encoder: Full, Emphasis: Original'
    )
    assert asked(fields)[1] == ()


def test_names_of_models_lose_their_hash() -> None:
    request = asked("Refiner: sd_xl_refiner_1.0 [7440042bbd], Model: any")[0]
    assert (request.refiner, request.model) == ("sd_xl_refiner_1.0", "any")
