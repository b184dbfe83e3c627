"""Paths that painting is given: pipes, devices, folders, homes of nobody, names without end."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from PIL import Image

from sfumato.app.cli.painting.asked import asked
from sfumato.app.cli.painting.files import shelf_of
from sfumato.app.cli.painting.output import output
from sfumato.app.cli.painting.run import preview_path
from sfumato.app.cli.painting.settings import REQUEST
from sfumato.engine.pictures.masks import mask_of
from sfumato.engine.pictures.opening import open_image
from sfumato.engine.prompt import styles
from sfumato.errors import NoRoom, OutputExists, Refused, Unreadable, UsageError
from sfumato.library import folders
from sfumato.library.find import Shelf
from toys import write

COMMAND = click.Command("paint", params=[setting.option() for setting in REQUEST])
LONG = "x" * 300

unix = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")


def given(*words: str) -> dict[str, Any]:
    return COMMAND.make_context("paint", list(words)).params


def pipe(folder: Path, name: str) -> str:
    os.mkfifo(folder / name)
    return str(folder / name)


@unix
@pytest.mark.parametrize("option", ["--init", "--mask"])
def test_a_picture_to_start_from_that_is_a_pipe_is_not_waited_for(
    tmp_path: Path, option: str
) -> None:
    with pytest.raises(Unreadable, match="is a pipe, not a file"):
        asked(given(option, pipe(tmp_path, "a.png")), "a fox")
    with pytest.raises(Unreadable, match="is a device or socket, not a file"):
        asked(given(option, os.devnull), "a fox")


@pytest.mark.parametrize("option", ["--init", "--mask"])
def test_an_empty_name_of_a_picture_is_wrong_usage(option: str) -> None:
    with pytest.raises(click.UsageError, match="name a picture"):
        asked(given(option, ""), "a fox")


def test_colours_that_are_seen_through_are_opened_without_a_warning(tmp_path: Path) -> None:
    picture = Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4), "P")
    picture.putpalette(bytes(range(48)))
    picture.save(tmp_path / "a.png", transparency=bytes(16))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened = open_image(str(tmp_path / "a.png"))
        assert opened.mode == "RGBA" and mask_of(opened).getextrema() == (0, 0)


def test_a_mask_in_lab_is_as_bright_as_its_colours() -> None:
    light = Image.new("LAB", (2, 2), (255, 128, 128))
    assert mask_of(light).getpixel((0, 0)) == light.convert("RGB").convert("L").getpixel((0, 0))


@unix
def test_styles_from_a_pipe_a_device_or_beyond_all_size_are_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (pipe(tmp_path, "a.csv"), "/dev/zero", str(tmp_path)):
        with pytest.raises(Unreadable, match="not a file"):
            styles.read_styles([path])
    (tmp_path / "b.csv").write_text("name,prompt,negative_prompt\n")
    monkeypatch.setattr(styles, "MOST", 9)
    with pytest.raises(Unreadable, match="too many for styles"):
        styles.read_styles([tmp_path / "b.csv"])


@unix
@pytest.mark.parametrize("option", ["--lora", "--hypernetwork", "--embedding"])
def test_an_adapter_s_path_says_what_is_there_where_that_is_no_file(
    tmp_path: Path, option: str
) -> None:
    (tmp_path / "loop.pt").symlink_to(tmp_path / "loop.pt")
    (tmp_path / "astray.pt").symlink_to(tmp_path / "nowhere.pt")
    for name, what in (
        (str(tmp_path), "is a folder, not a file"), (pipe(tmp_path, "a.pt"), "is a pipe"),
        (os.devnull, "is a device"), (f"{tmp_path}/loop.pt", "cannot be opened"),
        (f"{tmp_path}/astray.pt", "nowhere.pt, which does not exist"),
    ):  # fmt: skip
        for weight in ("", ":0.5"):
            with pytest.raises(Unreadable, match=what):
                shelf_of(given(option, name + weight))


@pytest.mark.parametrize("kind", ["checkpoint", "vae"])
def test_a_folder_that_is_no_model_is_named_so_unless_the_shelf_has_its_name(
    tmp_path: Path, kind: folders.Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.five").mkdir()
    with pytest.raises(Unreadable, match="is a folder, not a file"):
        Shelf().resolve(kind, "one.five")
    with pytest.raises(UsageError, match="there is no"):
        Shelf().resolve(kind, "one.five", paths=False)
    write(tmp_path / "shelf/vae/one.five.pt", b"")
    write(tmp_path / "shelf/checkpoints/one.five.pt", b"")
    assert Shelf((tmp_path / "shelf",)).find(kind, "one.five").name == "one.five.pt"


@pytest.mark.parametrize("option", ["--lora", "--embedding", "--models"])
def test_the_home_of_nobody_holds_nothing(option: str) -> None:
    with pytest.raises(UsageError, match=r"there is no|is no folder"):
        shelf_of(given(option, "~nobodyatall/x.pt"))


def test_the_home_of_nobody_is_no_shelf_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SFUMATO_MODELS", "~nobodyatall/x")
    with pytest.raises(UsageError, match="there is no checkpoint"):
        Shelf.from_environment().resolve("checkpoint", "~nobodyatall/x.pt")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="this system has no /proc")
def test_the_system_s_own_files_are_not_searched_for_models(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no models"):
        Shelf.from_environment(["/proc"])
    (tmp_path / "linked").symlink_to("/proc")
    assert not Shelf((tmp_path, Path("/proc"))).all("checkpoint")


def test_a_folder_of_more_files_than_can_be_looked_at_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        write(tmp_path / f"{number}/{number}.txt", b"")
    monkeypatch.setattr(folders, "MOST", 7)
    with pytest.raises(UsageError, match="more than 7 files: name the folder"):
        Shelf((tmp_path,)).all("checkpoint")


@pytest.mark.parametrize("target", [LONG, f"{LONG}.png", f"{LONG}/a.png", f"a/{LONG}"])
def test_a_target_of_a_longer_name_than_disks_take_is_refused(tmp_path: Path, target: str) -> None:
    with pytest.raises(Refused):
        output(str(tmp_path / target), None, many=1, force=True)
    with pytest.raises(Refused):
        preview_path({"preview": f"{tmp_path}/{target.removesuffix('.png')}.png"}, Shelf())


def test_numbers_that_make_a_name_too_long_are_counted(tmp_path: Path) -> None:
    name = str(tmp_path / f"{'x' * 250}.png")
    assert output(name, None, many=1, force=False).path(0).name == f"{'x' * 250}.png"
    with pytest.raises(Refused, match="too long"):
        output(name, None, many=2, force=False)


def test_an_empty_target_is_wrong_usage() -> None:
    with pytest.raises(click.UsageError, match="name a file or a folder"):
        output("", None, many=1, force=False)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="this system has no /proc")
@pytest.mark.parametrize("target", ["/proc/a.png", "/proc", "/proc/new/folder"])
def test_a_place_where_no_file_can_be_made_is_refused_before_painting(target: str) -> None:
    with pytest.raises(Refused, match="cannot be written"):
        output(target, None, many=1, force=True)


@pytest.mark.parametrize("target", ["a.png", "new"])
def test_a_full_disk_is_told_before_painting(
    tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 0))  # pyright: ignore
    with pytest.raises(NoRoom, match="free"):
        output(str(tmp_path / target), None, many=1, force=False)
    with pytest.raises(NoRoom, match="free"):
        preview_path({"preview": str(tmp_path / "p.png")}, Shelf())


def test_trying_a_place_leaves_nothing_there(tmp_path: Path) -> None:
    output(str(tmp_path / "a.png"), None, many=3, force=False)
    output(str(tmp_path / "new"), None, many=1, force=False)
    preview_path({"preview": str(tmp_path / "p.png")}, Shelf())
    assert not list(tmp_path.iterdir())


@unix
def test_a_pipe_is_not_replaced_by_a_picture(tmp_path: Path) -> None:
    target = pipe(tmp_path, "a.png")
    with pytest.raises(OutputExists):
        output(target, None, many=1, force=False)
    with pytest.raises(Refused, match="device or pipe"):
        output(target, None, many=1, force=True)
