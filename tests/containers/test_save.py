"""Saving: the format is chosen, the file proved, memory flat."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import pytest

from sfumato.containers import save_file as saving
from sfumato.containers.dtype import F32, U8
from sfumato.containers.layout import ahead, stream
from sfumato.containers.model_file import GGUF, PICKLE, SAFETENSORS, TORCH_ZIP
from sfumato.containers.open import open_model
from sfumato.containers.safetensors.read import read_safetensors
from sfumato.containers.save import save, writer_for
from sfumato.containers.source import Source
from sfumato.containers.tensor import Tensor
from sfumato.containers.verify import compare, compare_metadata
from sfumato.errors import OutputExists, Unreadable, Unverified, UsageError
from toys import contents, random_tensor, random_tensors

SHAPES = {"a": (3,), "b.weight": (2, 2), "empty": (0, 5), "scalar": ()}


def test_what_was_saved_is_told(tmp_path: Path) -> None:
    saved = save(tmp_path / "a.safetensors", random_tensors(SHAPES))
    assert (saved.container, saved.tensors, saved.verified) == (SAFETENSORS, 4, True)
    assert saved.nbytes == (tmp_path / "a.safetensors").stat().st_size


@pytest.mark.parametrize(
    ("name", "container"),
    [
        ("a.SFT", SAFETENSORS),
        ("a.safetensors", SAFETENSORS),
        ("a.ckpt", TORCH_ZIP),
        ("a.gguf", GGUF),
    ],
)
def test_the_suffix_chooses_the_format(name: str, container: object) -> None:
    assert writer_for(name).container == container


def test_a_container_given_is_stronger_than_the_suffix(tmp_path: Path) -> None:
    assert save(tmp_path / "a.bin", {}, container=SAFETENSORS).container == SAFETENSORS


def test_an_unknown_suffix_is_a_usage_error_that_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"'.zip'; formats that are: .safetensors"):
        writer_for("a.zip")
    with pytest.raises(UsageError, match="plain pickle is not written"):
        writer_for("a.pkl", PICKLE)


def test_saving_over_the_input_works_and_the_input_stays_readable(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save(path, random_tensors(SHAPES))
    with read_safetensors(Source(path)) as model:
        before = contents(model)
        kept = {name: model[name] for name in ("b.weight", "a")}
        save(path, kept, force=True)
        assert contents(model) == before
    with read_safetensors(Source(path)) as model:
        assert contents(model) == {name: before[name] for name in model}


def test_an_output_is_not_overwritten_without_force(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", random_tensors(SHAPES))
    with pytest.raises(OutputExists):
        save(tmp_path / "a.safetensors", {})


def test_progress_goes_up_to_the_end_over_writing_and_checking(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    saved = save(
        tmp_path / "a.safetensors",
        random_tensors({"a": (1000,), "b": (10,)}),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert {total for _, total in seen} == {2 * saved.nbytes}
    assert seen[-1][0] > 1.9 * saved.nbytes


class Liar:
    """A layout that writes something else than it promises."""

    def __init__(self, layout: saving.Layout, change: int) -> None:
        self.layout, self.change = layout, change
        self.nbytes, self.digests = layout.nbytes, layout.digests

    def emit(self, sink: object, progress: object) -> None:
        self.layout.emit(sink, progress)
        sink.seek(-1, 2)
        sink.write(bytes(self.change))


@pytest.mark.parametrize("change", [1, 5])
def test_an_output_that_reads_back_differently_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: int
) -> None:
    (writer, *_) = saving.WRITERS
    lying = saving.Writer(
        writer.container,
        writer.suffixes,
        lambda *given, tree: Liar(writer.plan(*given, tree=tree), change),
        writer.read,
        True,
    )
    monkeypatch.setattr(saving, "WRITERS", (lying,))
    (tmp_path / "a.safetensors").write_bytes(b"old")
    with pytest.raises(Unverified, match=r"a\.safetensors: "):
        save(tmp_path / "a.safetensors", {"a": random_tensor((3,))}, force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]
    assert (tmp_path / "a.safetensors").read_bytes() == b"old"


def test_every_difference_is_found_when_reading_back() -> None:
    meant = random_tensors(SHAPES)
    digests = {name: crc32(tensor.read()) for name, tensor in meant.items()}
    compare(meant, meant, digests)
    for written, reason in (
        ({}, "4 tensors are missing"),
        (meant | {"c": meant["a"]}, "1 tensors were not meant, such as c"),
        (meant | {"a": random_tensor((3,), seed=9)}, "a reads back with other bytes"),
        (meant | {"a": random_tensor((3, 1))}, r"a reads back as F32 \[3, 1\]"),
    ):
        with pytest.raises(Unverified, match=reason):
            compare(written, meant, digests)
    for changed in ({}, {"k": "w"}, {"k": "v", "l": ""}):
        with pytest.raises(Unverified, match="metadata value of"):
            compare_metadata(changed, {"k": "v"})


@pytest.mark.parametrize("given", [b"", b"abc", b"abcde"])
def test_a_tensor_that_gives_another_number_of_bytes_is_not_saved(
    tmp_path: Path, given: bytes
) -> None:
    with pytest.raises(Unverified, match=f"gave {len(given)} bytes where 4 were expected"):
        save(tmp_path / "a.safetensors", {"a": Tensor(U8, (4,), lambda: given)})
    assert list(tmp_path.iterdir()) == []


def test_reading_ahead_gives_the_same_pieces_in_the_same_order(tmp_path: Path) -> None:
    tensors = random_tensors({"a": (3, 1 << 20), "none": (0,), "b": (5,), "c": (7,)})
    for (name, tensor), (_, direct) in zip(ahead(tensors.items()), tensors.items(), strict=True):
        with (tmp_path / name).open("wb") as sink:
            assert stream(name, tensor, sink) == crc32(direct.read())
        assert (tmp_path / name).read_bytes() == direct.read()


def test_an_error_while_reading_ahead_reaches_the_writer(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield bytes(4)
        raise Unreadable("input", "gone")

    tensors = {"a": random_tensor((2,)), "b": Tensor(F32, (2,), lambda: b"", broken)}
    with pytest.raises(Unreadable, match="gone"):
        save(tmp_path / "a.safetensors", tensors)
    assert list(tmp_path.iterdir()) == []


MEMORY = """
import sys
from sfumato.containers.open import open_model
from sfumato.containers.safetensors.read import read_safetensors
from sfumato.containers.save import save
from sfumato.containers.source import Source
def peak():  # not ru_maxrss: that one begins at the peak of the process that started this one
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))
before = peak()
with read_safetensors(Source(sys.argv[1])) as model:
    save(sys.argv[2], model)
print((peak() - before) >> 20)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's own counter")
def test_saving_a_large_file_needs_little_memory(tmp_path: Path) -> None:
    tensors = {str(n): Tensor(U8, (100 << 20,), bytes, zeros) for n in range(3)}
    save(tmp_path / "large.safetensors", tensors)
    command = [
        sys.executable,
        "-c",
        MEMORY,
        *(str(tmp_path / n) for n in ("large.safetensors", "b.sft")),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 60


def zeros() -> Iterator[bytes]:
    for _ in range(100):
        yield bytes(1 << 20)


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".gguf", ".safetensors"])
def test_every_format_of_named_tensors_is_proved_by_reading_it_back(
    tmp_path: Path, suffix: str
) -> None:
    tensors = random_tensors({"a.weight": (4, 3), "a.bias": (4,), "b": (1, 2, 3)})
    assert save(tmp_path / f"a{suffix}", tensors).verified
    with open_model(tmp_path / f"a{suffix}") as model:
        assert contents(model) == contents({name: tensors[name] for name in model})
        assert set(model) == set(tensors)
