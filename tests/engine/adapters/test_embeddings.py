"""Embeddings: every layout read, every misfit named, the longest name found, no file read early."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pngs import png, text
from sfumato.catalogue.trees.text import Text
from sfumato.containers.arrays import tensor_from
from sfumato.containers.open import open_model
from sfumato.containers.save import save
from sfumato.containers.tensor import Tensor
from sfumato.engine.adapters.embeddings import (
    Embedding,
    EmbeddingTable,
    carried_embeddings,
    read_embedding,
)
from sfumato.engine.prompt.attention import parse_attention
from sfumato.engine.prompt.chunks import chunks
from sfumato.engine.prompt.tokens import Tokenizer
from sfumato.errors import Damaged, Dangerous, Unsupported
from sfumato.library.find import Shelf
from sfumato.operations.adapters.bundles import bundled

ROWS = np.arange(6, dtype=np.float32).reshape(3, 2)
Arrays = dict[str, np.ndarray]


def rows(count: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)


def saved(path: Path, arrays: Arrays) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path, {name: tensor_from(array) for name, array in arrays.items()})
    return path


def pickled(path: Path, value: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(value, path)
    return path


@dataclass
class Model:
    """A model of which only the text encoders' widths matter."""

    widths: tuple[int, ...]

    @property
    def encoders(self) -> Sequence[SimpleNamespace]:
        return [SimpleNamespace(sizes=Text(width, 1, 1)) for width in self.widths]


def table(*widths: int) -> EmbeddingTable:
    return EmbeddingTable(Model(widths or (768,)), Tokenizer())  # pyright: ignore


A, B = rows(2, 768, 1), rows(3, 768, 2)
FIRST, SECOND = rows(2, 768, 3), rows(2, 1280, 4)
tensor = torch.from_numpy

PICKLES: list[tuple[object, np.ndarray]] = [
    ({"string_to_token": {"*": 265}, "string_to_param": {"*": tensor(A)}, "name": "x"}, A),
    ({"string_to_param": torch.nn.ParameterDict({"*": torch.nn.Parameter(tensor(A))})}, A),
    ({"string_to_param": {"*": tensor(A), "other": tensor(B)}}, A),
    ({"<cat>": tensor(A[0])}, A[:1]),
    ({"anything at all": tensor(A)}, A),
    ({"dotted.name": tensor(A)}, A),
    ([{"*": tensor(A)}, {"*": tensor(B)}], np.concatenate([A, B])),
    ({"emb_params": tensor(A)}, A),
    ({"<a>": tensor(A[0]), "<a>_1": tensor(A[1])}, A),
    ({"<a>_2": tensor(B[2]), "<a>_1": tensor(B[1]), "<a>": tensor(B[0])}, B),
    ({"<a>": tensor(A).half()}, A.astype(np.float16).astype(np.float32)),
]


@pytest.mark.parametrize(("value", "expected"), PICKLES)
def test_every_layout_in_a_pickle_is_read(
    value: object, expected: np.ndarray, tmp_path: Path
) -> None:
    path = pickled(tmp_path / "my word.pt", value)
    found = read_embedding(path)
    assert np.array_equal(found.rows(768).numpy(), expected)
    assert found.vectors == len(expected) and found.name == "my word"
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "arrays",
    [
        {"emb_params": A},
        {"emp_params": A, "emp_params_out": B},
        {"clip_l": A},
        {"<a>": A[0], "<a>_1": A[1]},
        {"string_to_param.*": A},
    ],
)
def test_every_layout_in_safetensors_is_read(arrays: Arrays, tmp_path: Path) -> None:
    found = read_embedding(saved(tmp_path / "word.safetensors", arrays))
    assert np.array_equal(found.rows(768).numpy(), A) and not found.misfit([768])


def test_a_pair_for_sdxl_has_rows_for_both_encoders(tmp_path: Path) -> None:
    arrays = {"clip_l": FIRST, "clip_g": SECOND, "clip_l_out": FIRST, "clip_g_out": SECOND}
    found = read_embedding(saved(tmp_path / "word.safetensors", arrays))
    assert found.vectors == 2
    assert np.array_equal(found.rows(768).numpy(), FIRST)
    assert np.array_equal(found.rows(1280).numpy(), SECOND)
    assert not found.misfit([768, 1280]) and not found.misfit([1280])


def test_sd3s_embedding_serves_sdxl(tmp_path: Path) -> None:
    arrays = {"t5xxl": rows(7, 4096), "clip_l": FIRST, "clip_g": SECOND}
    found = read_embedding(saved(tmp_path / "word.safetensors", arrays))
    assert found.vectors == 2 and not found.misfit([768, 1280])


