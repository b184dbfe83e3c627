"""Repairs, metadata, splitting and joining from the command line: warnings, refusals, statuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sfumato.app.cli import main
from sfumato.containers.arrays import tensor_from
from sfumato.containers.dtype import F16
from sfumato.containers.hashes import hash_file
from sfumato.containers.save import save
from small_models import IDS, sd1
from toys import safetensors_bytes, write

Capture = pytest.CaptureFixture[str]


def run(capsys: Capture, *arguments: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert isinstance(stopped.value.code, int)
    return stopped.value.code, captured.out, captured.err


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    save(tmp_path / "whole.safetensors", sd1(F16))
    return tmp_path / "whole.safetensors"


def with_ids(folder: Path, values: np.ndarray) -> Path:
    save(folder / "merge.safetensors", {**sd1(F16), IDS: tensor_from(values.astype("<f4")[None])})
    return folder / "merge.safetensors"


MEND = ("--fix", "position-ids", "-o")


def test_mending_wrong_position_ids_warns_that_pictures_change(
    capsys: Capture, tmp_path: Path
) -> None:
    source = with_ids(tmp_path, np.arange(77) - 0.0025)
    status, printed, complaint = run(capsys, "repair", source, *MEND, tmp_path / "b.safetensors")
    assert status == 0 and "76 were wrong" in printed
    assert "warning: pictures change" in complaint
    _, printed, _ = run(capsys, "repair", source, *MEND, tmp_path / "c.safetensors", "--json")
    assert "pictures change" in json.loads(printed)["warnings"][0]


def test_position_ids_that_were_read_rightly_are_mended_without_a_warning(
    capsys: Capture, tmp_path: Path
) -> None:
    source = with_ids(tmp_path, np.arange(77))
    status, _, complaint = run(capsys, "repair", source, *MEND, tmp_path / "b.safetensors")
    assert (status, complaint) == (0, "")


def test_wrong_wishes_are_wrong_usage(capsys: Capture, tmp_path: Path, whole: Path) -> None:
    out = tmp_path / "b.safetensors"
    status, _, complaint = run(capsys, "repair", whole, "--fix", "positions", "-o", out)
    assert status == 2 and "position-ids" in complaint
    assert run(capsys, "repair", whole, "-o", out)[0] == 2
    assert run(capsys, "split", whole)[0] == 2
    assert run(capsys, "join", whole, "-o", out)[0] == 2
    assert run(capsys, "metadata", "remove", whole, "absent", "-o", out)[0] == 2
    assert not out.exists()


@pytest.mark.parametrize("command", ["split", "join"])
def test_a_dangerous_file_and_a_web_page_are_never_split_or_joined(
    capsys: Capture, tmp_path: Path, whole: Path, command: str
) -> None:
    evil = write(tmp_path / "gift.ckpt", b"cposix\nsystem\n(S'true'\ntR.")
    page = write(tmp_path / "page.safetensors", b"<!DOCTYPE html><html><body>404</body></html>")
    out = tmp_path / ("parts" if command == "split" else "out.safetensors")
    for source, expected in ((evil, 3), (page, 4), (tmp_path / "absent.ckpt", 1)):
        sources = [source] if command == "split" else [whole, source]
        status, printed, complaint = run(capsys, command, *sources, "-o", out)
        assert (status, printed) == (expected, "") and source.name in complaint
    assert not out.exists()


def test_splitting_and_joining_dryly_write_nothing(
    capsys: Capture, tmp_path: Path, whole: Path
) -> None:
    parts = tmp_path / "parts"
    status, printed, _ = run(capsys, "split", whole, "-o", parts, "--dry-run")
    assert status == 0 and "would be kept" in printed and not parts.exists()
    assert run(capsys, "split", whole, "-o", parts)[0] == 0
    out = tmp_path / "out.safetensors"
    status, printed, _ = run(capsys, "join", *parts.iterdir(), "-o", out, "--dry-run")
    assert status == 0 and "would be kept" in printed and not out.exists()


def test_parts_and_their_union_are_not_overwritten_without_force(
    capsys: Capture, tmp_path: Path, whole: Path
) -> None:
    parts, out = tmp_path / "parts", tmp_path / "out.safetensors"
    split = ("split", whole, "-o", parts)
    assert [run(capsys, *split, *more)[0] for more in ((), (), ("--force",))] == [0, 1, 0]
    join = ("join", *sorted(parts.iterdir()), "-o", out)
    assert [run(capsys, *join, *more)[0] for more in ((), (), ("--force",))] == [0, 1, 0]


def test_an_edit_in_place_keeps_the_lora_hash_however_the_header_is_sorted(
    capsys: Capture, tmp_path: Path
) -> None:
    header = {
        "a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]},
        "z": {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]},
        "empty": {"dtype": "F32", "shape": [0], "data_offsets": [4, 4]},
    }
    path = write(tmp_path / "lora.safetensors", safetensors_bytes(header, b"abcdefgh"))
    before = hash_file(path).payload
    assert run(capsys, "metadata", "trigger", path, "inky", "--in-place")[0] == 0
    assert hash_file(path).payload == before


def test_metadata_of_a_pickle_is_shown_and_not_edited(capsys: Capture, tmp_path: Path) -> None:
    save(tmp_path / "a.ckpt", sd1(F16))
    assert run(capsys, "metadata", "show", tmp_path / "a.ckpt")[0] == 0
    status, _, complaint = run(
        capsys, "metadata", "trigger", tmp_path / "a.ckpt", "x", "--in-place"
    )
    assert status == 1 and "sfumato convert" in complaint
