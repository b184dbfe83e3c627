"""The commands that write files: what they print, what they refuse, and with which exit status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sfumato.app.cli import main
from sfumato.containers.arrays import tensor_from
from sfumato.containers.open import open_model
from sfumato.containers.save import save
from small_models import IDS, sd1
from toys import contents, write

Capture = pytest.CaptureFixture[str]


def run(capsys: Capture, *arguments: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert isinstance(stopped.value.code, int)
    return stopped.value.code, captured.out, captured.err


def answer(capsys: Capture, *arguments: str | Path) -> Any:  # noqa: ANN401
    status, out, err = run(capsys, *arguments, "--json")
    assert status == 0, err
    return json.loads(out)


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A checkpoint with averages and optimizer state."""
    save(tmp_path / "whole.safetensors", sd1(ema=True, optimizer=True), {"title": "whole"})
    return tmp_path / "whole.safetensors"


WRITING = (
    ("convert",),
    ("prune",),
    ("ema", "--use"),
    ("ema", "--drop"),
    ("ema", "--extract"),
    ("repair", "--all"),
    ("metadata", "trigger"),
)
"""commands that make one file of one file, and an option each"""


def with_source(command: tuple[str, ...], source: Path) -> list[str | Path]:
    if command == ("metadata", "trigger"):
        return ["metadata", "trigger", source, "inky"]
    return [command[0], source, *command[1:]]


@pytest.fixture
def mendable(whole: Path) -> Path:
    """The same with a fault, so that every command has something to do."""
    with open_model(whole) as model:
        crooked = tensor_from((np.arange(77) - 0.25).astype("<f4")[None])
        save(whole.with_name("mendable.safetensors"), {**model, IDS: crooked})
    return whole.with_name("mendable.safetensors")


@pytest.mark.parametrize("command", WRITING, ids=" ".join)
def test_a_command_writes_tells_and_will_not_overwrite(
    capsys: Capture, tmp_path: Path, mendable: Path, command: tuple[str, ...]
) -> None:
    out = tmp_path / "out.safetensors"
    arguments = [*with_source(command, mendable), "-o", out]
    told = answer(capsys, *arguments)
    assert told["written"] and told["verified"] and told["target"] == str(out)
    assert told["bytes_out"] == out.stat().st_size
    before = out.read_bytes()
    status, printed, complaint = run(capsys, *arguments)
    assert (status, printed) == (1, "") and "already there" in complaint
    assert out.read_bytes() == before
    assert run(capsys, *arguments, "--force")[0] == 0


@pytest.mark.parametrize("command", WRITING, ids=" ".join)
def test_a_dry_run_writes_nothing(
    capsys: Capture, tmp_path: Path, mendable: Path, command: tuple[str, ...]
) -> None:
    before = sorted(path.name for path in tmp_path.iterdir())
    out = tmp_path / "out.safetensors"
    status, printed, _ = run(capsys, *with_source(command, mendable), "-o", out, "--dry-run")
    assert status == 0 and "would be" in printed
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize("command", WRITING, ids=" ".join)
def test_a_dangerous_file_and_a_web_page_have_their_own_exit_status(
    capsys: Capture, tmp_path: Path, command: tuple[str, ...]
) -> None:
    evil = write(tmp_path / "gift.ckpt", b"cposix\nsystem\n(S'true'\ntR.")
    page = write(tmp_path / "page.safetensors", b"<!DOCTYPE html><html><body>404</body></html>")
    out = tmp_path / "out.safetensors"
    for source, expected in ((evil, 3), (page, 4), (tmp_path / "absent.ckpt", 1)):
        status, printed, complaint = run(capsys, *with_source(command, source), "-o", out)
        assert (status, printed) == (expected, "") and source.name in complaint
    assert not out.exists()


@pytest.mark.parametrize("command", WRITING, ids=" ".join)
def test_help_ends_with_an_example(capsys: Capture, command: tuple[str, ...]) -> None:
    words = command if command[0] == "metadata" else command[:1]
    status, printed, _ = run(capsys, *words, "--help")
    assert status == 0
    assert printed.rsplit("\n\n", 1)[1].strip().startswith(f"Example: sfumato {' '.join(words)}")


@pytest.mark.parametrize("command", ["split", "join", "metadata"])
def test_the_other_help_pages_end_with_an_example_too(capsys: Capture, command: str) -> None:
    _, printed, _ = run(capsys, command, "--help")
    assert printed.rsplit("\n\n", 1)[1].strip().startswith(f"Example: sfumato {command}")


@pytest.mark.parametrize("command", WRITING, ids=" ".join)
def test_an_output_that_is_not_named_is_wrong_usage(
    capsys: Capture, whole: Path, command: tuple[str, ...]
) -> None:
    status, printed, complaint = run(capsys, *with_source(command, whole))
    assert (status, printed) == (2, "") and "-o" in complaint


def test_pruning_says_what_went_and_how_much(capsys: Capture, tmp_path: Path, whole: Path) -> None:
    told = answer(capsys, "prune", whole, "-o", tmp_path / "b.safetensors", "--drop", "optimizer")
    (reason,) = told["dropped"]
    assert "optimizer" in reason["reason"] and reason["bytes"] > 0 and reason["tensors"] > 0


def test_repair_without_a_wish_lists_the_faults(
    capsys: Capture, whole: Path, mendable: Path
) -> None:
    status, printed, _ = run(capsys, "repair", mendable)
    assert status == 0 and "--fix position-ids" in printed and "changes pictures" in printed
    assert answer(capsys, "repair", mendable)[0]["changes_pictures"] is True
    assert run(capsys, "repair", whole) == (0, "there is nothing to repair\n", "")


