"""`sfumato grid`: the sheet, its record, what it says before and after, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sfumato.app.cli import main
from sfumato.app.cli.painting.telling import Telling
from sfumato.containers.model_file import ModelFile
from sfumato.engine.loading import load as loading
from sfumato.engine.painter import Painter
from sfumato.engine.pictures.picture import Picture
from sfumato.engine.progress import Progress
from sfumato.engine.request import Request
from sfumato.errors import Refused

pytestmark = pytest.mark.slow

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

    def counted(model: Path | ModelFile, **options: Any) -> object:  # noqa: ANN401
        loaded.append((model.path if isinstance(model, ModelFile) else model).name)
        return load(model, **options)

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


def test_errors_that_differ_in_numbers_alone_are_said_once(
    capsys: Capture, studio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(self: Painter, request: Request) -> Iterator[Progress | Picture]:
        if request.guidance.scale > 4:
            raise Refused(f"v1.5: CFG {request.guidance.scale:g} is above 4.5")
        return real(self, request)

    real = Painter.paint
    monkeypatch.setattr(Painter, "paint", failing)
    words = ("a fox", "--models", studio, *SMALL, "-x", "cfg: 4-9", "-o", tmp_path / "g.png")
    status, _, told = run(capsys, *words)
    assert status == 1 and told.count("is above") == 1 and "5 cells stay blank" in told
    errors = [cell["error"] for cell in answer(capsys, *words, "--force", status=1)["cells"]]
    assert errors[1:] == [f"v1.5: CFG {cfg} is above 4.5" for cfg in range(5, 10)]


def test_reports_that_differ_in_numbers_alone_are_said_once_and_all_kept(
    capsys: Capture, studio: Path, tmp_path: Path
) -> None:
    axis = ("-x", "lora: ink:0.5-1.5 (+0.5)")
    words = ("a fox", "--models", studio, *SMALL, *axis, "-o", tmp_path / "g.png")
    told = run(capsys, *words)[2]
    assert told.count("tensors of LoRA") == 1 and "2 more sentences like these" in told
    applied = answer(capsys, *words, "--force")["applied"]
    assert [report["strength"] for report in applied] == [0.5, 1, 1.5]


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("70×65 pixels became 64×64", "33×32 pixels became 32×32", True),
        ("LoRA ink at 0.5 by 1e-05 %", "LoRA ink at -1 by 3 %", True),
        ("v1-5.ckpt: is damaged", "v1-4.ckpt: is damaged", False),
        ("models/1.ckpt: is damaged", "models/2.ckpt: is damaged", False),
        ("1.ckpt: is damaged", "2.ckpt: is damaged", False),
        ("LoRA ink2 applies", "LoRA ink3 applies", False),
    ],
)
def test_numbers_inside_of_names_tell_sentences_apart(one: str, other: str, alike: bool) -> None:
    telling = Telling(quiet=True)
    telling.fold(one, other)
    assert telling.notes == [one, other] and telling.folded == int(alike)


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


def test_every_table_of_the_third_axis_can_be_a_sheet_of_its_own(
    capsys: Capture, studio: Path, tmp_path: Path
) -> None:
    axes = ("-x", "cfg: 4, 7", "-z", "seed: 8, 9", "--sheets", tmp_path / "tables")
    words = ("a fox", "--models", studio, *SMALL, *axes, "-o", tmp_path / "g.png")
    status, printed, _ = run(capsys, *words)
    paths = [Path(line) for line in printed.split()]
    assert status == 0 and [path.name for path in paths] == ["g.png", "00000-8.png", "00001-9.png"]
    assert "Seed: 9" in parameters(paths[2]) and "Z Type" not in parameters(paths[2])
    with Image.open(paths[0]) as whole, Image.open(paths[1]) as table:
        assert whole.height > 1.5 * table.height and whole.width == table.width


def test_axes_are_exchanged_where_that_is_asked_for(capsys: Capture, studio: Path) -> None:
    words = ("a fox", "--models", studio, *SMALL, "-x", "cfg: 4, 7", "-y", "seed: 1, 2")
    told = run(capsys, *words, "--swap", "x-y", "--dry-run")[2]
    assert "columns: Seed: 1, 2" in told and "rows: CFG Scale: 4, 7" in told
    assert "tables: CFG Scale: 4, 7" in run(capsys, *words, "--swap", "x-z", "--dry-run")[2]


def test_a_dry_run_tells_what_cells_would_say_and_which_would_stay_blank(
    capsys: Capture, studio: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.safetensors").write_bytes(b"not a model at all, just some text")
    axes = ("-x", f"checkpoint: {tmp_path}/bad.safetensors, lighthouse", "-y", "cfg: 4, 7")
    words = ("a [fox:1.3] <lora:nope>", "--models", studio, *SMALL, "--size", "35x33", *axes)
    status, _, told = run(capsys, *words, "--dry-run")
    assert status == 0 and told.count("would stay blank") == 1
    for what in ("no LoRA nope", "[fox:1.3]", "35×33 pixels became", "32×32, 1 step of Euler"):
        assert told.count(what) == 1


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
        (("a fox", "-x", "cfg: 7", "--sheets", "tables"), 2, "-z"),
        (("a fox", "-x", "cfg: 7", "--cells", "cells.png"), 2, "a folder"),
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
