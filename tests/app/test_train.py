"""`sfumato train`: what it makes of a command line, what it says, how it stops and goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from PIL import Image

from paintable import write
from sfumato.app.cli import main
from sfumato.app.cli.train import PAGES, command
from sfumato.app.cli.training.asked import again, asked
from sfumato.app.cli.training.options import EVERY, Option, options_of
from sfumato.app.cli.training.pace import Pace, duration
from sfumato.app.cli.training.stopping import Stopping
from sfumato.containers.open import open_model
from sfumato.errors import UsageError
from sfumato.training.configuration import parse_run, settings_of
from sfumato.training.events import Stepped
from sfumato.training.settings import Kind, Run

pytestmark = pytest.mark.slow

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train")
    (folder / "models" / "Stable-diffusion").mkdir(parents=True)
    write(folder / "models" / "Stable-diffusion" / "small.safetensors", "sd1")
    (folder / "in").mkdir()
    dice = np.random.default_rng(0)
    for index in range(3):
        pixels = dice.integers(0, 255, (64, 64, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "in" / f"{index}.png")
    return folder


def given(kind: Kind, *words: str) -> dict[str, Any]:
    params = [option.made() for option in options_of(kind)]
    return click.Command(kind, params=params).make_context(kind, list(words)).params


def run_of(kind: Kind, *words: str) -> Run:
    return asked(kind, "in", given(kind, "-o", "a.safetensors", *words))


def trained(capsys: Capture, *words: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(["train", *map(str, words)])
    captured = capsys.readouterr()
    assert isinstance(stopped.value.code, int)
    return stopped.value.code, captured.out, captured.err


def common(place: Path, output: Path, steps: int = 3) -> list[str | Path]:
    return [
        place / "in", "-m", "small", "--models", place / "models", "-o", output, "--device", "cpu",
        "--resolution", "64", "--batch", "1", "--steps", str(steps), "--trigger", "zwx",
    ]  # fmt: skip


def test_no_two_options_have_one_flag() -> None:
    for page in PAGES:
        flags = [flag for option in options_of(page.kind) for flag in option.flags.split()]
        assert len(set(flags)) == len(flags)


VALUES = {"N": "3", "number": "0.5", "DIR": "d", "FILE": "f", "FILE|NAME": "m", "WORD": "w x",
          "TEXT": "512", "PROMPT": "a, b"}  # fmt: skip


def word_for(option: Option) -> list[str]:
    metavar = option.made().metavar
    if option.kind is None:
        return [option.flags.split()[-1]]
    assert metavar is not None
    value = VALUES.get(metavar) or metavar.rpartition("|")[2]
    return [option.flags.split()[-1], value]


SETTING = [(kind, option) for kind in ("checkpoint", "lora", "embedding", "hypernetwork", "vae")
           for option in options_of(kind) if option.setting]  # fmt: skip


@pytest.mark.parametrize(("kind", "option"), SETTING, ids=lambda x: getattr(x, "name", x))
def test_every_option_sets_its_setting_and_no_other(kind: Kind, option: Option) -> None:
    before, after = settings_of(run_of(kind)), settings_of(run_of(kind, *word_for(option)))
    changed = {key for key in before if before[key] != after[key]}
    assert changed <= {option.setting}
    assert changed or option.setting in ("output", "optimizer.rate", "vae.part", "save.every")


def test_every_option_and_command_is_described() -> None:
    page = (Path(__file__).parents[2] / "docs" / "train.md").read_text("utf-8")
    for option in EVERY:
        assert all(f"{flag}" in page for flag in option.flags.split()), option.flags
        assert not option.setting or f"`{option.setting}`" in page, option.setting
    assert all(f"sfumato train {name}" in page for name in command.commands)


def test_every_setting_is_described_as_the_code_says_it() -> None:
    import settings_table

    assert all(row.text for _, _, rows in settings_table.settings() for row in rows)
    assert settings_table.main(["--check"]) == 0, "run scripts/settings_table.py"


def test_every_help_page_ends_with_an_example() -> None:
    assert all("Example: sfumato train" in (c.epilog or "") for c in command.commands.values())


def test_kinds_have_rates_of_their_own_unless_a_file_says_otherwise(tmp_path: Path) -> None:
    assert run_of("embedding").optimizer.rate == 5e-3
    assert run_of("checkpoint").ema.decay == 0.999
    assert run_of("checkpoint", "--ema", "0", "--rate", "1e-6").optimizer.rate == 1e-6
    path = tmp_path / "run.toml"
    path.write_text('output = "x.pt"\n[optimizer]\nrate = 0.5\n')
    assert run_of("embedding", "--config", str(path)).optimizer.rate == 0.5
    assert run_of("embedding", "--config", str(path), "--rate", "0.25").optimizer.rate == 0.25
    both = ("--rate", "0.25", "--set", "optimizer.rate=0.125")
    assert run_of("embedding", "--config", str(path), *both).optimizer.rate == 0.125


def test_a_configuration_for_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('kind = "vae"\noutput = "x.pt"\n')
    with pytest.raises(UsageError, match="is for `sfumato train vae`, not for lora"):
        run_of("lora", "--config", str(path))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("lora", "in"), "output must be given"),
        (("lora", "in", "-o", "a.pt", "--set", "x"), "written KEY=VALUE"),
        (("lora", "in", "-o", "a.pt", "--set", "lora.rang=3"), "did you mean rank?"),
        (("lora", "in", "-o", "a.pt", "--config", "none.toml"), "none.toml cannot be read"),
        (("lora", "in", "-o", "a.zip", "-m", "x", "--device", "cpu"), "no format ends in"),
        (("lora", "in", "-o", "a.pt", "-m", "nix", "--device", "cpu"), "nix"),
        (("lora", "in", "-o", "a.pt", "--device", "cpu"), "say which model to start from"),
        (("resume", "none.run"), "is no folder of a run"),
    ],
)
def test_wrong_usage_is_told_in_a_sentence(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...],
    sentence: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    status, out, err = trained(capsys, *words)
    assert (status, out) == (2, "")
    assert sentence in err


def test_a_dry_run_says_everything_and_trains_nothing(
    capsys: Capture, place: Path, tmp_path: Path
) -> None:
    output = tmp_path / "zwx.safetensors"
    status, out, err = trained(capsys, "lora", *common(place, output, 100), "--dry-run")
    assert (status, out) == (0, "")
    for sentence in ("3 pictures, 64×64", "trigger word", "saved after steps 20", "memory: "):
        assert sentence in err
    assert list(tmp_path.iterdir()) == []


def test_a_run_ends_with_its_file_and_goes_on_for_more(
    capsys: Capture, place: Path, tmp_path: Path
) -> None:
    output = tmp_path / "zwx.safetensors"
    status, out, err = trained(capsys, "lora", *common(place, output), "--rank", "2")
    assert (status, out) == (0, f"{output}\n"), err
    with open_model(output) as file:
        run = parse_run(file.metadata["sfumato.run"])
    assert (run.lora.rank, run.data.trigger) == (2, "zwx")
    again = ("resume", tmp_path / "zwx.run", "--steps", "5", "--models", place / "models")
    status, _, err = trained(capsys, *again, "--device", "cpu")
    assert status == 0 and "goes on after step 3 of 5" in err
    assert "step 5: saved" in err


def test_a_run_that_is_moved_goes_on_where_it_is(
    capsys: Capture, place: Path, tmp_path: Path
) -> None:
    output = tmp_path / "zwx.safetensors"
    trained(capsys, "lora", *common(place, output))
    (tmp_path / "there").mkdir()
    (tmp_path / "zwx.run").rename(tmp_path / "there" / "zwx.run")
    run = again(tmp_path / "there" / "zwx.safetensors", {"steps": None, "set": ()})
    assert run.output == str(tmp_path / "there" / "zwx.safetensors")


def test_events_are_lines_of_json(capsys: Capture, place: Path, tmp_path: Path) -> None:
    output = tmp_path / "zwx.safetensors"
    status, out, _ = trained(capsys, "lora", *common(place, output), "--json")
    events = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    assert {"note", "prepared", "stepped", "kept", "written"} <= {e["event"] for e in events}
    assert events[-1] == {"event": "written", "step": 3, "path": str(output)}


def test_a_fault_is_a_line_of_json_too(capsys: Capture, place: Path, tmp_path: Path) -> None:
    words = [*common(place, tmp_path / "a.safetensors")[1:], "--json"]
    status, out, _ = trained(capsys, "lora", tmp_path / "none", *words)
    (event,) = [json.loads(line) for line in out.splitlines()]
    assert (status, event["event"], event["status"]) == (2, "error", 2)
    assert "there is no such folder of pictures" in event["error"]


def test_a_file_of_somebody_else_is_not_overwritten(
    capsys: Capture, place: Path, tmp_path: Path
) -> None:
    output = tmp_path / "zwx.safetensors"
    output.write_text("precious")
    status, _, err = trained(capsys, "lora", *common(place, output))
    assert (status, output.read_text()) == (1, "precious")
    assert "force it to overwrite" in err
    assert trained(capsys, "lora", *common(place, output), "--force")[0] == 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM there")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_same_command_goes_on(
    capsys: Capture, place: Path, tmp_path: Path, number: signal.Signals
) -> None:
    words = [*map(str, common(place, tmp_path / "zwx.safetensors", 100_000)), "--json"]
    main_words = [sys.executable, "-c", "from sfumato.app.cli import main; main()", "train", "lora"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    steps = 0
    with subprocess.Popen(
        [*main_words, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment,
    ) as child:  # fmt: skip
        assert child.stdout is not None and child.stderr is not None
        for line in child.stdout:
            event = json.loads(line)
            if event["event"] == "stepped":
                steps = event["step"]
                if steps == 3:
                    child.send_signal(number)
        assert "the run is saved after this batch" in child.stderr.read()
    assert child.returncode == 128 + number
    assert [p.name for p in (tmp_path / "zwx.run").glob("step-*")] == [f"step-{steps:08d}"]
    words = [*map(str, common(place, tmp_path / "zwx.safetensors", steps + 1))]
    assert f"goes on after step {steps} of {steps + 1}" in trained(capsys, "lora", *words)[2]


def test_a_second_signal_interrupts_and_the_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Stopping() as stopping:
        signal.raise_signal(signal.SIGINT)
        assert (stopping.asked, stopping.status) == (signal.SIGINT, 130)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGHUP there")
def test_a_closed_terminal_asks_for_a_stop_and_never_interrupts() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
    try:
        with Stopping() as stopping:
            signal.raise_signal(signal.SIGHUP)
            assert (stopping.asked, stopping.status) == (signal.SIGHUP, 129)
            signal.raise_signal(signal.SIGTERM)
            assert stopping.asked == signal.SIGTERM
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGHUP there")
def test_a_hangup_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Stopping() as stopping:
            signal.raise_signal(signal.SIGHUP)
        assert not stopping.asked
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_pace_counts_what_lies_between_steps() -> None:
    pace = Pace()
    for step in range(1, 11):
        pace.add(Stepped(step, 100, 0.5, 1.0, 0.1), now=step * 2.0)
    assert pace.seconds == pytest.approx((18 + 0.1) / 10)
    assert pace.sentence() == "loss 0.5000, 1.8 s/step, 3 min left"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (12, "12 s"), (100, "2 min"), (7500, "2 h 05 min")]
)
def test_durations_are_readable(seconds: float, text: str) -> None:
    assert duration(seconds) == text