def test_splitting_and_joining_give_the_same_model(
    capsys: Capture, tmp_path: Path, whole: Path
) -> None:
    told = answer(capsys, "split", whole, "-o", tmp_path / "parts")
    parts = [entry["target"] for entry in told]
    assert [Path(part).stem for part in parts] == ["unet", "vae", "text_encoder"]
    status, printed, _ = run(capsys, "join", *parts, "-o", tmp_path / "b.safetensors")
    assert status == 0 and "verified" in printed
    with open_model(tmp_path / "b.safetensors") as joined:
        assert contents(joined) == contents(sd1())


def test_metadata_is_shown_set_and_removed(capsys: Capture, tmp_path: Path, whole: Path) -> None:
    assert answer(capsys, "metadata", "show", whole)["metadata"] == {"title": "whole"}
    assert run(capsys, "metadata", "set", whole, "title=new", "a=b=c", "--in-place")[0] == 0
    found = answer(capsys, "metadata", "show", whole)["metadata"]
    assert (found["title"], found["a"]) == ("new", "b=c")
    assert run(capsys, "metadata", "remove", whole, "a", "-o", tmp_path / "c.safetensors")[0] == 0
    assert "a" not in answer(capsys, "metadata", "show", tmp_path / "c.safetensors")["metadata"]
    assert run(capsys, "metadata", "set", whole, "title", "--in-place")[0] == 2
    both = ("--in-place", "-o", str(tmp_path / "d.safetensors"))
    assert run(capsys, "metadata", "trigger", whole, "inky", *both)[0] == 2


def test_hostile_metadata_cannot_steer_the_terminal(capsys: Capture, tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", sd1(), {"title": "\x1b[2J\u202egnp.exe"})
    _, printed, _ = run(capsys, "metadata", "show", tmp_path / "a.safetensors")
    assert "\x1b" not in printed and "\u202e" not in printed


def test_values_beside_the_tensors_of_a_pickle_are_shown(capsys: Capture, tmp_path: Path) -> None:
    state = sd1()
    save(tmp_path / "a.ckpt", state, tree={"state_dict": {**state}, "global_step": 470000})
    assert (
        answer(capsys, "metadata", "show", tmp_path / "a.ckpt")["values"]["global_step"] == 470000
    )
    _, printed, _ = run(capsys, "metadata", "show", tmp_path / "a.ckpt")
    assert "global_step: 470000" in printed


def test_two_actions_on_averages_are_wrong_usage(
    capsys: Capture, tmp_path: Path, whole: Path
) -> None:
    out = tmp_path / "b.safetensors"
    for actions in (("--use", "--drop"), ("--extract", "--distance"), ()):
        status, printed, complaint = run(capsys, "ema", whole, *actions, "-o", out)
        assert (status, printed) == (2, "") and "--use, --drop, --extract" in complaint
    assert not out.exists()


DRY = (
    *(("convert",), ("convert", "--dtype", "q8_0"), ("convert", "--to", "diffusers-folder")),
    *(("prune",), ("ema", "--use"), ("repair", "--all")),
)


@pytest.mark.parametrize("command", DRY, ids=" ".join)
def test_a_dry_run_needs_no_output(
    capsys: Capture, mendable: Path, command: tuple[str, ...]
) -> None:
    before = sorted(mendable.parent.iterdir())
    told = answer(capsys, command[0], mendable, *command[1:], "--dry-run")
    assert not told["written"] and Path(told["target"]).parent == mendable.parent
    assert Path(told["target"]) != mendable and sorted(mendable.parent.iterdir()) == before


def test_splitting_and_joining_dryly_need_no_output(capsys: Capture, whole: Path) -> None:
    told = answer(capsys, "split", whole, "--dry-run")
    assert {Path(entry["target"]).parent.name for entry in told} == {"whole-parts"}
    parts = [entry["target"] for entry in answer(capsys, "split", whole, "-o", whole.parent / "p")]
    assert not answer(capsys, "join", *parts, "--dry-run")["written"]


@pytest.mark.parametrize("command", WRITING, ids=" ".join)
def test_a_refusal_is_told_as_json_where_json_was_asked_for(
    capsys: Capture, tmp_path: Path, command: tuple[str, ...]
) -> None:
    page = write(tmp_path / "page.safetensors", b"<!DOCTYPE html><html><body>404</body></html>")
    arguments = [*with_source(command, page), "-o", tmp_path / "out.safetensors"]
    plain = run(capsys, *arguments)
    status, printed, complaint = run(capsys, *arguments, "--json")
    told = json.loads(printed)
    assert set(told) == {"error", "status"} and told["status"] == status == plain[0] == 4
    assert complaint == plain[2] == f"sfumato: {told['error']}\n"


def test_wrong_usage_is_told_as_json_too(capsys: Capture, whole: Path) -> None:
    for arguments in (("prune", "--json", whole), ("split", whole, "--json")):
        status, printed, complaint = run(capsys, *arguments)
        told = json.loads(printed)
        assert told["status"] == status == 2 and told["error"] in complaint


def test_an_unknown_command_is_answered_with_the_nearest(capsys: Capture) -> None:
    status, printed, complaint = run(capsys, "inspct")
    assert (status, printed) == (2, "") and "'inspect'" in complaint
    status, _, complaint = run(capsys, "xyzzy")
    assert status == 2 and "mean" not in complaint
    assert "--dry-run" in run(capsys, "prune", "--dry-rum")[2]
