"""Random damage: whatever is done to a file, opening it ends in an answer from the error tree."""

from __future__ import annotations

import io
import json
import random
import tarfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import torch

import forms
import pngs
import tars
from sfumato.app.cli.console import emit_json
from sfumato.catalogue.cards.card import Card
from sfumato.catalogue.cards.inspect import inspect
from sfumato.catalogue.cards.json_form import to_json
from sfumato.containers.dtype import F16
from sfumato.containers.open import open_model
from sfumato.containers.save import save
from sfumato.errors import SfumatoError
from toys import random_tensors, write

FLIPS = 10_000
SMALL = 50_000
"""bytes of the real files that are damaged"""

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


def survive(path: Path, *, seed: int, count: int) -> None:
    """Damage a file in place, again and again, and look at it each time."""
    data = path.read_bytes()
    with path.open("r+b", buffering=0) as file:
        for damaged in flipped(data, seed, count):
            file.seek(0)
            file.write(damaged)
            assert look(path) in VERDICTS


def titled(folder: Path, model: forms.Model) -> Path:
    return save(folder / "toy.safetensors", model, {"format": "pt", "title": "toy"}).path


def wrapped(folder: Path, model: forms.Model) -> Path:
    state = {name: forms.by_torch(tensor) for name, tensor in model.items()}
    torch.save({"state_dict": state, "global_step": 7}, folder / "toy.ckpt")
    return folder / "toy.ckpt"


def small_tar(folder: Path, model: forms.Model) -> Path:
    data = tars.tar(tars.members(), tarfile.USTAR_FORMAT)
    return write(folder / "tar.pt", data)


def small_png(folder: Path, model: forms.Model) -> Path:
    return write(folder / "toy.png", pngs.png(pngs.text()))


MODEL = random_tensors({"a.weight": (4, 3), "a.bias": (4,), "b": (2, 2, 1)}, F16)
VECTORS = random_tensors({"string_to_param.*": (1, 8)})

TOYS: tuple[tuple[Callable[[Path, forms.Model], Path], forms.Model], ...] = (
    (titled, MODEL), (forms.gguf, MODEL), (wrapped, MODEL), (forms.torch_legacy, MODEL),
    (forms.npz, MODEL), (small_tar, MODEL), (forms.plain_pickle, MODEL),
    (forms.tensorflow_v1, MODEL), (forms.tensorflow_v2, MODEL), (forms.sharded, MODEL),
    (small_png, VECTORS), (forms.webp, VECTORS),
)  # fmt: skip
"""one honest file of each container; of several files, the one that names the others"""

each_toy = pytest.mark.parametrize(("writer", "model"), TOYS, ids=[w.__name__ for w, _ in TOYS])

PADDED = (forms.gguf, small_tar)
"""formats that end in zeros of which some writers leave out a part"""


@pytest.mark.slow
@pytest.mark.row(75)
@each_toy
def test_byte_flips_never_escape_the_error_tree(
    tmp_path: Path, writer: Callable[[Path, forms.Model], Path], model: forms.Model
) -> None:
    survive(writer(tmp_path, model), seed=len(writer.__name__), count=FLIPS // len(TOYS) + 1)


@pytest.mark.slow
@pytest.mark.row(75)
def test_ten_thousand_byte_flips_of_each_real_file_never_escape_the_error_tree(
    real: Path, tmp_path: Path
) -> None:
    files = [path for path in sorted(real.iterdir()) if path.stat().st_size <= SMALL]
    files = [path for path in files if path.suffix != ".md"]
    assert files
    for number, source in enumerate(files):
        path = write(tmp_path / source.name, source.read_bytes())
        survive(path, seed=1000 + number, count=FLIPS)


@pytest.mark.slow
@pytest.mark.row(11)
@each_toy
def test_every_beginning_of_a_file_is_refused_by_name(
    tmp_path: Path, writer: Callable[[Path, forms.Model], Path], model: forms.Model
) -> None:
    path = writer(tmp_path, model)
    data = path.read_bytes()
    end = len(data.rstrip(b"\0")) if writer in PADDED else len(data)
    for length in range(end):
        path.write_bytes(data[:length])
        assert look(path) in VERDICTS - {"clean"}, f"the first {length} of {len(data)} bytes"
