"""`sfumato diff` and fingerprints on the card: what is printed, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from comparable import cast, mixed, small, stored, tuned
from sfumato.app.cli import main
from sfumato.containers.dtype import F16
from small_models import UNET

Capture = pytest.CaptureFixture[str]


def run(capsys: Capture, *arguments: str | Path) -> tuple[int, str]:
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert isinstance(stopped.value.code, int)
    return stopped.value.code, captured.out + captured.err


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two fine-tunes of one model, a half of one and a mixture of both."""
    folder = tmp_path_factory.mktemp("shelf")
    ink, oil = (tuned(small(), 0.05, seed=seed, under=UNET) for seed in (10_000, 20_000))
    for name, model in (
        ("ink", ink),
        ("oil", oil),
        ("half", cast(ink, F16)),
        ("mix", mixed((0.25, ink), (0.75, oil))),
    ):
        stored(folder / f"{name}.safetensors", model)
    return folder


def test_the_same_model_in_another_type_is_called_that(capsys: Capture, shelf: Path) -> None:
    status, text = run(capsys, "diff", shelf / "ink.safetensors", shelf / "half.safetensors")
    assert status == 0 and "The same model" in text and "F16" in text


def test_a_changed_part_is_shown_block_by_block(capsys: Capture, shelf: Path) -> None:
    status, text = run(capsys, "diff", shelf / "ink.safetensors", shelf / "oil.safetensors")
    lines = [line.split()[0] for line in text.splitlines() if line.startswith("  ")]
    assert status == 0 and "middle_block" in lines and "decoder.mid" not in lines


def test_a_chart_is_written_once_and_replaced_when_forced(
    capsys: Capture, shelf: Path, tmp_path: Path
) -> None:
    chart = tmp_path / "chart.png"
    command = ("diff", shelf / "ink.safetensors", shelf / "oil.safetensors", "--chart", chart)
    assert run(capsys, *command)[0] == 0
    with Image.open(chart) as picture:
        assert picture.format == "PNG" and picture.width == 900
    assert run(capsys, *command)[0] == 1
    assert run(capsys, *command, "--force")[0] == 0


def test_with_several_others_the_recipe_is_read_back(capsys: Capture, shelf: Path) -> None:
    names = ("mix", "ink", "oil")
    status, text = run(capsys, "diff", *(shelf / f"{name}.safetensors" for name in names))
    assert status == 0 and "0.75 oil + 0.25 ink" in text and "is the one of ink and of oil" in text


def test_json_tells_the_same(capsys: Capture, shelf: Path) -> None:
    paths = [shelf / f"{name}.safetensors" for name in ("mix", "ink", "oil")]
    found = json.loads(run(capsys, "diff", "--json", *paths)[1])
    assert found["parts"][0]["mixture"]["formula"] == "0.75 oil + 0.25 ink"
    pair = json.loads(run(capsys, "diff", "--json", *paths[:2])[1])
    assert (pair["same"], pair["parts"][0]["state"]) == (False, "changed")


def test_fingerprints_of_many_files_are_laid_side_by_side(capsys: Capture, shelf: Path) -> None:
    paths = [shelf / f"{name}.safetensors" for name in ("ink", "half", "oil")]
    status, text = run(capsys, "diff", "--fingerprint", *paths)
    assert status == 0 and text.count(f"the same as in {paths[0]}") == 5
    assert "UNet, custom size: about 7." in text or "UNet, custom size: about 6." in text


def test_fingerprints_stand_on_the_card(capsys: Capture, shelf: Path) -> None:
    path = shelf / "ink.safetensors"
    found = json.loads(run(capsys, "inspect", "--fingerprint", "--json", path)[1])
    words = [one["word"] for one in found["fingerprints"]]
    text = run(capsys, "inspect", "--fingerprint", path)[1]
    assert len(words) == 3 and all(word in text for word in words)
    assert json.loads(run(capsys, "inspect", "--json", path)[1])["fingerprints"] == []


def test_a_chart_of_more_than_two_files_is_wrong_usage(capsys: Capture, shelf: Path) -> None:
    path = shelf / "ink.safetensors"
    assert run(capsys, "diff", path, path, path, "--chart", "x.png")[0] == 2


def test_a_file_that_is_not_there_is_refused(capsys: Capture, shelf: Path) -> None:
    status, text = run(capsys, "diff", shelf / "ink.safetensors", shelf / "none.safetensors")
    assert status == 1 and "none.safetensors" in text
