"""`sfumato grid`: the sheet, its record, what it says before and after, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sfumato.app.cli import main
from sfumato.engine import loading
from sfumato.engine.painter import Painter
from sfumato.engine.pictures.picture import Picture
from sfumato.engine.progress import Progress
from sfumato.engine.request import Request

Capture = pytest.CaptureFixture[str]

SMALL = ("--size", "32x32", "--steps", "1", "--seed", "5", "--sampler", "Euler")


def run(capsys: Capture, *arguments: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(["grid", *map(str, arguments)])
    captured = capsys.readouterr()
    assert isinstance(stopped.value.code, int)
    return stopped.value.code, captured.out, captured.err


def answer(capsys: Capture, *arguments: str | Path, status: int = 0) -> Any:  # noqa: ANN401
    ended, out, err = run(capsys, *arguments, "--json")
    assert ended == status, err
    return json.loads(out)


def parameters(path: Path) -> str:
    with Image.open(path) as image:
        return image.info["parameters"]


def test_a_sheet_holds_every_cell_and_says_its_axes(
    capsys: Capture, studio: Path, tmp_path: Path
) -> None:
    out = tmp_path / "grid.png"
    axes = ("-x", "cfg: 4-10 (+3)", "-y", "s/r: fox, wolf", "-z", "lora: none, ink:0.5")
    status, printed, told = run(capsys, "a fox", "--models", studio, *SMALL, *axes, "-o", out)
    assert (status, printed) == (0, f"{out}\n")
    assert "columns: CFG Scale: 4, 7, 10" in told and "12 cells, 12 steps" in told
    text = parameters(out)
    assert "Script: X/Y/Z plot, X Type: CFG Scale, X Values: 4-10 (+3)" in text
    assert 'Y Type: Prompt S/R, Y Values: "fox, wolf", Z Type: LoRA' in text
    with Image.open(out) as image:
        assert image.width > 3 * 32 and image.height > 4 * 32


def test_labels_and_margins_can_be_left_out(capsys: Capture, studio: Path, tmp_path: Path) -> None:
    sizes = []
    for words in ((), ("--no-labels",), ("--no-labels", "--margin", "0")):
        out = tmp_path / f"{len(sizes)}.png"
        grid = ("a fox", "--models", studio, *SMALL, "-x", "cfg: 4, 7", "-o", out)
        assert run(capsys, *grid, *words)[0] == 0
        with Image.open(out) as image:
            sizes.append(image.size)
    assert sizes[0] > sizes[1] > sizes[2] and sizes[0][1] > sizes[1][1]


def test_cells_are_written_by_themselves_where_that_is_wanted(
    capsys: Capture, studio: Path, tmp_path: Path
) -> None:
    words = ("a fox", "--models", studio, *SMALL, "-o", tmp_path / "g.png")
    told = answer(capsys, *words, "-x", "seed: 1-3", "--cells", tmp_path / "cells")
    paths = [path for cell in told["cells"] for path in cell["paths"]]
    assert [parameters(Path(path)).split("Seed: ")[1][0] for path in paths] == ["1", "2", "3"]
    assert told["sheet"] == str(tmp_path / "g.png")


def test_each_checkpoint_is_loaded_once_whatever_axis_it_is_on(
    capsys: Capture, studio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = studio / "models/Stable-diffusion/lighthouse.safetensors"
    (tmp_path / "second.safetensors").write_bytes(whole.read_bytes())
    loaded: list[str] = []

    def counted(path: Path, **options: Any) -> object:  # noqa: ANN401
        loaded.append(path.name)
        return load(path, **options)

    load = loading.load
    monkeypatch.setattr(loading, "load", counted)
    axes = ("-y", "checkpoint: lighthouse, second", "-x", "vae: none, soft", "-z", "cfg: 4, 7")
    words = ("a fox", "--models", studio, "--models", tmp_path, *SMALL, *axes)
    told = answer(capsys, *words, "-o", tmp_path / "g.png")
    assert loaded == ["lighthouse.safetensors", "second.safetensors"]
    assert len(told["cells"]) == 8 and not any(cell["error"] for cell in told["cells"])


def test_a_failing_cell_stays_blank_and_the_others_are_painted(
    capsys: Capture, studio: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.safetensors").write_bytes(b"not a model at all, just some text")
    words = ("a fox", "--models", studio, *SMALL, "-y", "cfg: 4, 7", "-o", tmp_path / "g.png")
    axis = f"checkpoint: {tmp_path}/bad.safetensors, lighthouse"
    status, printed, told = run(capsys, *words, "-x", axis)
    assert status == 1 and printed == f"{tmp_path}/g.png\n"
    assert told.count("stays blank") == 1 and "2 cells stay blank" in told
    told = answer(capsys, *words, "-x", axis, "--force", status=1)
    assert [bool(cell["error"]) for cell in told["cells"]] == [True, True, False, False]


def test_a_grid_of_nothing_but_failures_writes_no_sheet(
    capsys: Capture, studio: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.safetensors").write_bytes(b"not a model at all, just some text")
    words = ("a fox", "-m", tmp_path / "bad.safetensors", "-x", "cfg: 4, 7")
    told = answer(capsys, *words, "-o", tmp_path / "g.png", status=1)
    assert "no cell could be painted" in told["error"] and not (tmp_path / "g.png").exists()


def test_ctrl_c_writes_the_sheet_of_what_is_finished(
    capsys: Capture, studio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, asked = Painter.paint, list[float]()

    def interrupted(self: Painter, request: Request) -> Iterator[Progress | Picture]:
        asked.append(request.guidance.scale)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return real(self, request)

    monkeypatch.setattr(Painter, "paint", interrupted)
    words = ("a fox", "--models", studio, *SMALL, "-x", "cfg: 4-7", "-o", tmp_path / "g.png")
    status, printed, told = run(capsys, *words)
    assert status == 130 and "2 cells are finished" in told and asked == [4, 5, 6]
    assert printed == f"{tmp_path}/g.png\n" and "X Values: 4-7" in parameters(tmp_path / "g.png")


def test_a_dry_run_counts_and_writes_nothing(capsys: Capture, studio: Path, tmp_path: Path) -> None:
    words = ("a fox", "--models", studio, *SMALL, "-x", "steps: 1-4", "-y", "seed: 1, 2")
    status, out, told = run(capsys, *words, "-o", tmp_path / "new", "--dry-run")
    assert (status, out) == (0, "") and "8 cells, 20 steps" in told
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "status", "why"),
    [
        (("a fox",), 2, "needs an axis"),
        (("-x", "cfg: 7"), 2, "PROMPT"),
        (("a fox", "-x", "sampler: Oiler"), 2, "nearest is Euler"),
        (("a fox", "-x", "checkpoint: lighthous"), 2, "lighthouse"),
        (("a fox", "-x", "lora: inc"), 2, "ink"),
        (("a fox", "-x", "style: ink"), 2, "no styles are known without --styles FILE"),
        (("a fox", "-x", "s/r: wolf, dog"), 2, "not in the prompt"),
        (("a fox", "-x", "hires steps: 1"), 2, "second pass"),
        (("a fox", "-x", "seed: 1-900", "-y", "steps: 1-9"), 2, "megapixels"),
        (("a fox", "-x", "cfg: 7", "--vary-seeds", "w"), 2, "name axes"),
        (("a fox", "-x", "cfg: 7", "-o", "no/g.png"), 1, "no folder"),
        (("a fox", "-x", "cfg: 7", "--sampler", "Oiler"), 2, "nearest is Euler"),
    ],
)
def test_what_cannot_be_done_is_refused_before_painting(
    capsys: Capture, studio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...], status: int, why: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    ended, out, told = run(capsys, *words, "--models", studio)
    assert ended == status and why in told and out == "", told
    assert not list(tmp_path.iterdir())


def test_a_sheet_s_own_picture_is_its_first_cell_and_can_be_repeated(
    capsys: Capture, studio: Path, tmp_path: Path
) -> None:
    words = ("a fox", "--models", studio, *SMALL, "-x", "cfg: 4, 7", "-o", tmp_path / "g.png")
    assert run(capsys, *words)[0] == 0
    grid = ("--from", tmp_path / "g.png", "--models", studio, "-x", "cfg: 4")
    assert run(capsys, *grid, "-o", tmp_path / "again.png", "--no-labels")[0] == 0
    assert parameters(tmp_path / "again.png").split("Script")[0] in parameters(tmp_path / "g.png")
