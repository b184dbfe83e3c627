"""`sfumato generate`: what it writes, what it says of it, what it refuses and how soon."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sfumato.app.cli import main
from sfumato.engine.painter import Painter
from sfumato.engine.pictures.picture import Picture
from sfumato.engine.progress import Progress
from sfumato.engine.request import Request

pytestmark = pytest.mark.slow

Capture = pytest.CaptureFixture[str]

SMALL = ("--size", "32x32", "--steps", "2", "--seed", "5", "--sampler", "Euler")


def run(capsys: Capture, *arguments: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(["generate", *map(str, arguments)])
    captured = capsys.readouterr()
    assert isinstance(stopped.value.code, int)
    return stopped.value.code, captured.out, captured.err


def answer(capsys: Capture, *arguments: str | Path) -> Any:  # noqa: ANN401
    status, out, err = run(capsys, *arguments, "--json")
    assert status == 0, err
    return json.loads(out)


def pixels(path: str | Path) -> bytes:
    with Image.open(path) as image:
        return image.convert("RGB").tobytes()


def test_a_picture_is_written_where_it_was_asked_for(
    capsys: Capture, studio: Path, tmp_path: Path
) -> None:
    out = tmp_path / "a.png"
    status, printed, told = run(capsys, "a fox", "--models", studio, *SMALL, "-o", out)
    assert (status, printed) == (0, f"{out}\n")
    assert "SD 1.x, predicts epsilon" in told and "VAE: the checkpoint's own, because" in told
    assert "32×32, 2 steps of Euler, Uniform, CFG 7, seed 5" in told
    with Image.open(out) as image:
        assert image.size == (32, 32)
        assert image.info["parameters"].startswith("a fox\nSteps: 2, Sampler: Euler")


def test_files_that_change_the_model_are_reported(
    capsys: Capture, studio: Path, tmp_path: Path
) -> None:
    files = ("--lora", "ink:0.5", "--hypernetwork", "glow", "--vae", "soft")
    told = answer(capsys, "moonglade", "--models", studio, *SMALL, *files, "-o", tmp_path / "a.png")
    assert {report["kind"] for report in told["applied"]} == {
        "lora", "hypernetwork", "vae", "embedding",
    }  # fmt: skip
    assert all(report["applied"] == report["total"] > 0 for report in told["applied"])
    assert "soft.safetensors, because it was asked for" in " ".join(told["notes"])
    (picture,) = told["pictures"]
    assert "<lora:ink:0.5> <hypernet:glow:1>" in picture["parameters"]
    assert {file["kind"] for file in picture["files"]} >= {"checkpoint", "lora", "embedding"}


def test_a_folder_gets_numbered_pictures_in_the_format_named(
    capsys: Capture, studio: Path, tmp_path: Path
) -> None:
    words = ("a fox", "--models", studio, *SMALL, "-N", "2", "-o", tmp_path / "new")
    assert run(capsys, *words, "--format", "webp")[0] == 0
    assert run(capsys, *words)[0] == 0
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names == ["00000-5.webp", "00001-6.webp", "00002-5.png", "00003-6.png"]


def test_files_named_by_path_need_no_folders(capsys: Capture, studio: Path, tmp_path: Path) -> None:
    told = answer(
        capsys, "moonglade", *SMALL, "-o", tmp_path / "a.png",
        "-m", studio / "models/Stable-diffusion/lighthouse.safetensors",
        "-l", f"{studio}/models/Lora/ink.safetensors:0.5",
        "-e", studio / "embeddings/moonglade.pt",
    )  # fmt: skip
    assert {report["kind"] for report in told["applied"]} == {"lora", "embedding"}


def test_a_picture_is_repeated_bit_for_bit_and_options_override_it(
    capsys: Capture, studio: Path, tmp_path: Path
) -> None:
    first, second, third = (tmp_path / f"{name}.png" for name in "abc")
    words = ("a [fox|wolf], moonglade", "-l", "ink", "-n", "fog", "-c", "4", "--clip-skip", "2")
    assert run(capsys, *words, "--models", studio, *SMALL, "-o", first)[0] == 0
    again = ("--from", first, "--models", studio)
    assert run(capsys, *again, "-o", second)[0] == 0
    assert pixels(first) == pixels(second)
    assert run(capsys, *again, "--seed", "6", "-o", third)[0] == 0
    assert pixels(first) != pixels(third)


def test_a_repeated_picture_says_what_is_not_there(
    capsys: Capture, studio: Path, tmp_path: Path
) -> None:
    text = (
        "a fox <lora:gone:1>\nSteps: 2, Sampler: Euler, CFG scale: 7, Seed: 5, Size: 32x32, "
        "Model hash: 0123456789, Model: lighthouse, VAE: gone.vae.pt, Face restoration: GFPGAN"
    )
    (tmp_path / "old.txt").write_text(text)
    Image.new("RGB", (8, 8)).save(tmp_path / "old.png")
    told = answer(
        capsys, "--from", tmp_path / "old.png", "--models", studio, "-o", tmp_path / "a.png"
    )
    notes = "\n".join(told["notes"])
    for what in ("another hash", "the picture's VAE", "LoRA gone", "faces were restored"):
        assert what in notes


def test_a_picture_whose_checkpoint_is_nowhere_names_the_nearest(
    capsys: Capture, studio: Path, tmp_path: Path
) -> None:
    text = "a fox\nSteps: 2, Sampler: Euler, Seed: 5, Size: 32x32, Model: lighthouses"
    (tmp_path / "old.txt").write_text(text)
    Image.new("RGB", (8, 8)).save(tmp_path / "old.png")
    status, _, told = run(capsys, "--from", tmp_path / "old.png", "--models", studio)
    assert status == 2 and "lighthouse" in told and "--model" in told


def test_a_renamed_checkpoint_is_found_by_its_hash(
    capsys: Capture, studio: Path, tmp_path: Path
) -> None:
    own = studio / "models/Stable-diffusion/lighthouse.safetensors"
    assert run(capsys, "a fox", "-m", own, *SMALL, "-o", tmp_path / "a.png")[0] == 0
    (tmp_path / "renamed.safetensors").write_bytes(own.read_bytes())
    words = ("--from", tmp_path / "a.png", "--models", tmp_path, "-o", tmp_path / "b.png")
    assert "by its hash" in "\n".join(answer(capsys, *words)["notes"])
    assert pixels(tmp_path / "a.png") == pixels(tmp_path / "b.png")


def test_sizes_are_rounded_and_traps_are_pointed_out(
    capsys: Capture, studio: Path, tmp_path: Path
) -> None:
    words = ("a [fox:1.3]", "--models", studio, *SMALL, "--size", "35x33", "-o", tmp_path / "a.png")
    status, _, told = run(capsys, *words)
    assert status == 0 and "multiples of 8" in told and "[fox:1.3]" in told


def test_a_dry_run_looks_everything_up_and_writes_nothing(
    capsys: Capture, studio: Path, tmp_path: Path
) -> None:
    target = tmp_path / "new" / "pictures"
    words = ("a fox", "--models", studio, *SMALL, "-o", target, "--dry-run")
    status, out, told = run(capsys, *words)
    assert (status, out) == (0, "") and not target.exists()
    assert "SD 1.x" in told and "VAE: " in told and str(target) in told
    assert run(capsys, *words, "--sampler", "Oiler")[0] == 2


def foretold(capsys: Capture, studio: Path, *words: str | Path) -> str:
    status, _, told = run(capsys, "--models", studio, *SMALL, *words, "--dry-run")
    assert status == 0, told
    return told


def test_a_dry_run_says_what_is_known_without_loading(capsys: Capture, studio: Path) -> None:
    told = foretold(capsys, studio, "a [fox:1.3] <lora:nope> <hypernet:none>", "--size", "70x64")
    for what in ("no LoRA nope", "no hypernetwork none", '"[fox:1.3]"', "70×64 pixels became"):
        assert what in told


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--size", "70x65"), "64×64, 2 steps of Euler, Uniform, CFG 7, seed 5"),
        (("--steps", "1", "--sampler", "DPM2"), "1 step of DPM2, Karras, CFG"),
        (("--sampler", "DPM2 a", "--schedule", "Beta"), "2 steps of DPM2 a, Beta, CFG"),
        (("--sampler", "DPM adaptive"), "as many steps as DPM adaptive takes, CFG"),
        (("--sampler", "DDIM", "--steps", "20"), "19 of 20 steps of DDIM, CFG"),
        (("--seed", "-1"), "a seed that is drawn"),
        (("-b", "2", "-N", "2"), "4 pictures: 32×32, 2 steps of Euler, Uniform, CFG 7, seeds 5 to"),
        (("--hires", "1.6", "--hires-sampler", "DPM++ SDE", "--hires-steps", "3"),
         "; then 48×48, 3 steps of DPM++ SDE, Karras, denoise 0.75, enlarged by Latent"),
    ],
)  # fmt: skip
def test_a_dry_run_says_what_would_be_painted(
    capsys: Capture, studio: Path, words: tuple[str, ...], what: str
) -> None:
    assert what in foretold(capsys, studio, "a fox", *words)


def test_the_size_is_told_where_a_picture_or_the_model_decides_it(
    capsys: Capture, studio: Path, tmp_path: Path
) -> None:
    Image.new("RGB", (70, 64)).save(tmp_path / "init.png")
    words = ("a fox", "--models", studio, "--dry-run")
    told = run(capsys, *words)[2] + run(capsys, *words, "--init", tmp_path / "init.png")[2]
    assert "\n  512×512, 20 steps of DPM++ 2M, Karras" in told
    assert "\n  64×64, 16 of 20 steps of DPM++ 2M, Karras, CFG 7, denoise 0.75, " in told


def test_a_dry_run_refuses_what_would_be_refused_at_the_headers(
    capsys: Capture, studio: Path, tmp_path: Path
) -> None:
    from make_models import gift

    gift(tmp_path / "gift.ckpt")
    for words, status in ((("--lora", f"{tmp_path}/gift.ckpt"), 3), (("--device", "abacus"), 2)):
        assert run(capsys, "a fox", "--models", studio, *words, "--dry-run")[0] == status


@pytest.mark.parametrize(
    ("words", "status", "why"),
    [
        ((), 2, "PROMPT"),
        (("a", "--steps", "0"), 2, "range"),
        (("a", "--sampler", "Oiler"), 2, "nearest is Euler"),
        (("a", "--schedule", "Carras"), 2, "nearest is Karras"),
        (("a", "--hires-upscaler", "Latnet"), 2, "Latent"),
        (("a", "-m", "lighthous"), 2, "lighthouse"),
        (("a", "--vae", "sift"), 2, "soft"),
        (("a", "--lora", "inc:0.5"), 2, "ink"),
        (("a", "--hypernetwork", "glo"), 2, "glow"),
        (("a", "--refiner", "lighthose"), 2, "lighthouse"),
        (("a", "--style", "moon"), 2, "--styles"),
        (("a", "--dtype", "fp4"), 2, "fp32"),
        (("a", "--device", "abacus"), 2, "cpu"),
        (("a", "--models", "nowhere"), 2, "no folder"),
        (("a", "--styles", "nowhere.csv"), 1, "nowhere.csv"),
        (("a", "--init", "nowhere.png"), 1, "nowhere.png"),
        (("a", "--preview", "p.gif"), 2, "end in"),
        (("a", "--preview", "no/p.png"), 1, "no preview"),
        (("a", "--preview-model", "taesd"), 2, "--preview FILE"),
        (("a", "--preview", "p.png", "--preview-model", "taesd"), 2, "preview decoder"),
        (("a", "-o", "no/a.png"), 1, "no folder"),
        (("a", "--weights", "ema"), 1, "EMA"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused_in_one_sentence(
    capsys: Capture, studio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...], status: int, why: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    ended, out, told = run(capsys, *words, "--models", studio)
    assert ended == status and why in told and out == ""
    assert "Traceback" not in told and not list(tmp_path.iterdir())


def test_files_that_do_not_fit_are_refused_and_nothing_is_written(
    capsys: Capture, studio: Path, tmp_path: Path
) -> None:
    from make_models import gift, moonlight

    gift(tmp_path / "gift.ckpt")
    moonlight(tmp_path / "moonlight.pt")
    out = tmp_path / "a.png"
    for words, status, why in (
        (("-m", tmp_path / "gift.ckpt"), 3, "os.system"),
        (("-m", studio / "models/Lora/ink.safetensors"), 4, "checkpoint"),
        (("-m", tmp_path / "moonlight.pt"), 4, "checkpoint"),
        (("-m", tmp_path / "cut.safetensors"), 4, ""),
        (("--vae", tmp_path / "gift.ckpt"), 3, "os.system"),
        (("--lora", f"{tmp_path}/gift.ckpt"), 3, "os.system"),
        (("--lora", f"{tmp_path}/moonlight.pt"), 1, "0 of 1 tensors"),
    ):  # fmt: skip
        whole = studio / "models/Stable-diffusion/lighthouse.safetensors"
        (tmp_path / "cut.safetensors").write_bytes(whole.read_bytes()[:-1000])
        ended, _, told = run(capsys, "a fox", "--models", studio, *SMALL, *words, "-o", out)
        assert ended == status, told
        assert why in told and not out.exists() and "Traceback" not in told


def test_an_existing_picture_is_replaced_only_by_force(
    capsys: Capture, studio: Path, tmp_path: Path
) -> None:
    out = tmp_path / "a.png"
    out.write_bytes(b"mine")
    words = ("a fox", "--models", studio, *SMALL, "-o", out)
    assert run(capsys, *words)[0] == 1 and out.read_bytes() == b"mine"
    assert run(capsys, *words, "--force")[0] == 0 and out.read_bytes()[:4] == b"\x89PNG"


def test_a_full_disk_is_told_and_leaves_nothing(
    capsys: Capture, studio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 0))  # pyright: ignore
    words = ("a fox", "--models", studio, *SMALL, "-o", tmp_path / "new")
    status, _, told = run(capsys, *words)
    assert status == 1 and "free" in told
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_a_preview_is_there_and_whole_while_steps_are_made(
    capsys: Capture, studio: Path, tmp_path: Path
) -> None:
    words = ("a fox", "--models", studio, *SMALL, "--steps", "4", "-o", tmp_path / "a.png")
    assert run(capsys, *words, "--preview", tmp_path / "p.jpg")[0] == 0
    with Image.open(tmp_path / "p.jpg") as image:
        assert image.format == "JPEG" and min(image.size) > 0


def test_previews_are_made_by_the_model_that_is_named(
    capsys: Capture, studio: Path, tmp_path: Path
) -> None:
    from sfumato.catalogue.trees.tiny_vae import TinyVAE, tiny_half_shapes
    from sfumato.containers.save import save
    from toys import random_tensors

    (tmp_path / "VAE-approx").mkdir()
    half = tiny_half_shapes(TinyVAE(4, 8, encoder=False))
    save(tmp_path / "VAE-approx" / "taesd.safetensors", random_tensors(half))
    words = ("a fox", "--models", studio, "--models", tmp_path, *SMALL, "-o", tmp_path / "a.png")
    shown = ("--preview", tmp_path / "p.png", "--preview-model", "taesd")
    assert run(capsys, *words, *shown)[0] == 0
    with Image.open(tmp_path / "p.png") as image:
        assert image.size == (32, 32)  # a linear map gives one pixel for each of the latent


def interrupted(self: Painter, request: Request) -> Iterator[Progress | Picture]:
    """One picture, and then Ctrl-C."""
    yield from real(self, request)
    raise KeyboardInterrupt


real = Painter.paint


def test_ctrl_c_keeps_what_is_finished(
    capsys: Capture, studio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Painter, "paint", interrupted)
    words = ("a fox", "--models", studio, *SMALL, "-o", tmp_path / "new")
    status, out, told = run(capsys, *words)
    assert status == 130 and "interrupted" in told
    assert [str(path) for path in (tmp_path / "new").iterdir()] == out.split()
    status, out, _ = run(capsys, *words, "--json")
    assert status == 130 and json.loads(out)["interrupted"]
    assert len(json.loads(out)["pictures"]) == 1


def _heeding(command: list[str]) -> subprocess.Popen[bytes]:
    """A process that heeds SIGINT, though a shell that started the tests behind may ignore it."""
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    finally:
        signal.signal(signal.SIGINT, usual)


@pytest.mark.slow
def test_a_real_ctrl_c_leaves_nothing_half_written(studio: Path, tmp_path: Path) -> None:
    words = ("a fox", "--models", str(studio), "--size", "64x64", "--steps", "3", "-N", "500")
    for wait in (1.0, 3.0, 5.0):
        folder = tmp_path / str(wait)
        folder.mkdir()
        command = [sys.executable, "-m", "sfumato", "generate", *words, "-o", str(folder)]
        process = _heeding(command)
        time.sleep(wait)
        process.send_signal(signal.SIGINT)
        out, told = process.communicate(timeout=60)
        assert process.returncode in (130, -signal.SIGINT), told  # the latter: before main began
        assert b"Traceback" not in told or process.returncode == -signal.SIGINT
        for path in folder.iterdir():
            assert str(path) in out.decode() or path.stat().st_size
            with Image.open(path) as image:
                image.load()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_the_bar_is_drawn_on_the_terminal_and_paths_go_where_output_goes(
    studio: Path, tmp_path: Path
) -> None:
    import os
    import pty
    from contextlib import suppress
    from threading import Thread

    ours, theirs = pty.openpty()
    drawn: list[bytes] = []

    def watch() -> None:  # a terminal that nobody reads would make the command wait
        with suppress(OSError):
            while part := os.read(ours, 4096):
                drawn.append(part)

    watcher = Thread(target=watch)
    watcher.start()
    words = ["fox", "--models", str(studio), *SMALL, "-N", "2", "-o", str(tmp_path)]
    command = [sys.executable, "-m", "sfumato", "generate", *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, check=True)
    os.close(theirs)
    watcher.join()
    os.close(ours)
    assert sorted(done.stdout.decode().split()) == sorted(map(str, tmp_path.iterdir()))
    assert b"paint" in b"".join(drawn)


WATCHED = (
    "import sys\nfrom sfumato.app.cli import main\ntry: main(sys.argv[1:])\n"
    "except SystemExit as stopped: print(stopped.code, 'torch' in sys.modules)"
)


@pytest.mark.parametrize(
    "words",
    [
        ("generate", "--help"),
        ("grid", "--help"),
        ("generate", "a fox", "--steps", "0"),
        ("generate", "a fox", "-m", "nowhere.safetensors"),
        ("generate", "a fox", "-m", "x", "-o", "nowhere/a.png"),
        ("grid", "a fox", "-x", "cgf: 7"),
        ("grid", "a fox", "-x", "steps: 0-9"),
        ("grid", "a fox", "-x", "cfg: 7", "-m", "nowhere"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_told_before_torch_is_loaded(words: tuple[str, ...]) -> None:
    command = [sys.executable, "-c", WATCHED, *words]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    status = 0 if "--help" in words else 1 if "-o" in words else 2
    assert done.stdout.splitlines()[-1] == f"{status} False", done.stderr
