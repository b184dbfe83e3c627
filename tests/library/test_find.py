"""How files are found by name: folders, winners, aliases, hashes, and what is missing."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sfumato.containers.arrays import tensor_from
from sfumato.containers.save import save
from sfumato.containers.tensor import Tensor
from sfumato.errors import Refused, UsageError
from sfumato.library.find import VARIABLE, Shelf
from sfumato.library.folders import Kind, bare
from toys import random_tensors, write

LORA = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"


def touch(*paths: Path) -> None:
    for path in paths:
        write(path, b"")


def embedding(path: Path, width: int = 768) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path, {"emb_params": tensor_from(np.ones((2, width), np.float32))})
    return path


def lora(path: Path, *, alias: str = "", seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    shapes = {f"{LORA}.lora_down.weight": (4, 320), f"{LORA}.lora_up.weight": (320, 4)}
    tensors: dict[str, Tensor] = random_tensors(shapes, seed=seed)
    save(path, tensors, {"ss_output_name": alias} if alias else {})
    return path


PLACES: list[tuple[Kind, str]] = [
    ("checkpoint", "models/Stable-diffusion/photo/one.ckpt"),
    ("vae", "models/VAE/one.pt"),
    ("vae", "models/Stable-diffusion/two.vae.pt"),
    ("lora", "models/Lora/ink/one.safetensors"),
    ("lora", "models/LyCORIS/one.safetensors"),
    ("embedding", "embeddings/bad/one.pt"),
    ("hypernetwork", "models/hypernetworks/one.pt"),
    ("preview", "models/VAE-approx/one.pt"),
    ("checkpoint", "models/checkpoints/one.safetensors"),
    ("checkpoint", "models/diffusion_models/one.safetensors"),
    ("vae", "models/vae/one.safetensors"),
    ("lora", "models/loras/one.safetensors"),
    ("embedding", "models/embeddings/one.pt"),
    ("hypernetwork", "models/hypernetworks/one.pt"),
    ("lora", "loras/one.safetensors"),
    ("embedding", "Embeddings/one.webp"),
]


@pytest.mark.parametrize(("kind", "place"), PLACES)
def test_the_folders_of_every_program_tell_the_kind(kind: Kind, place: str, tmp_path: Path) -> None:
    touch(tmp_path / place)
    name = "two" if "two." in place else "one"
    assert Shelf((tmp_path,)).find(kind, name) == tmp_path / place


def test_only_the_places_of_models_are_looked_at_in_a_programs_folder(tmp_path: Path) -> None:
    touch(tmp_path / "models/Lora/ink.pt", tmp_path / "venv/lora/other.pt")
    assert [entry.name for entry in Shelf((tmp_path,)).all("lora")] == ["ink"]


def test_in_a_flat_folder_the_content_tells_the_kind(tmp_path: Path) -> None:
    words = embedding(tmp_path / "words.safetensors")
    ink = lora(tmp_path / "deep/er/ink.safetensors")
    shelf = Shelf((tmp_path,))
    assert [e.path for e in shelf.all("embedding")] == [words]
    assert shelf.find("lora", "deep/er/ink") == ink
    with pytest.raises(UsageError, match="there is no LoRA words"):
        shelf.find("lora", "words")


def test_a_folder_that_the_user_names_may_hold_anything_whatever_it_is_called(
    tmp_path: Path,
) -> None:
    words = embedding(tmp_path / "loras/words.safetensors")
    assert Shelf((tmp_path / "loras",)).find("embedding", "words") == words


@pytest.mark.parametrize(
    "name",
    ["ink", "ink.safetensors", "sub/ink", "sub/ink.safetensors", "sub\\ink", "INK", "Sub/Ink"],
)
def test_a_file_has_many_names(name: str, tmp_path: Path) -> None:
    path = tmp_path / "lora/sub/ink.safetensors"
    touch(path)
    assert Shelf((tmp_path,)).find("lora", name) == path


def test_exact_capitals_win_and_others_are_said(tmp_path: Path) -> None:
    upper, lower = tmp_path / "lora/Ink.pt", tmp_path / "lora/ink.pt"
    touch(upper, lower)
    shelf = Shelf((tmp_path,))
    assert shelf.resolve("lora", "Ink").path == upper
    assert not shelf.resolve("lora", "ink").note
    assert "other capitals" in shelf.resolve("lora", "INK").note


def test_a_dot_in_a_name_is_no_suffix(tmp_path: Path) -> None:
    touch(tmp_path / "lora/style-v1.5.safetensors")
    assert bare("style-v1.5") == "style-v1.5"
    assert Shelf((tmp_path,)).find("lora", "style-v1.5").name == "style-v1.5.safetensors"


def test_paths_are_taken_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "x/any.bin")
    monkeypatch.chdir(tmp_path)
    assert Shelf().find("lora", "x/any.bin") == Path("x/any.bin")
    assert Shelf().find("lora", str(tmp_path / "x/any.bin")) == tmp_path / "x/any.bin"
    with pytest.raises(UsageError, match="--models"):
        Shelf().find("lora", "x/any.bin", paths=False)


def test_the_first_folder_wins_then_formats_without_programs_then_the_nearer(
    tmp_path: Path,
) -> None:
    first, second = tmp_path / "a/lora", tmp_path / "b/lora"
    touch(second / "ink.safetensors", second / "ink.pt")
    shelf = Shelf((tmp_path / "a", tmp_path / "b"))
    assert shelf.find("lora", "ink") == second / "ink.safetensors"
    touch(first / "sub/ink.pt", first / "ink.ckpt")
    shelf.refresh()
    found = shelf.resolve("lora", "ink")
    assert found.path == first / "ink.ckpt"
    assert found.others[0] == first / "sub/ink.pt"
    assert "goes before" in found.note


def test_a_file_that_appears_later_is_found(tmp_path: Path) -> None:
    shelf = Shelf((tmp_path,))
    assert shelf.all("lora") == []
    touch(tmp_path / "lora/new.pt")
    assert shelf.find("lora", "new") == tmp_path / "lora/new.pt"


def test_a_lora_is_found_by_the_name_it_was_trained_under(tmp_path: Path) -> None:
    path = lora(tmp_path / "lora/file-v3-final.safetensors", alias="Ink")
    found = Shelf((tmp_path,)).resolve("lora", "ink")
    assert found.path == path and "alias" in found.note


def test_an_alias_of_two_files_is_refused_with_both(tmp_path: Path) -> None:
    for name in ("one", "two"):
        lora(tmp_path / f"lora/{name}.safetensors", alias="ink")
    with pytest.raises(Refused, match=r"one\.safetensors and .*two\.safetensors"):
        Shelf((tmp_path,)).find("lora", "ink")


def test_copies_of_one_file_share_their_alias(tmp_path: Path) -> None:
    first = lora(tmp_path / "a/lora/file.safetensors", alias="ink")
    copy = lora(tmp_path / "b/lora/file.safetensors", alias="ink")
    found = Shelf((tmp_path / "a", tmp_path / "b")).resolve("lora", "ink")
    assert (found.path, found.others) == (first, (copy,))


def test_a_file_name_goes_before_an_alias(tmp_path: Path) -> None:
    own = lora(tmp_path / "lora/ink.safetensors", seed=1)
    lora(tmp_path / "lora/other.safetensors", alias="ink", seed=2)
    assert Shelf((tmp_path,)).find("lora", "ink") == own


def test_a_hash_finds_a_file_where_it_is_written_as_one(tmp_path: Path) -> None:
    path = lora(tmp_path / "lora/ink.safetensors")
    digits = hashlib.sha256(path.read_bytes()).hexdigest()[:10]
    shelf = Shelf((tmp_path,))
    for name in (f"hash:{digits}", f"[{digits}]", f"gone [{digits}]", f"hash:{digits.upper()}"):
        assert shelf.resolve("lora", name).path == path
    with pytest.raises(UsageError):
        shelf.find("lora", digits)
    with pytest.raises(UsageError):
        shelf.find("lora", "hash:0000000000")


def test_a_name_with_its_hash_needs_no_hash(tmp_path: Path) -> None:
    touch(tmp_path / "checkpoints/model.ckpt", tmp_path / "checkpoints/odd [abcdef0123].ckpt")
    shelf = Shelf((tmp_path,))
    assert shelf.find("checkpoint", "model [abcdef0123]").name == "model.ckpt"
    assert shelf.find("checkpoint", "odd [abcdef0123]").name == "odd [abcdef0123].ckpt"


def test_the_nearest_names_are_offered(tmp_path: Path) -> None:
    touch(tmp_path / "lora/watercolor.pt", tmp_path / "lora/ink.pt")
    with pytest.raises(UsageError, match="the nearest: watercolor"):
        Shelf((tmp_path,)).find("lora", "watercolour")
    with pytest.raises(UsageError, match="no VAE at all"):
        Shelf((tmp_path,)).find("vae", "x")


def test_the_name_of_an_unreadable_file_leads_to_it(tmp_path: Path) -> None:
    path = write(tmp_path / "broken.safetensors", b"\xff" * 100)
    assert Shelf((tmp_path,)).find("lora", "broken") == path


def test_a_preview_decoder_is_a_vae_where_no_vae_has_its_name(tmp_path: Path) -> None:
    touch(tmp_path / "models/VAE-taesd/taesd_decoder.pth", tmp_path / "models/VAE/vae.pt")
    shelf = Shelf((tmp_path,))
    assert shelf.find("vae", "taesd_decoder").name == "taesd_decoder.pth"
    assert [entry.name for entry in shelf.all("vae")] == ["vae"]


def test_a_diffusers_folder_is_one_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "models/diffusers/my.pipeline"
    write(folder / "model_index.json", b"{}")
    touch(folder / "unet/diffusion_pytorch_model.safetensors")
    assert [e.path for e in Shelf((tmp_path,)).all("checkpoint")] == [folder]


def test_links_in_circles_and_closed_folders_are_survived(tmp_path: Path) -> None:
    touch(tmp_path / "lora/ink.pt", tmp_path / "closed/secret.pt")
    (tmp_path / "lora/again").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "lora/gone.pt").symlink_to(tmp_path / "nowhere")
    (tmp_path / "closed").chmod(0)
    try:
        assert [e.path for e in Shelf((tmp_path,)).all("lora")] == [tmp_path / "lora/ink.pt"]
    finally:
        (tmp_path / "closed").chmod(0o755)


def test_links_to_folders_and_files_are_followed(tmp_path: Path) -> None:
    touch(tmp_path / "store/ink.pt")
    (tmp_path / "models/loras").mkdir(parents=True)
    (tmp_path / "models/loras/linked").symlink_to(tmp_path / "store", target_is_directory=True)
    (tmp_path / "models/loras/called-otherwise.pt").symlink_to(tmp_path / "store/ink.pt")
    shelf = Shelf((tmp_path,))
    assert shelf.find("lora", "linked/ink").is_file()
    assert shelf.find("lora", "called-otherwise").is_file()


def test_names_that_are_no_paths_are_just_unknown(tmp_path: Path) -> None:
    for name in ("", ".", "..", "\0", "a\0b", "/", "x" * 5000, "[", "hash:", "*"):
        with pytest.raises(UsageError):
            Shelf((tmp_path,)).find("lora", name)


def test_the_environment_adds_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setenv(VARIABLE, os.pathsep.join([str(tmp_path / "x"), "", str(tmp_path)]))
    shelf = Shelf.from_environment([tmp_path])
    assert shelf.folders == (tmp_path, tmp_path / "x")
    with pytest.raises(UsageError, match="is no folder"):
        Shelf.from_environment([tmp_path / "nothing"])


def test_finding_files_takes_no_torch() -> None:
    code = "import sfumato.library.find, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_thousands_of_files_are_no_burden(tmp_path: Path) -> None:
    import time

    for number in range(2000):
        write(tmp_path / f"lora/{number % 40}/file{number}.safetensors", b"")
    start = time.perf_counter()
    assert Shelf((tmp_path,)).find("lora", "file1999").name == "file1999.safetensors"
    assert time.perf_counter() - start < 5


def test_a_single_file_wins_over_those_in_folders(tmp_path: Path) -> None:
    touch(tmp_path / "models/Lora/ink.safetensors", tmp_path / "mine/ink.safetensors")
    own = tmp_path / "mine/ink.safetensors"
    shelf = Shelf((tmp_path / "models",), files=(("lora", own),))
    assert shelf.resolve("lora", "ink").path == own
    assert next(entry.path for entry in shelf.all("lora")) == own
