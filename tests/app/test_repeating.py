"""`sfumato generate --from`: the very files, weights, samplers and styles of a picture."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from paintable import UNET_PREFIX, checkpoint
from sfumato.app.cli import main
from sfumato.containers.save import save

pytestmark = pytest.mark.slow

Capture = pytest.CaptureFixture[str]

SMALL = ("--size", "32x32", "--steps", "2", "--seed", "5", "--sampler", "Euler")


def answer(capsys: Capture, *arguments: str | Path) -> Any:  # noqa: ANN401
    with pytest.raises(SystemExit) as stopped:
        main([*map(str, arguments), "--json"])
    captured = capsys.readouterr()
    assert stopped.value.code == 0, captured.err
    return json.loads(captured.out)


def pixels(path: Path) -> bytes:
    with Image.open(path) as image:
        return image.convert("RGB").tobytes()


@pytest.fixture
def own(studio: Path, tmp_path: Path) -> Path:
    """A copy of the studio that a test may change."""
    return shutil.copytree(studio, tmp_path / "own")


def painted(capsys: Capture, own: Path, *words: str) -> Path:
    out = own.parent / "first.png"
    answer(capsys, "generate", *words, "--models", own, *SMALL, "-o", out)
    return out


def again(capsys: Capture, own: Path, *words: str | Path) -> tuple[Path, str]:
    """The picture of `painted` repeated, and all that was said."""
    out, first = own.parent / "again.png", own.parent / "first.png"
    told = answer(
        capsys, "generate", "--from", first, "--models", own, "-o", out, "--force", *words
    )
    return out, "\n".join(told["notes"])


def written_otherwise(path: Path) -> None:
    """Other bytes that are a file of the same kind."""
    if path.suffix == ".safetensors":
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    else:
        other = path.with_name("written-otherwise.pt")
        torch.save(torch.load(path, weights_only=True), other)
        other.replace(path)


FILES = (
    ("a fox <lora:ink:1>", "models/Lora/ink.safetensors", "LoRA ink"),
    ("a fox <hypernet:glow:1>", "models/hypernetworks/glow.pt", "hypernetwork glow"),
    ("a moonglade", "embeddings/moonglade.pt", "embedding moonglade"),
)


@pytest.mark.parametrize(("prompt", "name", "title"), FILES, ids=[file[2] for file in FILES])
def test_a_renamed_file_is_found_by_its_hash_before_one_that_took_its_name(
    capsys: Capture, own: Path, prompt: str, name: str, title: str
) -> None:
    first, path = painted(capsys, own, prompt), own / name
    path.rename(path.with_stem("renamed"))
    assert pixels(first) == pixels(again(capsys, own)[0])
    path.write_bytes(b"another")
    again_, told = again(capsys, own)
    assert f"renamed{path.suffix} is the picture's {title} by its hash" in told
    assert pixels(first) == pixels(again_)


@pytest.mark.parametrize(("prompt", "name", "title"), FILES, ids=[file[2] for file in FILES])
def test_a_file_of_the_same_name_and_another_content_is_told(
    capsys: Capture, own: Path, prompt: str, name: str, title: str
) -> None:
    painted(capsys, own, prompt)
    written_otherwise(own / name)
    told = again(capsys, own)[1]
    assert f"has another hash than the {title} that the picture was painted with" in told


def test_a_lora_that_was_given_by_path_is_found_in_the_folders(capsys: Capture, own: Path) -> None:
    path = own / "models/Lora/ink.safetensors"
    elsewhere = Path(shutil.copy(path, own.parent / "draft.safetensors"))
    first = painted(capsys, own, "a fox", "-l", f"{elsewhere}:0.5")
    elsewhere.unlink()
    again_, told = again(capsys, own)
    assert "ink.safetensors is the picture's LoRA draft by its hash" in told
    assert pixels(first) == pixels(again_)


def test_a_vae_is_found_by_its_hash_and_told_where_it_is_another(
    capsys: Capture, own: Path
) -> None:
    first = painted(capsys, own, "a fox", "--vae", "soft")
    (path,) = own.rglob("soft*.safetensors")
    moved = path.rename(path.with_name("softer.safetensors"))
    again_, told = again(capsys, own)
    assert "is the picture's VAE soft" in told and pixels(first) == pixels(again_)
    written_otherwise(moved.rename(path))
    assert "has another hash than the VAE soft" in again(capsys, own)[1]


def test_an_embedding_that_is_nowhere_is_told(capsys: Capture, own: Path) -> None:
    painted(capsys, own, "a moonglade")
    (own / "embeddings/moonglade.pt").unlink()
    assert "the picture's embedding moonglade is not there" in again(capsys, own)[1]


def test_what_an_option_names_goes_before_what_the_picture_tells(
    capsys: Capture, own: Path
) -> None:
    painted(capsys, own, "a fox", "-l", "ink")
    other = own.parent / "ink.safetensors"
    shutil.copy(own / "models/Lora/ink.safetensors", other)
    written_otherwise(other)
    told = again(capsys, own, "a fox", "-l", other)[1]
    assert "hash" not in told


def test_a_picture_of_forge_is_repeated_with_what_is_here(capsys: Capture, own: Path) -> None:
    text = "a fox\nSteps: 2, Sampler: DDPM, Schedule type: Turbo, Seed: 5, Size: 32x32"
    (own.parent / "first.txt").write_text(text)
    Image.new("RGB", (8, 8)).save(own.parent / "first.png")
    told = again(capsys, own)[1]
    assert "Sampler: DDPM" in told and "Schedule type: Turbo" in told


def test_the_styles_in_a_picture_stay_when_its_prompt_is_another(
    capsys: Capture, own: Path
) -> None:
    (own / "styles.csv").write_text('name,prompt,negative_prompt\nsoft,"{prompt}, mist",dark\n')
    styles = ("--styles", str(own / "styles.csv"))
    first = painted(capsys, own, "a fox", *styles, "--style", "soft")
    again_, told = again(capsys, own, *styles)
    assert "its prompts hold the styles soft" in told and pixels(first) == pixels(again_)
    wolf = answer(capsys, "picture", again(capsys, own, "a wolf", *styles)[0], *styles)
    assert (wolf["prompt"], wolf["negative"], wolf["styles"]) == ("a wolf", "", ["soft"])
    assert wolf["text"].startswith("a wolf, mist\nNegative prompt: dark")


def test_averaged_weights_are_painted_with_again(capsys: Capture, tmp_path: Path) -> None:
    tensors, other = dict(checkpoint("sd1")), checkpoint("sd1", seed=1)
    live = [name for name in tensors if name.startswith(UNET_PREFIX)]
    flat = {"model_ema." + n.removeprefix("model.").replace(".", ""): other[n] for n in live}
    own = tmp_path / "own"
    own.mkdir()
    save(own / "both.safetensors", tensors | flat)
    first = painted(capsys, own, "a fox", "--weights", "ema")
    assert pixels(first) == pixels(again(capsys, own)[0])
    assert pixels(first) != pixels(again(capsys, own, "--weights", "live")[0])
