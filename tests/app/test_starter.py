"""`sfumato starter`, and the starter where no model is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

import sfumato
from sfumato.app.cli import main
from sfumato.containers.open import open_model
from sfumato.starter.wares import MODELS, WARES

Capture = pytest.CaptureFixture[str]


def said(capsys: Capture, *words: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in words])
    told = capsys.readouterr()
    return int(str(stopped.value.code)), told.out, told.err


def test_the_list_names_everything_with_something_to_try(capsys: Capture) -> None:
    status, out, _ = said(capsys, "starter", "list")
    assert status == 0
    for ware in WARES:
        assert f"{ware.name} " in out
        assert f"$ sfumato {ware.example}" in out


def test_the_list_as_json_says_where_everything_lies(capsys: Capture) -> None:
    _, out, _ = said(capsys, "starter", "list", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert rows.keys() == {ware.name for ware in WARES}
    assert all(Path(row["path"]).exists() for row in rows.values())


def test_the_path_of_one_file_and_of_the_folder(capsys: Capture) -> None:
    assert said(capsys, "starter", "path", "night")[1].strip().endswith("night.pt")
    assert said(capsys, "starter", "path")[1].strip() == str(MODELS)


def test_an_unknown_name_gets_the_nearest_one(capsys: Capture) -> None:
    status, _, err = said(capsys, "starter", "path", "inklin")
    assert status == 2
    assert "the nearest is inkline" in err


def test_a_name_that_is_nowhere_gets_the_nearest_starter_file(capsys: Capture) -> None:
    status, _, err = said(capsys, "generate", "a cat", "--lora", "inklin", "--dry-run")
    assert status == 2
    assert "the nearest: inkline" in err


def test_generate_without_a_model_says_that_the_starter_paints(capsys: Capture) -> None:
    status, _, err = said(capsys, "generate", "a red apple", "--dry-run")
    assert status == 0
    assert "the starter paints" in err


def test_the_users_only_checkpoint_goes_before_the_starter(capsys: Capture, tmp_path: Path) -> None:
    mine = tmp_path / "mine.safetensors"
    mine.write_bytes((MODELS / "checkpoints" / "starter-noto.safetensors").read_bytes())
    _, _, err = said(capsys, "generate", "a cat", "--models", tmp_path, "--dry-run")
    assert "the starter paints" not in err
    assert "mine" in err


@pytest.mark.slow
def test_it_paints_a_red_apple_at_its_own_size(capsys: Capture, tmp_path: Path) -> None:
    target = tmp_path / "apple.png"
    status, out, _ = said(capsys, "generate", "a red apple", "-S", "1", "-o", target)
    assert (status, out.strip()) == (0, str(target))
    picture = Image.open(target).convert("RGB")
    assert picture.size == (128, 128)
    red, green, blue = picture.resize((8, 8), Image.Resampling.BOX).getpixel((4, 4))  # pyright: ignore
    assert red > 1.5 * max(green, blue)


@pytest.mark.slow
def test_the_library_paints_without_naming_a_model() -> None:
    with sfumato.load() as painter:
        (picture,) = painter.generate("a polarbear <lora:inkline:0.5>", steps=2, seed=1)
        applied = " ".join(report.sentence() for report in painter.applied)
    assert picture.image.size == (128, 128)
    assert "of embedding polarbear apply" in applied
    assert "of LoRA inkline at 0.5 apply" in applied


@pytest.mark.slow
def test_a_short_lesson_leaves_three_editions_and_a_comparison(
    capsys: Capture, tmp_path: Path
) -> None:
    folder = tmp_path / "lesson"
    status, out, _ = said(capsys, "starter", "train", "--minutes", "0.05", "-o", folder)
    assert status == 0
    names = {"ink.safetensors", "ink-pruned.safetensors", "ink-state.ckpt", "compared.png"}
    assert names <= {path.name for path in folder.iterdir()}
    assert "compared.png" in out
    with open_model(folder / "ink-state.ckpt") as state:
        assert any(name.startswith("optimizer_states") for name in state)
        assert any(name.startswith("model_ema.") for name in state)
    with open_model(folder / "ink-pruned.safetensors") as pruned:
        assert any(name.startswith("model_ema.") for name in pruned)
        assert not any(name.startswith("optimizer_states") for name in pruned)
    with open_model(folder / "ink.safetensors") as alone:
        assert not any(name.startswith("model_ema.") for name in alone)

    # The same command goes on, and finds nothing left to do.
    status, _, err = said(capsys, "starter", "train", "--minutes", "0.05", "-o", folder)
    assert status == 0
    assert "steps are done" in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("inspect", "starter"), "SD 1.x"),
        (("lora", "check", "inkline", "--model", "starter"), "570 of 570"),
        (("bake", "starter", "--lora", "inkline:0.8", "-o", "x.safetensors", "--dry-run"), "655"),
        (("prune", "starter", "-o", "x.safetensors", "--dry-run"), "655 tensors would be kept"),
        (("merge", "starter", "starter-noto", "-o", "x.safetensors", "--plan"), "402 tensors"),
        (("diff", "starter", "starter-noto"), "identical"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_its_names_go_wherever_a_file_is_asked_for(
    capsys: Capture, words: tuple[str, ...], says: str
) -> None:
    status, out, err = said(capsys, *words)
    assert (status in (0, 1), err) == (True, err)
    assert says in " ".join(out.split()), out + err


def test_a_file_of_that_name_goes_before(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "starter").write_bytes(b"no model at all")
    assert said(capsys, "inspect", "starter")[0] == 4