@pytest.mark.parametrize(
    ("arrays", "model", "reason"),
    [
        ({"clip_l": FIRST, "clip_g": SECOND}, (768,), "768 [+] 1280 wide, made for SDXL"),
        ({"clip_l": FIRST, "t5xxl": rows(2, 4096)}, (768,), "made for Flux"),
        ({"emb_params": A}, (1024,), "768 wide, made for SD 1.x, and this model takes 1024"),
        ({"emb_params": A}, (768, 1280), "this model takes 768 [+] 1280"),
        ({"clip_g": SECOND}, (768, 1280), "second text encoder alone"),
        ({"string_to_param.*": rows(1, 320)}, (768,), "320 wide and"),
    ],
)
def test_a_misfit_says_why(
    arrays: Arrays, model: tuple[int, ...], reason: str, tmp_path: Path
) -> None:
    import re

    found = read_embedding(saved(tmp_path / "word.safetensors", arrays))
    assert re.search(reason, found.misfit(model))


@pytest.mark.parametrize(
    ("arrays", "error", "reason"),
    [
        ({"emb_params": np.full((2, 768), np.nan, np.float32)}, Damaged, "NaN"),
        ({"emb_params": rows(1, 768)[None]}, Damaged, "expected vectors"),
        ({"emb_params": np.zeros((0, 768), np.float32)}, Damaged, "expected vectors"),
        ({"emb_params": np.zeros((2, 768), np.int64)}, Damaged, "I64"),
        ({"clip_l": rows(2, 768), "clip_g": rows(3, 1280)}, Damaged, "2 and 3"),
        ({"lora.up": rows(2, 3), "lora.down": rows(2, 3)}, Unsupported, "no embedding"),
        ({}, Unsupported, "no embedding"),
    ],
)
def test_what_cannot_be_used_is_refused(
    arrays: Arrays, error: type[Exception], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=reason):
        read_embedding(saved(tmp_path / "word.safetensors", arrays))


def test_a_picture_is_called_by_the_name_inside(tmp_path: Path) -> None:
    value = {"string_to_param": {"*": {"TORCHTENSOR": A.tolist()}}, "name": "inside"}
    path = tmp_path / "outside.png"
    path.write_bytes(png(text(value)))
    found = read_embedding(path)
    assert found.name == "inside" and np.allclose(found.rows(768).numpy(), A)


REAL = [
    ("embedding-EasyNegative.safetensors", "embedding-EasyNegative", 8, "c74b4e810b03"),
    ("embedding-a1111-bad-artist.pt", "embedding-a1111-bad-artist", 2, "2d356134903e"),
    ("embedding-a1111-bad_prompt_version2.pt", "embedding-a1111-bad_prompt_version2", 8,
     "6f35e7dd816a"),
    ("embedding-diffusers-cat-toy.bin", "embedding-diffusers-cat-toy", 1, "39df46754954"),
    ("embedding-in-picture.png", "rick", 8, "ceb3de409804"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "name", "vectors", "digits"), REAL)
def test_real_embeddings_are_read(
    file: str, name: str, vectors: int, digits: str, real: Path
) -> None:
    found = read_embedding(real / file)
    assert (found.name, found.vectors) == (name, vectors)
    assert found.rows(768).shape == (vectors, 768) and found.sha256.startswith(digits)


def test_an_aesthetic_gradient_is_no_embedding(real: Path) -> None:
    with pytest.raises(Unsupported):
        read_embedding(real / "bare-tensor-aesthetic-fantasy.pt")


def test_the_words_inside_a_real_lora_are_read(real: Path) -> None:
    with open_model(real / "lora-cloneofsimo-disney_inpainting.safetensors") as file:
        carried = bundled(file, [key for key in file if key.startswith("<")])
        found = carried_embeddings(carried, file.path)
    assert [(e.name, e.vectors) for e in found] == [("<s1>", 1), ("<s2>", 1)]


def test_bundled_embeddings_come_in_every_layout_and_may_have_dots_in_their_names() -> None:
    keys: dict[str, Tensor] = {
        "bundle_emb.one.string_to_param.*": tensor_from(A),
        "bundle_emb.two.v1.5.emb_params": tensor_from(B),
        "bundle_emb.xl.clip_l": tensor_from(FIRST),
        "bundle_emb.xl.clip_g": tensor_from(SECOND),
    }
    found = {e.name: e for e in carried_embeddings(bundled(keys, keys), Path("lora"))}
    assert sorted(found) == ["one", "two.v1.5", "xl"]
    assert np.array_equal(found["two.v1.5"].rows(768).numpy(), B)
    assert found["xl"].vectors == 2 and not found["xl"].sha256


