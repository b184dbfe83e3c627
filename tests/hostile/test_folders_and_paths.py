"""Folders and paths that lead in circles, nowhere, or deeper than a stack: never a traceback."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sfumato.containers.discover import discover
from sfumato.containers.folders.write import write_folder
from sfumato.containers.open import open_model
from sfumato.errors import Damaged, NotAModel, Refused, SfumatoError, Unreadable
from toys import random_tensors, safetensors_bytes, write

HONEST = safetensors_bytes({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}, b"abcd")
UNET = "unet/diffusion_pytorch_model.safetensors"


def pipeline(folder: Path, **index: object) -> Path:
    write(folder / "model_index.json", json.dumps({"unet": ["a", "b"], **index}).encode())
    return folder


@pytest.mark.row(7)
@pytest.mark.parametrize(
    "path", ["x" * 252, "x" * 5000, "/" + "x/" * 3000, "\ud800", "a\0b", "\x1b[2J\n"]
)
def test_a_path_that_cannot_be_is_unreadable(tmp_path: Path, path: str) -> None:
    with pytest.raises(Unreadable) as caught:
        open_model(tmp_path / path)
    assert str(caught.value).isprintable()


@pytest.mark.row(73)
def test_an_index_of_names_too_long_for_files_is_damaged(tmp_path: Path) -> None:
    index = {"weight_map": {"a": "x" * 5000 + ".safetensors"}}
    write(tmp_path / "m.safetensors.index.json", json.dumps(index).encode())
    with pytest.raises(Damaged, match="parts are missing"):
        open_model(tmp_path / "m.safetensors.index.json")


@pytest.mark.row(7, 73)
def test_a_part_that_is_a_pipe_or_device_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.safetensors")
    (tmp_path / "zero.safetensors").symlink_to("/dev/zero")
    for part in ("pipe", "zero"):
        index = {"weight_map": {"a": f"{part}.safetensors"}}
        path = write(tmp_path / f"{part}.safetensors.index.json", json.dumps(index).encode())
        with pytest.raises(Damaged, match="missing"):
            open_model(path)


@pytest.mark.row(7)
def test_links_in_circles_end(tmp_path: Path) -> None:
    folder = pipeline(tmp_path / "a")
    (folder / "unet").symlink_to(".")
    (folder / "vae").symlink_to("vae")
    (folder / "config.json").symlink_to("config.json")
    with pytest.raises(NotAModel, match="without weights"):
        open_model(folder)
    (tmp_path / "self.pt").symlink_to("self.pt")
    with pytest.raises(Unreadable, match="cannot be opened"):
        open_model(tmp_path / "self.pt")


def test_components_that_lead_elsewhere_are_not_followed(tmp_path: Path) -> None:
    write(tmp_path / "outside" / "diffusion_pytorch_model.safetensors", HONEST)
    folder = pipeline(tmp_path / "a", **{"../outside": ["a", "b"], "..": ["a", "b"], "/etc": ["a"]})
    write(folder / UNET, HONEST)
    with open_model(folder) as model:
        assert list(model) == ["unet.a"]
        assert all(note.isprintable() for note in model.notes)


def test_a_folder_of_ten_thousand_others_is_opened(tmp_path: Path) -> None:
    folder = pipeline(tmp_path / "a")
    write(folder / UNET, HONEST)
    for number in range(10_000):
        (folder / "unet" / f"diffusion_pytorch_model.v{number}.safetensors").touch()
    for number in range(2000):
        (folder / f"{number}").mkdir()
    with open_model(folder) as model:
        assert list(model) == ["unet.a"]
        assert max(map(len, model.notes)) < 1000


@pytest.fixture
def abyss(tmp_path: Path) -> Iterator[Path]:
    """A folder with a file far below: its whole path is too long to be used at once."""
    home = Path.cwd()
    os.chdir(tmp_path)
    for _ in range(1200):
        Path("a").mkdir()
        os.chdir("a")
    Path("deep.ckpt").touch()
    os.chdir(home)
    yield tmp_path
    # pytest cannot: it would recurse
    os.chdir(tmp_path)
    for _ in range(1200):
        os.chdir("a")
    Path("deep.ckpt").unlink()
    for _ in range(1200):
        os.chdir("..")
        Path("a").rmdir()
    os.chdir(home)


def test_folders_deeper_than_the_stack_are_walked(abyss: Path) -> None:
    assert [path.name for path in discover(abyss)] == ["deep.ckpt"]


def test_a_walk_meets_each_folder_once_and_tells_those_it_may_not_enter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a.ckpt", HONEST)
    (tmp_path / "up").symlink_to("..")
    write(tmp_path / "closed" / "b.ckpt", HONEST)
    listed = Path.iterdir

    def iterdir(path: Path) -> object:
        if path.name == "closed":
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert [path.name for path in discover(tmp_path)] == ["a.ckpt", "closed"]
    with pytest.raises(Unreadable, match="cannot be listed: Permission denied"):
        open_model(tmp_path / "closed")


@pytest.mark.row(65)
@pytest.mark.parametrize("name", ["../x.w", "/abs.w", "a/b.w", "..", "unet.", ".w", "", "\0.w"])
def test_no_component_leads_out_of_the_folder_that_is_written(tmp_path: Path, name: str) -> None:
    tensor = random_tensors({"a": (2,)})["a"]
    with pytest.raises(Refused, match="does not begin with a component"):
        write_folder(tmp_path / "out", {name: tensor}, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.row(65)
def test_components_that_differ_in_case_alone_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="are one folder where case"):
        write_folder(tmp_path / "out", random_tensors({"unet.a": (2,), "UNET.a": (2,)}), {})


@pytest.mark.row(21, 65)
def test_texts_become_files_only_under_plain_names(tmp_path: Path) -> None:
    texts = {"../x.json": "1", "/x.json": "2", "a/../b.json": "3", "unet/config.json": "{}"}
    write_folder(tmp_path / "out", random_tensors({"unet.a": (2,)}), texts)
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.json")}
    assert names == {"out/unet/config.json"}


@pytest.mark.row(72)
def test_a_part_that_becomes_short_is_told_of(tmp_path: Path) -> None:
    folder = pipeline(tmp_path / "a")
    path = write(folder / UNET, HONEST)
    with open_model(folder) as model:
        os.truncate(path, path.stat().st_size - 2)
        with pytest.raises(SfumatoError, match="while it was being read"):
            model["unet.a"].read()
