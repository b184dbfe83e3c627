"""The commands that make LoRA files: what they print, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lora_toys import apart, deltas, write_lora
from paintable import write
from sfumato.app.cli import main

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("models") / "sd1.safetensors")


def run(capsys: Capture, *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(["lora", *map(str, arguments)])
    captured = capsys.readouterr()
    assert isinstance(stopped.value.code, int)
    return stopped.value.code, captured.out, captured.err


def test_extract_tells_what_share_it_holds(capsys: Capture, model: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "other.safetensors", seed=1)
    found = tmp_path / "found.safetensors"
    status, out, _ = run(capsys, "extract", other, model, "-o", found, "--rank", "energy:0.5")
    assert status == 0 and "of the change (relative error" in out and "input_blocks.1" in out
    status, _, err = run(capsys, "extract", model, model, "-o", tmp_path / "none.safetensors")
    assert status == 1 and "nothing to extract" in err


def test_resize_wants_a_rank(capsys: Capture, model: Path, tmp_path: Path) -> None:
    own, less = write_lora(tmp_path / "own.safetensors", model), tmp_path / "less.safetensors"
    status, _, err = run(capsys, "resize", own, "-o", less, "--model", model)
    assert status == 2 and "--rank" in err
    status, out, _ = run(capsys, "resize", own, "-o", less, "--model", model, "--rank", 2)
    assert status == 0 and "rank 2" in out and less.exists()


def test_merge_takes_weights_after_colons(capsys: Capture, model: Path, tmp_path: Path) -> None:
    own, both = write_lora(tmp_path / "own.safetensors", model), tmp_path / "both.safetensors"
    named = [f"{own}:0.75", f"{own}:0.25:0.25"]
    status, out, _ = run(capsys, "merge", *named, "-o", both, "--model", model, "--concat")
    assert status == 0 and "own at 0.75" in out
    assert apart(deltas(own, model), deltas(both, model)) < 1e-6


def test_translate_answers_programs(capsys: Capture, model: Path, tmp_path: Path) -> None:
    own, there = write_lora(tmp_path / "own.safetensors", model), tmp_path / "there.safetensors"
    options = ("-o", there, "--model", model, "--spelling", "comfyui", "--json")
    status, out, _ = run(capsys, "translate", own, *options)
    answer = json.loads(out)
    assert status == 0 and answer["operation"] == "lora_translate" and answer["verified"]
    status, out, _ = run(capsys, "translate", own, *options)
    assert status == 1 and "already there" in json.loads(out)["error"]


@pytest.mark.parametrize("verb", ["extract", "resize", "merge", "translate"])
def test_every_help_page_ends_with_an_example(capsys: Capture, verb: str) -> None:
    status, out, _ = run(capsys, verb, "--help")
    assert status == 0 and f"Example: sfumato lora {verb}" in out.strip().splitlines()[-1] + out
