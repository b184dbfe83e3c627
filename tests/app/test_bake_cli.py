"""`sfumato bake`, `unbake`, `vae` and `lora check`: what they print and with which exit status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loras import arrays, bodiless_model, saved
from paintable import write
from sfumato.app.cli import main
from sfumato.app.cli.bake import weighted
from sfumato.engine.loading.load import load

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


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, another one, a LoRA for them and one for another family."""
    folder = tmp_path_factory.mktemp("bake")
    write(folder / "model.safetensors")
    write(folder / "other.safetensors", seed=5)
    model = load(folder / "model.safetensors", device="cpu")
    saved(folder / "ink.safetensors", arrays(model, "lora", ("attn1",)))
    saved(folder / "wd.safetensors", arrays(model, "dora", ("attn1",)))
    saved(folder / "sd2.safetensors", arrays(bodiless_model("sd2"), "lora", ("attn2",)))
    model.close()
    return folder


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ink.safetensors", "ink.safetensors"),
        ("ink.safetensors:0.8", ("ink.safetensors", 0.8)),
        ("ink.safetensors:.5:-1", ("ink.safetensors", 0.5, -1.0)),
        (r"C:\loras\ink.pt:1", (r"C:\loras\ink.pt", 1.0)),
        (r"C:\loras\ink.pt", r"C:\loras\ink.pt"),
        ("a:b:1:2:3", ("a:b:1", 2.0, 3.0)),
        (":1", ":1"),
    ],
)
def test_weights_stand_behind_the_last_colons(text: str, expected: object) -> None:
    assert weighted(text) == expected


@pytest.mark.slow
def test_baking_tells_how_much_applies(files: Path, tmp_path: Path, capsys: Capture) -> None:
    target = tmp_path / "out.safetensors"
    status, out, _ = run(
        capsys, "bake", files / "model.safetensors", "--lora", f"{files / 'ink.safetensors'}:0.5",
        "--vae", files / "other.safetensors", "-o", target,
    )  # fmt: skip
    assert status == 0 and str(target) in out
    assert "tensors of LoRA ink at 0.5 apply; they change the UNet by" in out
    assert "180 of 180 tensors of VAE other apply" in out and "verified" in out
    found = answer(
        capsys, "unbake", target, "--lora", f"{files / 'ink.safetensors'}:0.5", "--dry-run"
    )
    assert not found["written"] and "LoRA ink at -0.5 apply" in found["changes"][-1]


@pytest.mark.slow
def test_what_cannot_be_done_is_said_in_one_line(
    files: Path, tmp_path: Path, capsys: Capture
) -> None:
    model, out = files / "model.safetensors", tmp_path / "out.safetensors"
    for arguments, status, sentence in (
        (("bake", model, "-o", out), 2, "say what to bake"),
        (("bake", model, "--lora", files / "sd2.safetensors", "-o", out), 1, "the file is: SD 2.x"),
        (("bake", model, "--lora", tmp_path / "no.pt", "-o", out), 1, "no.pt"),
        (("unbake", model, "--lora", files / "wd.safetensors", "-o", out), 1, "DoRA"),
        (("unbake", model, "-o", out), 2, "--lora"),
        (("vae", "replace", model, files / "ink.safetensors", "-o", out), 4, "holds no VAE"),
        (("vae", "extract", model), 2, "-o FILE"),
    ):
        code, _, err = run(capsys, *arguments)
        assert (code, sentence in err) == (status, True), err
        assert not out.exists()


@pytest.mark.slow
def test_vae_commands_write_what_they_say(files: Path, tmp_path: Path, capsys: Capture) -> None:
    vae, out = tmp_path / "a.vae.pt", tmp_path / "out.safetensors"
    told = answer(capsys, "vae", "extract", files / "other.safetensors", "-o", vae)
    assert told["tensors"] == 180 and vae.exists()
    told = answer(capsys, "vae", "replace", files / "model.safetensors", vae, "-o", out)
    assert told["dropped"] == [
        {"reason": "the VAE that it had", "tensors": 180, "bytes": told["dropped"][0]["bytes"]}
    ]


@pytest.mark.slow
def test_check_shows_blocks_and_says_whether_it_fits(files: Path, capsys: Capture) -> None:
    status, out, _ = run(
        capsys, "lora", "check", files / "ink.safetensors", "-m", files / "model.safetensors"
    )
    assert status == 0 and "no dead layers" in out and "█" in out
    assert "tensors apply to" in out and "alpha / rank (changes): 0.5" in out
    status, out, _ = run(
        capsys, "lora", "check", files / "sd2.safetensors", "-m", files / "model.safetensors"
    )
    assert status == 1 and "DOES NOT FIT" in out and "the file is: SD 2.x" in out


@pytest.mark.slow
def test_check_names_what_is_dead_and_what_is_broken(
    files: Path, tmp_path: Path, capsys: Capture
) -> None:
    model = load(files / "model.safetensors", device="cpu")
    found = arrays(model, "lora", ("attn1",))
    ups = [name for name in found if name.endswith("lora_up.weight")]
    found[ups[0]][:] = 0
    found[ups[1]][0, 0] = np.inf
    path = saved(tmp_path / "bad.safetensors", found)
    status, out, _ = run(capsys, "lora", "check", path)
    assert status == 1 and "dead: 1 change without effect" in out
    assert f"BROKEN: 1 change: {ups[1].removesuffix('.lora_up.weight')}" in out
    status, out, _ = run(capsys, "lora", "check", path, "--json")
    states = [layer["state"] for layer in json.loads(out)["layers"]]
    assert (states.count("zero"), states.count("broken"), status) == (1, 1, 1)


def test_check_of_what_is_no_lora_is_refused(tmp_path: Path, capsys: Capture) -> None:
    path = saved(tmp_path / "strange.safetensors", {"a": np.zeros(3, "f4")})
    status, _, err = run(capsys, "lora", "check", path)
    assert status == 4 and "is no LoRA" in err
