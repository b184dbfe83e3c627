"""`sfumato catalog` answers in words, in JSON, and with the right exit status."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sfumato.app.cli import main
from sfumato.catalogue.published import lines

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")


def run(capsys: Capture, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(["catalog", *arguments])
    captured = capsys.readouterr()
    assert isinstance(stopped.value.code, int)
    return stopped.value.code, captured.out, captured.err


def answer(capsys: Capture, *arguments: str) -> dict[str, Any]:
    status, out, _ = run(capsys, *arguments, "--json")
    assert status == 0
    return json.loads(out)


def test_without_words_every_line_is_listed(capsys: Capture) -> None:
    status, out, _ = run(capsys)
    assert status == 0
    assert all(line.title in out for line in lines())


def test_every_page_fits_eighty_columns(capsys: Capture) -> None:
    for line in lines():
        status, out, _ = run(capsys, line.title)
        assert status == 0
        assert line.title in out.splitlines()[0]
        assert all(len(row) <= 80 for row in out.splitlines()), line.title


def test_a_page_says_what_to_take_and_what_is_not_known(capsys: Capture) -> None:
    _, out, _ = run(capsys, "sd 1.5")
    assert "to paint      v1-5-pruned-emaonly.safetensors" in out
    assert "to fine-tune  v1-5-pruned.safetensors" in out
    assert "6ce0161689" in out and "EMA + raw" in out
    _, out, _ = run(capsys, "aniverse")
    assert "clip skip     not known" in out and "579e6f85*" in out


def test_words_of_several_models_give_their_files(capsys: Capture) -> None:
    _, out, _ = run(capsys, "v5.1")
    assert "MeinaMix Meina V5.1" in out and "Realistic Vision V5.1 Hyper (VAE)" in out


def test_a_file_name_is_found(capsys: Capture) -> None:
    found = answer(capsys, "orangemix.vae.pt")
    assert [file["name"] for file in found["files"]] == ["NovelAI VAE"]


@pytest.mark.parametrize(
    ("text", "name", "certainty"),
    [
        ("879db523c3", "DreamShaper", "very likely"),
        ("7C6BAD76EB54", "Detail Tweaker", "very likely"),
        ("a0f13c83", "Realistic Vision", "one of these"),
    ],
)
def test_any_hash_is_found(capsys: Capture, text: str, name: str, certainty: str) -> None:
    (match,) = answer(capsys, text)["matches"]
    assert match["certainty"] == certainty
    assert match["files"][0]["name"] == name
    _, out, _ = run(capsys, text)
    assert out.startswith(certainty) and f'sfumato catalog "{name}"' in out


def test_json_leaves_out_what_is_not_known(capsys: Capture) -> None:
    (line,) = answer(capsys, "aniverse")["lines"]
    assert "vae" not in line and "clip_skip" not in line
    assert line["maker"] == "Samael1976"


def test_the_list_is_limited_to_a_kind_and_a_family(capsys: Capture) -> None:
    kinds = {line["kind"] for line in answer(capsys, "--kind", "embedding")["lines"]}
    assert kinds == {"embedding"}
    titles = {line["title"] for line in answer(capsys, "--family", "sd2")["lines"]}
    assert "Stable Diffusion 2.1" in titles and "DreamShaper" not in titles


def test_the_files_of_a_page_are_limited_too(capsys: Capture) -> None:
    found = answer(capsys, "hyper-sd", "--family", "sdxl")
    assert {file["family"] for file in found["files"]} == {"sdxl"}
    status, _, _ = run(capsys, "dreamshaper", "--family", "sd2")
    assert status == 1


def test_an_unknown_name_fails_with_the_nearest_ones(capsys: Capture) -> None:
    status, out, err = run(capsys, "dreamshapr")
    assert (status, out) == (1, "")
    assert err.count("\n") == 1 and "DreamShaper" in err


def test_an_unknown_name_with_control_characters_is_made_visible(capsys: Capture) -> None:
    status, _, err = run(capsys, "\x1b[2Jzzz")
    assert status == 1 and "\x1b" not in err


def test_an_unknown_hash_fails_and_the_empty_one_is_explained(capsys: Capture) -> None:
    assert run(capsys, "0123456789ab")[0] == 1
    status, _, err = run(capsys, "e3b0c442")
    assert status == 1 and "1 MiB or less" in err


def test_an_unknown_kind_is_wrong_usage(capsys: Capture) -> None:
    status, _, err = run(capsys, "--kind", "nope")
    assert status == 2 and "checkpoint" in err
