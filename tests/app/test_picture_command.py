"""`sfumato picture`: what made a picture, for people, for programs, and for pasting."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from foreign_pictures import GRAPH, png
from sfumato.app.cli import main

Capture = pytest.CaptureFixture[str]

TEXT = (
    "a fox <lora:ink:0.8>\nin snow\nNegative prompt: bad\nSteps: 20, Sampler: Euler a, "
    "CFG scale: 7, Seed: 42, Size: 512x768, Model hash: a1b2c3d4e5, Model: any, "
    'Face restoration: GFPGAN, Lora hashes: "ink: 0123456789ab", Version: v1.10.1'
)


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")


def run(capsys: Capture, *arguments: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(["picture", *map(str, arguments)])
    captured = capsys.readouterr()
    assert isinstance(stopped.value.code, int)
    return stopped.value.code, captured.out, captured.err


def test_a_page_says_what_made_a_picture(capsys: Capture, tmp_path: Path) -> None:
    status, out, _ = run(capsys, png(tmp_path / "a.png", {"parameters": TEXT}))
    assert status == 0
    for part in ("AUTOMATIC1111", "a fox <lora:ink:0.8>", "512x768", "sha256 a1b2c3d4e5", "autov3"):
        assert part in out
    assert "→ faces were restored by GFPGAN, which is not done here" in " ".join(out.split())


def test_the_text_is_that_of_the_file(capsys: Capture, tmp_path: Path) -> None:
    assert run(capsys, "--text", png(tmp_path / "a.png", {"parameters": TEXT}))[1] == TEXT + "\n"


def test_a_graph_is_told_in_the_words_of_a1111(capsys: Capture, tmp_path: Path) -> None:
    out = run(capsys, "--text", png(tmp_path / "a.png", {"prompt": GRAPH}))[1]
    assert out.splitlines()[1] == "Negative prompt: bad" and "Sampler: DPM++ 2M" in out


def test_json_has_it_all(capsys: Capture, tmp_path: Path) -> None:
    path = png(tmp_path / "a.png", {"parameters": TEXT})
    answer = json.loads(run(capsys, "--json", path)[1])
    assert answer["prompt"] == "a fox <lora:ink:0.8>\nin snow" and answer["raw"] == TEXT
    assert answer["settings"]["Seed"] == "42"
    assert [(f["kind"], f["name"], f["sha256"] or f["autov3"]) for f in answer["files"]] == [
        ("checkpoint", "any", "a1b2c3d4e5"),
        ("lora", "ink", "0123456789ab"),
    ]
    assert len(answer["not_honoured"]) == 1
    assert len(json.loads(run(capsys, "--json", path, path)[1])) == 2


def test_a_picture_that_says_nothing_is_status_one_and_stops_no_other(
    capsys: Capture, tmp_path: Path
) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "b.png")
    path = png(tmp_path / "a.png", {"parameters": TEXT})
    status, out, err = run(capsys, tmp_path / "b.png", path)
    assert status == 1 and "does not say how it was made" in err and "a fox" in out
    assert json.loads(run(capsys, "--json", tmp_path / "b.png")[1])["program"] is None


def test_what_is_no_picture_is_status_four_and_what_is_not_there_one(
    capsys: Capture, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(b"PK\3\4")
    assert run(capsys, tmp_path / "a.png")[0] == 4
    status, _, err = run(capsys, tmp_path / "c.png")
    assert status == 1 and "Traceback" not in err


@pytest.mark.parametrize("option", [(), ("--text",), ("--json",)])
def test_no_text_of_a_picture_can_drive_a_terminal(
    capsys: Capture, tmp_path: Path, option: tuple[str, ...]
) -> None:
    bad = "\x1b[31mred \u202e\x9b"
    text = f"{bad}\nNegative prompt: {bad}\nSteps: 1, Seed: {bad}, Sampler: {bad}, Odd: {bad}"
    _, out, err = run(capsys, *option, png(tmp_path / "a.png", {"parameters": text}))
    assert not {"\x1b", "\u202e", "\x9b"} & set(out + err)
