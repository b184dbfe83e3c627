"""`sfumato inspect`: cards for people, JSON for programs, a status for scripts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import opcodes as op
from sfumato.app.cli import main
from sfumato.containers.dtype import F16, F32
from sfumato.containers.save import save
from toys import random_tensors, safetensors_bytes, write

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")


def run(capsys: Capture, *arguments: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(["inspect", *map(str, arguments)])
    captured = capsys.readouterr()
    assert isinstance(stopped.value.code, int)
    return stopped.value.code, captured.out, captured.err


def answer(capsys: Capture, *arguments: str | Path) -> Any:  # noqa: ANN401 (it is JSON)
    return json.loads(run(capsys, "--json", *arguments)[1])


def embedding(folder: Path) -> Path:
    path = folder / "moonlight.safetensors"
    save(path, random_tensors({"emb_params": (4, 768)}, F32), force=True)
    return path


def poisoned(folder: Path) -> Path:
    call = op.global_("os", "system") + op.text("echo gotcha") + op.TUPLE1 + op.REDUCE
    return write(folder / "gift.pkl", op.proto(2) + call + op.STOP)


def test_a_card_says_what_an_embedding_is_and_how_to_call_it(
    capsys: Capture, tmp_path: Path
) -> None:
    status, out, _ = run(capsys, embedding(tmp_path))
    assert status == 0
    assert "SD 1.x embedding, 4 vectors" in out
    assert 'Write "moonlight" in a prompt' in out


def test_a_dangerous_file_lists_what_it_would_run_and_ends_with_status_three(
    capsys: Capture, tmp_path: Path
) -> None:
    status, out, _ = run(capsys, poisoned(tmp_path))
    assert status == 3
    assert "DANGEROUS" in out and "os.system" in out and "echo gotcha" in out


def test_a_dangerous_file_is_not_executed(capsys: Capture, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    call = op.global_("pathlib", "Path.touch") + op.text(str(mark)) + op.TUPLE1 + op.REDUCE
    run(capsys, write(tmp_path / "x.pkl", op.proto(4) + call + op.STOP))
    assert not mark.exists()


def test_the_journal_in_json_has_name_place_and_arguments(capsys: Capture, tmp_path: Path) -> None:
    card = answer(capsys, poisoned(tmp_path))
    assert (card["verdict"], card["schema"], card["parts"]) == ("dangerous", 1, [])
    call = next(event for event in card["journal"] if event["kind"] == "call")
    assert call["risk"] == "refused" and "echo gotcha" in call["arguments"]


def test_a_bad_file_does_not_stop_the_rest(capsys: Capture, tmp_path: Path) -> None:
    write(tmp_path / "a.ckpt", b"<!DOCTYPE html><title>Sign in</title>")
    embedding(tmp_path)
    status, out, _ = run(capsys, tmp_path)
    assert status == 4
    assert "not a model" in out and "embedding, 4 vectors" in out


def test_danger_outweighs_damage_in_the_exit_status(capsys: Capture, tmp_path: Path) -> None:
    write(tmp_path / "z.safetensors", safetensors_bytes({"a": 1}))
    poisoned(tmp_path)
    assert run(capsys, tmp_path)[0] == 3


def test_a_missing_file_is_a_sentence_and_status_one(capsys: Capture, tmp_path: Path) -> None:
    status, _, err = run(capsys, tmp_path / "nothing.ckpt")
    assert status == 1
    assert "nothing.ckpt" in err and "Traceback" not in err


def test_previews_and_side_files_in_a_folder_are_passed_over(
    capsys: Capture, tmp_path: Path
) -> None:
    embedding(tmp_path)
    write(tmp_path / "moonlight.json", b"{}")
    write(tmp_path / "moonlight.preview.png", b"\x89PNG\r\n\x1a\n")
    write(tmp_path / ".hidden.ckpt", b"")
    assert [card["kind"] for card in answer(capsys, tmp_path)] == ["embedding"]


def test_a_pattern_finds_files_and_a_vain_one_is_wrong_usage(
    capsys: Capture, tmp_path: Path
) -> None:
    embedding(tmp_path)
    assert run(capsys, f"{tmp_path}/*.safetensors")[0] == 0
    assert run(capsys, f"{tmp_path}/*.gguf")[0] == 2


def test_hashes_are_shown_when_asked_for(capsys: Capture, tmp_path: Path) -> None:
    hashes = answer(capsys, "--hash", embedding(tmp_path))["hashes"]
    assert len(hashes["sha256"]) == 64 and hashes["autov2"] == hashes["sha256"][:10]
    assert len(hashes["autov3"]) == 12
    assert answer(capsys, embedding(tmp_path))["hashes"] is None


def test_numbers_are_read_when_asked_for(capsys: Capture, tmp_path: Path) -> None:
    path = tmp_path / "zero.safetensors"
    save(path, random_tensors({"x": (3,), "y": (2, 2)}, F16))
    health = answer(capsys, "--deep", path)["health"]
    assert health["tensors"] == 2
    assert health["sentences"]


def test_text_from_the_file_cannot_drive_the_terminal(capsys: Capture, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    bad = "\x1b[31mred\u202e"
    save(path, random_tensors({bad: (2,), "emb_params": (1, 768)}), {bad: bad})
    _, out, _ = run(capsys, "--full", path)
    assert "\x1b" not in out and "\u202e" not in out


def test_every_file_of_the_reference_set_is_named_rightly(capsys: Capture, real: Path) -> None:
    cards = {Path(card["path"]).name: card for card in answer(capsys, real)}
    found = {
        name: (card["kind"], card["family"], (card["adapter"] or {}).get("flavour", ""))
        for name, card in cards.items()
    }
    assert found == REAL


REAL = {
    "bare-tensor-aesthetic-fantasy.pt": ("aesthetic-gradient", "sd1", ""),
    "checkpoint-empty-dict.pt": ("unknown", "unknown", ""),
    "embedding-EasyNegative.safetensors": ("embedding", "sd1", "emb_params"),
    "embedding-a1111-bad-artist.pt": ("embedding", "sd1", "a1111"),
    "embedding-a1111-bad_prompt_version2.pt": ("embedding", "sd1", "a1111"),
    "embedding-diffusers-cat-toy.bin": ("embedding", "sd1", "diffusers"),
    "embedding-in-picture.png": ("embedding", "sd1", "a1111"),
    "empty-header.safetensors": ("unknown", "unknown", ""),
    "lora-cloneofsimo-analog_svd_rank4.safetensors": ("lora", "sd1", "lora"),
    "lora-cloneofsimo-disney_inpainting.safetensors": ("lora", "sd1", "lora"),
    "lora-diffusers-bf16.safetensors": ("lora", "sd2", "lora"),
    "lora-diffusers.bin": ("lora", "sd1", "lora"),
    "taef2_decoder.pth": ("vae", "flux2", ""),
    "vae-approx.pt": ("vae", "sd1/sdxl", ""),
}
"""what each file is, by the tools that made them"""


def test_trigger_words_of_the_reference_set(capsys: Capture, real: Path) -> None:
    def words(name: str) -> list[str]:
        return [found["word"] for found in answer(capsys, real / name)["trigger_words"]]

    assert words("embedding-diffusers-cat-toy.bin")[0] == "<cat-toy>"
    assert words("embedding-EasyNegative.safetensors") == ["embedding-EasyNegative"]
    assert "bad-artist" in words("embedding-a1111-bad-artist.pt")
    assert words("lora-cloneofsimo-disney_inpainting.safetensors") == ["<s1>", "<s2>"]
