"""Opening: one call for files, folders and prefixes; what is dangerous is never handed out."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import pytest
import torch

from sfumato.containers import readers as opening
from sfumato.containers.model_file import (
    CONTAINERS,
    DIFFUSERS,
    PEFT,
    SAFETENSORS,
    SHARDED,
    TORCH_ZIP,
)
from sfumato.containers.open import open_model
from sfumato.containers.readers import READERS
from sfumato.containers.save import save
from sfumato.containers.source import Source
from sfumato.errors import Damaged, Dangerous, Unreadable
from toys import contents, random_tensors

CALLS = b"cposix\nsystem\n(S'true'\ntR."


def test_every_container_of_one_file_has_a_reader() -> None:
    assert {reader.container for reader in READERS} == {*CONTAINERS} - {DIFFUSERS, PEFT, SHARDED}


def test_a_suffix_that_lies_is_not_believed(tmp_path: Path) -> None:
    tensors = random_tensors({"a": (2, 3), "b": ()})
    save(tmp_path / "a.safetensors", tensors)
    (tmp_path / "a.safetensors").rename(tmp_path / "a.ckpt")
    torch.save({"a": torch.ones(2)}, tmp_path / "b.safetensors")
    with open_model(tmp_path / "a.ckpt") as model:
        assert (model.container, contents(model)) == (SAFETENSORS, contents(tensors))
    with open_model(str(tmp_path / "b.safetensors")) as model:
        assert (model.container, list(model)) == (TORCH_ZIP, ["a"])


def test_an_index_of_shards_opens_the_set(tmp_path: Path) -> None:
    tensors = random_tensors({"a": (2,), "b": (3,)})
    for name, tensor in tensors.items():
        save(tmp_path / f"{name}.safetensors", {name: tensor})
    index = tmp_path / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "a.safetensors", "b": "b.safetensors"}}')
    with open_model(index) as model:
        assert (model.container, contents(model)) == (SHARDED, contents(tensors))


@pytest.mark.parametrize("tail", [b"", b"\xff garbage"])
def test_a_pickle_that_calls_is_dangerous_whatever_follows(tmp_path: Path, tail: bytes) -> None:
    (tmp_path / "a.pt").write_bytes(CALLS[:-1] + (tail or b"."))
    with pytest.raises(Dangerous, match=r"refers to posix\.system") as caught:
        open_model(tmp_path / "a.pt")
    assert caught.value.journal is not None and caught.value.journal.dangerous
    assert ("besides" in str(caught.value)) == bool(tail)


def test_many_refused_names_are_counted(tmp_path: Path) -> None:
    data = b"".join(b"cm%d\nf\n0" % n for n in range(7)) + CALLS
    (tmp_path / "a.pt").write_bytes(data)
    with pytest.raises(Dangerous, match=r"m0\.f, m1\.f, m2\.f and 5 more"):
        open_model(tmp_path / "a.pt")


def test_the_file_of_a_failed_opening_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources: list[Source] = []

    def remembered(path: Path) -> Source:
        sources.append(Source(path))
        return sources[-1]

    monkeypatch.setattr(opening, "Source", remembered)
    for data in (b"", CALLS, b"GGUF\3\0\0\0" + b"\xff" * 16, b"just some text"):
        (tmp_path / "a").write_bytes(data)
        with pytest.raises((Dangerous, opening.BadFile)):
            open_model(tmp_path / "a")
    for source in sources:
        with pytest.raises(Unreadable, match="was closed"):
            source.read(0, 1) if source.size else source._pread(0, 1)


@pytest.mark.row(72)
def test_a_file_that_grows_while_it_is_opened_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.safetensors"
    save(path, random_tensors({"a": (2,)}))
    real = opening.sniff

    def grows(source: Source, limits: opening.Limits) -> opening.Container:
        with path.open("ab") as sink:
            sink.write(b"more")
        return real(source, limits)

    monkeypatch.setattr(opening, "sniff", grows)
    with pytest.raises(Damaged, match="changed while it was being opened"):
        open_model(path)


def test_tensors_can_be_read_until_the_model_is_closed(tmp_path: Path) -> None:
    save(tmp_path / "a.gguf", random_tensors({"a": (2,)}))
    with open_model(tmp_path / "a.gguf") as model:
        assert len(model["a"].read()) == 8
    with pytest.raises(Unreadable, match="was closed"):
        model["a"].read()


def test_a_pickle_inside_a_pickle_is_read_or_refused(tmp_path: Path) -> None:
    sink = io.BytesIO()
    torch.save(torch.ones(3), sink, _use_new_zipfile_serialization=False)
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"w": torch.ones(3)}))
    with open_model(tmp_path / "a.pkl") as model:
        assert model["w"].shape == (3,)
