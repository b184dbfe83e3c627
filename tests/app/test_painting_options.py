"""What the options of the painting commands mean: each changes what it says, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from PIL import Image

from sfumato.app.cli.painting.asked import asked
from sfumato.app.cli.painting.files import named, path_in, shelf_of
from sfumato.app.cli.painting.output import output
from sfumato.app.cli.painting.setting import Setting
from sfumato.app.cli.painting.settings import REQUEST
from sfumato.engine.request import Request
from sfumato.errors import NotAModel, OutputExists, Refused, SfumatoError, Unreadable, UsageError

COMMAND = click.Command("paint", params=[setting.option() for setting in REQUEST])

OFF = ("comments", "whole_picture", "mask_round", "overlay", "unipc_lower_last")
"""switches that are on by themselves"""


def given(*words: str) -> dict[str, Any]:
    return COMMAND.make_context("paint", list(words)).params


def request(*words: str) -> Request:
    return asked(given(*words), "a fox").request


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.new("RGB", (16, 8), (255, 0, 0)).save(tmp_path / "init.png")
    return tmp_path / "init.png"


def test_without_options_the_request_has_its_defaults() -> None:
    assert request() == Request(prompt="a fox")


def test_no_two_options_have_one_flag() -> None:
    flags = [flag for s in REQUEST for word in s.flags.split() for flag in word.split("/")]
    assert len(set(flags)) == len(flags)


def words_for(setting: Setting) -> list[str]:
    """The flag with a value that is not the default."""
    flag, type_ = setting.flags.split()[-1], setting.option().type
    if setting.kind is None:
        on, _, off = flag.partition("/")
        return [off if setting.name in OFF else on]
    if isinstance(type_, click.IntRange):
        return [flag, "2"]
    if "|" in type_.name:
        return [flag, type_.name.rpartition("|")[2]]
    scale = setting.flags == "--hires"
    return [flag, "3" if scale else {"number": "0.5", "WxH": "64x96"}.get(type_.name, "7x3")]


@pytest.mark.parametrize("setting", [s for s in REQUEST if s.put is not None], ids=lambda s: s.name)
def test_every_option_changes_the_request(setting: Setting, picture: Path) -> None:
    before = ["--init", str(picture), "--mask", str(picture), "--hires", "2"]
    base, changed = request(*before), request(*before, *words_for(setting))
    plain = (base.init, changed.init)
    assert repr(base) != repr(changed), words_for(setting)
    assert all(start is not None and start.image is not None for start in plain)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--steps", "0"], "range"),
        (["--cfg", "nan"], "no number"),
        (["--cfg", "much"], "no number"),
        (["--denoise", "2"], "out of bounds"),
        (["--size", "512"], "WIDTHxHEIGHT"),
        (["--size", "4x4"], "8 to"),
        (["--rng", "TPU"], "NV"),
        (["--clip-skip", "13"], "range"),
        (["--seed", "-2"], "range"),
        (["--mask-blur", "soft"], "radius"),
        (["--denoise", "0.5"], "--init"),
        (["--resize", "crop"], "--init"),
        (["--mask", "mask.png"], "--init|mask.png"),
        (["--lora", "a<b"], "cannot be named"),
    ],
)
def test_wrong_options_are_refused_with_their_reason(words: list[str], why: str) -> None:
    with pytest.raises((click.UsageError, SfumatoError), match=why):
        request(*words)


def test_denoise_is_the_second_pass_where_no_picture_is_given(picture: Path) -> None:
    hires = request("--hires", "2", "--denoise", "0.4").hires
    assert hires is not None and hires.denoise == 0.4
    both = request("--init", str(picture), "--hires", "2", "--denoise", "0.4")
    assert both.init is not None and both.init.denoise == 0.4
    assert both.hires is not None and both.hires.denoise != 0.4


def test_any_option_of_the_second_pass_asks_for_one() -> None:
    hires = request("--hires-steps", "7").hires
    assert hires is not None and hires.steps == 7


def test_adapters_become_tags_of_the_prompt(tmp_path: Path) -> None:
    (tmp_path / "glow.pt").write_bytes(b"")
    words = ["--lora", "ink", "--lora", "old:0.5:1", "--hypernetwork", f"{tmp_path}/glow.pt:0.5"]
    assert request(*words).prompt == "a fox <lora:ink:1> <lora:old:0.5:1> <hypernet:glow:0.5>"


def test_a_path_with_a_weight_is_a_file_and_a_bare_name_is_a_name(tmp_path: Path) -> None:
    path = tmp_path / "ink.safetensors"
    path.write_bytes(b"")
    assert path_in(f"{path}:0.5") == path == path_in(str(path))
    assert named(f"{path}:0.5") == "ink:0.5" and named(str(path)) == "ink"
    assert path_in("ink:0.5") is None and named("ink:0.5") == "ink:0.5"
    assert shelf_of(given("--lora", f"{path}:0.5")).find("lora", "ink") == path


def test_an_embedding_that_is_no_file_is_refused() -> None:
    with pytest.raises(UsageError, match="no such embedding"):
        shelf_of(given("--embedding", "moonglade"))


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (None, Unreadable),
        (b"", NotAModel),
        (b"\x89PNG\r\n\x1a\n1234", NotAModel),
        (b"x" * 99, NotAModel),
    ],
)
def test_a_picture_that_is_none_is_refused_in_one_sentence(
    tmp_path: Path, content: bytes | None, error: type[SfumatoError]
) -> None:
    if content is not None:
        (tmp_path / "init.png").write_bytes(content)
    with pytest.raises(error) as told:
        request("--init", str(tmp_path / "init.png"))
    assert "\n" not in str(told.value)


def test_pictures_are_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    Image.new("RGB", (16, 8)).save(tmp_path / "turned.jpg", exif=exif)
    init = request("--init", str(tmp_path / "turned.jpg")).init
    assert init is not None and init.image.size == (8, 16)


def test_a_target_with_a_picture_s_ending_is_a_file(tmp_path: Path) -> None:
    one = output(str(tmp_path / "a.webp"), None, many=1, force=False)
    assert not one.folder and one.path(0) == tmp_path / "a.webp"
    several = output(str(tmp_path / "a.png"), None, many=2, force=False)
    assert [several.path(i).name for i in range(2)] == ["a-1.png", "a-2.png"]
    assert output(str(tmp_path / "new"), "jpeg", many=2, force=False).suffix == ".jpg"
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["a.gif", "a.TIFF", "a.avif", "a.pngg", "a.jpe"])
def test_endings_of_pictures_that_are_not_written_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(click.UsageError, match=r"pictures end in \.png, \.webp, \.jpg, \.jpeg"):
        output(str(tmp_path / name), None, many=1, force=False)


def test_a_folder_may_have_a_dot_in_its_name_and_any_name_where_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "old.gif").mkdir()
    for name in ("v1.5", "new.gif/", "old.gif"):
        assert output(f"{tmp_path}/{name}", None, many=1, force=False).folder


def test_targets_that_cannot_be_written_are_refused_before_painting(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "a-2.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_bytes(b"")
    for target, many, error in (
        ("a.png", 1, OutputExists), ("a.png", 2, OutputExists), ("no/b.png", 1, Refused),
        ("notes.txt", 1, Refused),
    ):  # fmt: skip
        with pytest.raises(error):
            output(str(tmp_path / target), None, many=many, force=False)
    assert output(str(tmp_path / "a.png"), None, many=2, force=True).many
    with pytest.raises(click.UsageError, match="ending says png"):
        output(str(tmp_path / "c.png"), "webp", many=1, force=False)