def word(name: str, values: np.ndarray = A) -> Embedding:
    return Embedding(name, Path(f"{name}.pt"), "", {values.shape[1]: values})


def test_the_longest_name_wins_wherever_it_begins() -> None:
    words, tokens = table(), Tokenizer()
    for name in ("bad", "bad hands", "bad hands 5"):
        words.add(word(name))
    ids = tokens.encode("some bad hands 5 and bad hands")
    found = [words.match(ids, position) for position in range(len(ids))]
    assert [match[0].name for match in found if match] == ["bad hands 5", "bad hands"]
    assert words.match(ids, len(ids) - 2) == (words.used[1], 2)


def test_capitals_do_not_matter_and_the_first_of_equal_names_has_it() -> None:
    words = table()
    words.add(word("EasyNegative", A))
    words.add(word("easynegative", B))
    match = words.match(Tokenizer().encode("EASYnegative"), 0)
    assert len(words) == 1 and match is not None and match[0].rows(768).shape == (2, 768)


def test_no_file_is_read_before_its_name_occurs(tmp_path: Path) -> None:
    words = table()
    for number in range(300):
        words.add_file(tmp_path / f"word{number}.pt")  # none of them exists
    saved(tmp_path / "mine.safetensors", {"emb_params": A})
    words.add_file(tmp_path / "mine.safetensors")
    ids = Tokenizer().encode("a mine of word7")
    assert [bool(words.match(ids, position)) for position in range(len(ids))].count(True) == 1
    assert [e.name for e in words.used] == ["mine"]
    assert list(words.skipped) == ["word7"] and "cannot be opened" in words.skipped["word7"]
    reports = {report.name: report for report in words.reports()}
    assert (reports["mine"].applied, reports["mine"].total) == (1, 1)
    assert reports["word7"].applied == 0 and reports["word7"].notes


def test_a_misfit_is_text_and_a_shorter_name_may_take_its_place(tmp_path: Path) -> None:
    words = table(1024)
    words.add(word("bad hands", A))
    words.add(word("bad", rows(1, 1024)))
    match = words.match(Tokenizer().encode("bad hands"), 0)
    assert match is not None and match[0].name == "bad"
    assert "this model takes 1024" in words.skipped["bad hands"]


def test_a_dangerous_embedding_is_skipped_and_said(tmp_path: Path) -> None:
    path = tmp_path / "evil.pt"
    path.write_bytes(b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.")
    with pytest.raises(Dangerous):
        read_embedding(path)
    words = table()
    words.add_file(path)
    assert words.match(Tokenizer().encode("evil"), 0) is None
    assert "evil.pt" in words.skipped["evil"]


def test_a_shelf_fills_the_table_and_previews_are_no_embeddings(tmp_path: Path) -> None:
    saved(tmp_path / "embeddings/deep/word.safetensors", {"emb_params": A})
    (tmp_path / "embeddings/deep/word.png").write_bytes(png())
    (tmp_path / "embeddings/just a picture.png").write_bytes(png())
    words = table()
    words.add_shelf(Shelf((tmp_path,)))
    assert len(words) == 1
    assert words.match(Tokenizer().encode("word"), 0) is not None


def test_what_a_lora_carries_is_there_for_one_prompt_and_never_in_another_ones_place() -> None:
    words, ids = table(), Tokenizer().encode("old new")
    words.add(word("old", A))
    mine = words.for_prompt([word("old", B), word("new", B)])
    found = [mine.match(ids, position) for position in range(2)]
    assert [match[0].vectors for match in found if match] == [2, 3]
    assert words.match(ids, 1) is None and not words.used


def test_a_name_that_is_no_tokens_is_left_out() -> None:
    words = table()
    words.add(word("  "))
    assert len(words) == 0


def test_the_encoder_puts_the_vectors_where_the_name_was() -> None:
    words = table()
    words.add(word("bad hands", B))
    (chunk,) = chunks(parse_attention("a (bad hands:1.5) b"), Tokenizer(), words)
    ((position, embedding),) = chunk.placed
    assert position == 2 and embedding.vectors == 3
    assert chunk.weights[2:5] == (1.5, 1.5, 1.5) and chunk.ids[2:5] == (0, 0, 0)
