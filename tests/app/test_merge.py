"""`sfumato merge`, `recipe` and `lineage`: what they write, what they say, what they refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mergeable import arrays, write
from paintable import write as paintable
from sfumato.app.cli import main
from sfumato.operations.merging.registry import METHODS
from small_models import UNET

Capture = pytest.CaptureFixture[str]


def run(capsys: Capture, *arguments: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main([*map(str, arguments)])
    captured = capsys.readouterr()
    assert isinstance(stopped.value.code, int)
    return stopped.value.code, captured.out, captured.err


def answer(capsys: Capture, *arguments: str | Path) -> Any:  # noqa: ANN401
    status, out, err = run(capsys, *arguments, "--json")
    assert status == 0, err
    return json.loads(out)


def test_two_models_become_one_and_every_step_is_said(capsys: Capture, tmp_path: Path) -> None:
    a, b = write(tmp_path, "a", "b")
    status, out, _ = run(capsys, "merge", a, b, "--alpha", "0.3", "-o", tmp_path / "m.safetensors")
    assert status == 0
    assert "weighted-sum(A, B, alpha 0.3)" in out and "verified" in out
    x, y, m = (arrays(path) for path in (a, b, tmp_path / "m.safetensors"))
    name = f"{UNET}out.2.bias"
    assert np.allclose(m[name], 0.7 * x[name] + 0.3 * y[name], atol=1e-6)


def test_an_expression_in_letters_takes_the_files_that_follow(
    capsys: Capture, tmp_path: Path
) -> None:
    a, b, c = write(tmp_path, "a", "b", "c")
    run(capsys, "merge", "A + 0.8*(B - C)", a, b, c, "-o", tmp_path / "m.safetensors")
    x, y, z, m = (arrays(path) for path in (a, b, c, tmp_path / "m.safetensors"))
    name = f"{UNET}out.2.bias"
    assert np.allclose(m[name], x[name] + 0.8 * (y[name] - z[name]), atol=1e-5)


def test_names_are_looked_up_in_the_folders_of_models(capsys: Capture, tmp_path: Path) -> None:
    for name in "ab":
        paintable(tmp_path / f"{name}.safetensors", seed=ord(name))
    target = tmp_path / "m.safetensors"
    told = answer(capsys, "merge", "0.5*a + 0.5*b", "--models", tmp_path, "-o", target)
    assert told["verified"] and set(told["inputs"]) == {"a.safetensors", "b.safetensors"}


def test_a_plan_tells_bytes_and_memory_and_writes_nothing(capsys: Capture, tmp_path: Path) -> None:
    a, b = write(tmp_path, "a", "b")
    status, out, _ = run(capsys, "merge", a, b, "--method", "slerp", "--plan")
    assert status == 0
    assert "would be kept" in out and "of memory" in out and "the VAE is that of A" in out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.safetensors", "b.safetensors"]


def test_a_recipe_is_printed_changed_and_merged_again(capsys: Capture, tmp_path: Path) -> None:
    a, b = write(tmp_path, "a", "b")
    run(capsys, "merge", a, b, "--alpha", "OUT=0.9", "--vae", "B", "-o", tmp_path / "m.safetensors")
    _, out, _ = run(capsys, "recipe", tmp_path / "m.safetensors", "--toml")
    (tmp_path / "mix.toml").write_text(out)
    run(capsys, "merge", tmp_path / "mix.toml", "-o", tmp_path / "n.safetensors")
    assert (tmp_path / "m.safetensors").read_bytes() == (tmp_path / "n.safetensors").read_bytes()


def test_a_rerun_says_that_it_is_the_same(capsys: Capture, tmp_path: Path) -> None:
    a, b = write(tmp_path, "a", "b")
    run(capsys, "merge", a, b, "-o", tmp_path / "m.safetensors")
    again = ("recipe", tmp_path / "m.safetensors", "--rerun", "-o", tmp_path / "n.safetensors")
    assert "bit for bit" in run(capsys, *again)[1]
    assert answer(capsys, *again, "--force")["same"] is True


def test_a_page_on_a_recipe_names_inputs_and_options(capsys: Capture, tmp_path: Path) -> None:
    a, b = write(tmp_path, "a", "b")
    run(capsys, "merge", a, b, "--dtype", "f16", "-o", tmp_path / "m.safetensors")
    _, out, _ = run(capsys, "recipe", tmp_path / "m.safetensors")
    assert "made by: sfumato merge" in out and "from: a.safetensors" in out and "dtype: f16" in out
    assert answer(capsys, "recipe", tmp_path / "m.safetensors")["operation"] == "merge"


def test_a_lineage_is_a_tree(capsys: Capture, tmp_path: Path) -> None:
    a, b = write(tmp_path, "a", "b")
    run(capsys, "merge", a, b, "-o", tmp_path / "m.safetensors")
    run(capsys, "prune", tmp_path / "m.safetensors", "-o", tmp_path / "n.safetensors")
    _, out, _ = run(capsys, "lineage", tmp_path / "n.safetensors")
    assert out.splitlines()[1].startswith("└─ m.safetensors")
    told = answer(capsys, "lineage", tmp_path / "n.safetensors")
    assert [p["name"] for p in told["parents"][0]["parents"]] == ["a.safetensors", "b.safetensors"]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("merge",), 2, "say what to merge"),
        (("merge", "a.safetensors", "b.safetensors"), 2, "say which file to write"),
        (("merge", "a.safetensors", "b.safetensors", "--rank", "3", "--plan"), 2, "no option of"),
        (("merge", "a.safetensors", "b.safetensors", "--alpha", "grad-x", "--plan"), 2, "grad-"),
        (("merge", "a.safetensors", "nowhere", "--plan"), 2, "there is no checkpoint nowhere"),
        (("merge", "A + B*C", "a.safetensors", "--plan"), 2, "multiplies two models"),
        (("merge", "A + D", "a.safetensors", "b.safetensors", "--plan"), 2, "none of the models"),
        (("recipe", "a.safetensors"), 1, "carries no recipe"),
        (("lineage", "a.safetensors"), 1, "carries no recipe"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(
    capsys: Capture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    status: int,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SFUMATO_MODELS", raising=False)
    write(tmp_path, "a", "b")
    found, _, err = run(capsys, *arguments)
    assert (found, said in err) == (status, True), err


def test_every_method_is_listed_with_its_options(capsys: Capture) -> None:
    _, out, _ = run(capsys, "merge", "--methods")
    told = answer(capsys, "merge", "--methods")
    for method in METHODS:
        assert f"\n{method.name} (" in f"\n{out}"
        assert {option.name for option in method.options} == set(
            next(m for m in told["methods"] if m["name"] == method.name)["options"]
        )


def test_help_imports_no_torch() -> None:
    import subprocess
    import sys

    code = (
        "from sfumato.app.cli import main\ntry: main(['merge', '--help'])\n"
        "except SystemExit: pass\nimport sys; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.slow
def test_a_mix_is_painted_without_a_file(capsys: Capture, tmp_path: Path) -> None:
    for name in "ab":
        paintable(tmp_path / f"{name}.safetensors", seed=ord(name))
    small = ("--size", "32x32", "--steps", "2", "--seed", "5", "--sampler", "Euler")
    mix = ("--models", tmp_path, *small, "-m", "0.7*a + 0.3*b")
    told = answer(capsys, "generate", "a tower", *mix, "-o", tmp_path / "p.png")
    merged = tmp_path / "out" / "m.safetensors"
    merged.parent.mkdir()
    run(capsys, "merge", "0.7*a + 0.3*b", "--models", tmp_path, "-o", merged)
    other = answer(capsys, "generate", "a tower", *small, "-m", merged, "-o", tmp_path / "q.png")
    from PIL import Image

    pictures = [Image.open(tmp_path / name).convert("RGB").tobytes() for name in ("p.png", "q.png")]
    assert pictures[0] == pictures[1]
    assert "0.7*a + 0.3*b" in json.dumps(told) and "m.safetensors" in json.dumps(other)
    again = answer(
        capsys, "generate", "--from", tmp_path / "p.png", "--models", tmp_path,
        "-o", tmp_path / "r.png",
    )  # fmt: skip
    assert Image.open(tmp_path / "r.png").convert("RGB").tobytes() == pictures[0], again
    status, out, err = run(capsys, "generate", "a tower", *mix, "--dry-run")
    assert status == 0 and "0.7*a + 0.3*b" in out + err
