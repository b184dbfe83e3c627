"""Replacing a file in one step: old or new, never half."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from sfumato.containers.atomic import replacing
from sfumato.errors import NoRoom, OutputExists, Refused


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    with replacing(tmp_path / "a", 3) as sink:
        sink.write(b"new")
        (partial,) = names(tmp_path)
        assert partial.startswith(".a.")
        assert partial.endswith(".partial")
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: type[BaseException]
) -> None:
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(error), replacing(tmp_path / "a", 3, force=True) as sink:
        sink.write(b"ne")
        raise error
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_an_output_that_exists_is_only_replaced_by_force(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(OutputExists, match="already there"), replacing(tmp_path / "a", 1):
        pass
    with replacing(tmp_path / "a", 3, force=True) as sink:
        sink.write(b"new")
    assert (tmp_path / "a").read_bytes() == b"new"


def test_an_output_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(OutputExists), replacing(tmp_path / "a", 3):
        (tmp_path / "a").write_bytes(b"theirs")
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"theirs"


def test_the_disk_must_have_room_before_the_first_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=5_000_000))
    with pytest.raises(NoRoom, match=r"needs 4 GB, and its disk has 5 MB free"):  # noqa: SIM117
        with replacing(tmp_path / "a", 4_000_000_000):
            pass
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (errno.ENOSPC, "became full", NoRoom),
        (errno.EFBIG, "no files as large", NoRoom),
        (errno.EIO, "cannot be written", Refused),
    ],
)
def test_a_write_that_fails_is_said_and_cleaned_up(
    tmp_path: Path, code: int, reason: str, kind: type[Refused]
) -> None:
    with pytest.raises(kind, match=reason), replacing(tmp_path / "a", 3):
        raise OSError(code, os.strerror(code))
    assert names(tmp_path) == []


def test_the_permission_bits_of_the_old_file_stay(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "a").chmod(0o604)
    with replacing(tmp_path / "a", 3, force=True) as sink:
        sink.write(b"new")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o604


def test_a_link_stays_a_link_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real/a")
    with replacing(tmp_path / "link", 3, force=True) as sink:
        sink.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "a").read_bytes() == b"new"


def test_folders_pipes_and_missing_folders_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name, reason in (("pipe", "pipe"), ("folder", "is a folder"), ("no/a", "no folder")):
        with pytest.raises(Refused, match=reason), replacing(tmp_path / name, 1, force=True):
            pass
    assert names(tmp_path) == ["folder", "pipe"]


def test_a_name_of_the_longest_length_can_be_written(tmp_path: Path) -> None:
    name = "画" * 85
    with replacing(tmp_path / name, 1) as sink:
        sink.write(b"x")
    assert names(tmp_path) == [name]


KILLED = """
import sys
from sfumato.containers.dtype import U8
from sfumato.containers.save import save
from sfumato.containers.tensor import Tensor

def slow():
    import time
    for _ in range(100):
        print("writing", flush=True)
        time.sleep(0.05)
        yield bytes(100_000)

save(sys.argv[1], {"a": Tensor(U8, (10_000_000,), lambda: bytes(10_000_000), slow)}, force=True)
"""


def test_a_kill_in_the_middle_of_saving_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"old")
    command = [sys.executable, "-c", KILLED, str(tmp_path / "a.safetensors")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        for _ in range(3):
            writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    left = names(tmp_path)
    assert (tmp_path / "a.safetensors").read_bytes() == b"old"
    assert len(left) == 2
    assert left[0].startswith(".a.safetensors.")
    assert left[0].endswith(".partial")


def test_a_reader_beside_the_writer_sees_old_or_new(tmp_path: Path) -> None:
    path, seen = tmp_path / "a", set[bytes]()
    path.write_bytes(b"0" * 1000)
    for digit in b"123456789":
        with replacing(path, 1000, force=True) as sink:
            for _ in range(10):
                sink.write(bytes([digit]) * 100)
                seen.add(path.read_bytes())
        time.sleep(0)
    assert all(len(set(content)) == 1 and len(content) == 1000 for content in seen)
