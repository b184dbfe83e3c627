"""Random damage: whatever is done to a file, opening it ends in an answer from the error tree."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from sfumato.app.cli.console import emit_json
from sfumato.catalogue.card import Card
from sfumato.catalogue.card_json import to_json
from sfumato.catalogue.inspect import inspect
from sfumato.containers.open import open_model
from sfumato.errors import SfumatoError
from toys import small_files

FLIPS = 10_000
VERDICTS = {"clean", "dangerous", "damaged", "unsupported", "not-a-model"}


def printed(card: Card) -> str:
    """What `sfumato inspect --json` prints."""
    out = io.BytesIO()
    with redirect_stdout(io.TextIOWrapper(out, "utf-8", write_through=True)):
        emit_json(to_json(card))
    return out.getvalue().decode()


def look(path: Path) -> str:
    """The verdict, with every tensor read where the file opens."""
    card = inspect(path)
    assert json.loads(printed(card))["verdict"] == card.verdict
    if card.verdict == "clean":
        try:
            with open_model(path) as model:
                for tensor in model.values():
                    for piece in tensor.chunks():
                        assert len(piece) <= tensor.nbytes
        except SfumatoError:
            return "damaged"
    return card.verdict


def flipped(data: bytes, seed: int, count: int) -> Iterator[bytes]:
    generator = random.Random(seed)
    for _ in range(count):
        damaged = bytearray(data)
        for _ in range(generator.choice((1, 1, 1, 2, 8))):
            damaged[generator.randrange(len(damaged))] ^= generator.randrange(1, 256)
        yield bytes(damaged)


@pytest.mark.slow
@pytest.mark.row(75)
def test_ten_thousand_byte_flips_never_escape_the_error_tree(tmp_path: Path) -> None:
    files = small_files(tmp_path)
    share = FLIPS // len(files) + 1
    for number, (name, data) in enumerate(sorted(files.items())):
        for damaged in flipped(data, seed=number, count=share):
            path = tmp_path / name
            path.write_bytes(damaged)
            assert look(path) in VERDICTS, name


@pytest.mark.slow
@pytest.mark.row(75)
def test_byte_flips_of_real_files_never_escape_the_error_tree(real: Path, tmp_path: Path) -> None:
    files = [path for path in sorted(real.iterdir()) if 16 < path.stat().st_size <= 50_000]
    files = [path for path in files if path.suffix != ".md"]
    assert files
    for number, source in enumerate(files):
        for damaged in flipped(source.read_bytes(), seed=1000 + number, count=400):
            path = tmp_path / source.name
            path.write_bytes(damaged)
            assert look(path) in VERDICTS, source.name


@pytest.mark.slow
@pytest.mark.row(11)
def test_every_beginning_of_a_file_is_refused_by_name(tmp_path: Path) -> None:
    for name, data in sorted(small_files(tmp_path).items()):
        path = tmp_path / name
        # A GGUF file that lacks only the padding after its last tensor is whole: some writers
        # leave it out.
        end = len(data) - (32 if name.endswith(".gguf") else 0)
        for length in range(0, end, 1 if len(data) < 3000 else 7):
            path.write_bytes(data[:length])
            assert look(path) in VERDICTS - {"clean"}, f"{name}, the first {length} bytes"
