"""GGUF: what others write is read, what is written others read, blocks decode as in ggml."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from struct import pack

import numpy as np
import pytest

from ggufs import ARRAY, F32, STRING, gguf, key, row, text
from sfumato.containers import dtype as types
from sfumato.containers.arrays import array, tensor_from
from sfumato.containers.gguf import plan_gguf, read_gguf
from sfumato.containers.gguf.encodings import BY_CODE, ENCODINGS, Encoding
from sfumato.containers.gguf.quants import decode
from sfumato.containers.layout import silent
from sfumato.containers.model_file import ModelFile
from sfumato.containers.source import Source
from sfumato.containers.tensor import Tensor
from sfumato.errors import Refused, Unsupported, UsageError
from toys import contents, random_tensor

peer = pytest.importorskip("gguf")
DECODED = [e for e in ENCODINGS if e.decoded]


def opened(path: Path, data: bytes) -> ModelFile:
    path.write_bytes(data)
    return read_gguf(Source(path))


def written(path: Path, tensors: dict[str, Tensor], encoding: str = "") -> Path:
    with path.open("wb") as sink:
        plan_gguf(tensors, {"general.name": "toy"}, encoding=encoding).emit(sink, silent)
    return path


def blocks(encoding: Encoding, count: int = 40) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, encoding.block_bytes), np.uint8)


def test_shapes_are_turned_round_and_values_shown_as_text(tmp_path: Path) -> None:
    keys = (key("a.n"), key("a.s", STRING, text("x")), key("a.f", F32, pack("<f", 0.5)))
    with opened(tmp_path / "a", gguf((row("w", (4, 2)),), keys)) as model:
        assert model["w"].shape == (2, 4)
        assert model["w"].read() == bytes(range(32))
        assert model.metadata == {"a.n": "1", "a.s": "x", "a.f": "0.5"}
        assert model.notes == ("32 bytes belong to no tensor",)


def test_long_arrays_are_counted_and_not_shown(tmp_path: Path) -> None:
    numbers = pack("<IQ", 4, 1000) + pack("<1000I", *range(1000))
    words = pack("<IQ", STRING, 2) + text("a") + text("b")
    nested = pack("<IQ", ARRAY, 1) + words
    keys = (key("n", ARRAY, numbers), key("w", ARRAY, words), key("m", ARRAY, nested))
    with opened(tmp_path / "a", gguf((), keys, b"")) as model:
        assert model.metadata["n"].endswith("14, 15, … 1000 values]")
        assert model.metadata["w"] == "[a, b]"
        assert model.metadata["m"] == "[[a, b]]"


def test_the_shape_before_comfyui_folded_a_tensor_is_restored(tmp_path: Path) -> None:
    true = pack("<IQ3i", 5, 3, 2, 2, 2)
    false = pack("<IQ3i", 5, 3, 2, 2, 3)
    for name, value, shape in (("w", true, (2, 2, 2)), ("w", false, (2, 4)), ("x", true, (2, 4))):
        data = gguf((row("w"),), (key(f"comfy.gguf.orig_shape.{name}", ARRAY, value),))
        with opened(tmp_path / "a", data) as model:
            assert model["w"].shape == shape


@pytest.mark.parametrize("encoding", DECODED, ids=lambda e: e.name)
def test_blocks_decode_as_in_ggml(encoding: Encoding) -> None:
    packed = blocks(encoding)
    found = decode(packed.tobytes(), encoding)
    with np.errstate(all="ignore"):
        if encoding.name == "Q8_K":  # which the other program does not decode
            expected = packed[:, :4].copy().view("<f4") * packed[:, 4:260].view(np.int8)
        else:
            kind = peer.GGMLQuantizationType(encoding.code)
            expected = peer.quants.dequantize(packed, kind)
    assert np.array_equal(found, expected.reshape(-1), equal_nan=True)


def test_sizes_of_all_types_are_those_of_the_other_program() -> None:
    for kind, (block, nbytes) in peer.GGML_QUANT_SIZES.items():
        # It gives Q8_1 the size it had in 2023; its Q1_0 is not known here.
        if kind.name not in ("Q8_1", "Q1_0"):
            found = BY_CODE[kind.value]
            assert (found.name, found.block, found.block_bytes) == (kind.name, block, nbytes)


def test_pieces_are_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoding = BY_CODE[12]
    data = gguf((row("w", (256, 40), 12),), data=blocks(encoding).tobytes())
    with opened(tmp_path / "a", data) as model:
        whole = model["w"].read()
        monkeypatch.setattr("sfumato.containers.gguf.read.CHUNK", 4096)
        pieces = list(model["w"].chunks())
        assert len(pieces) == 10
        assert b"".join(bytes(piece) for piece in pieces) == bytes(whole)
        assert model["w"].origin is not None and model["w"].origin.encoding == "Q4_K"


def test_an_encoding_that_is_not_decoded_is_listed_and_refused_when_read(tmp_path: Path) -> None:
    with opened(tmp_path / "a", gguf((row("w", (32,), 39),), data=bytes(32))) as model:
        assert (model["w"].dtype, model["w"].shape) == (types.F32, (32,))
        assert "MXFP4" in model.notes[0]
        with pytest.raises(Unsupported, match="MXFP4"):
            model["w"].read()


@pytest.mark.parametrize("dtype", ["F64", "F32", "F16", "BF16", "I8", "I16", "I32", "I64"])
def test_what_is_written_reads_back(tmp_path: Path, dtype: str) -> None:
    shapes = {"a": (3, 5), "b": (), "c": (2, 3, 1, 2), "d": (0, 4), "e.weight": (7,)}
    tensors = {n: random_tensor(s, types.DTYPES[dtype], seed=1) for n, s in shapes.items()}
    with read_gguf(Source(written(tmp_path / "a.gguf", tensors))) as model:
        assert contents(model) == contents(tensors)
        assert model.metadata == {"general.name": "toy"}
        assert model.notes == ()


def test_the_other_program_reads_what_is_written(tmp_path: Path) -> None:
    tensors = {"a.weight": random_tensor((6, 64), types.F16), "a.bias": random_tensor((6,))}
    path = written(tmp_path / "a.gguf", tensors, "Q8_0")
    found = {t.name: t for t in peer.GGUFReader(path).tensors}
    assert found["a.weight"].tensor_type.name == "Q8_0"
    assert list(found["a.weight"].shape) == [64, 6]
    assert np.array_equal(found["a.bias"].data, array(tensors["a.bias"]))
    kind = peer.GGMLQuantizationType.Q8_0
    expected = peer.quants.quantize(array(tensors["a.weight"]).astype("f4"), kind)
    assert np.array_equal(found["a.weight"].data, expected)


def test_what_the_other_program_writes_is_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    numbers = {"a": rng.standard_normal((3, 64), np.float32), "b": np.arange(4, dtype=np.int64)}
    kind = peer.GGMLQuantizationType.Q5_1
    packed = peer.quants.quantize(numbers["a"], kind)
    writer = peer.GGUFWriter(tmp_path / "a.gguf", "sdxl")
    writer.add_array("toy.list", [1, 2, 3])
    for name, values in numbers.items():
        writer.add_tensor(name, values)
    writer.add_tensor("q", packed, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with read_gguf(Source(tmp_path / "a.gguf")) as model:
        assert model.metadata == {"general.architecture": "sdxl", "toy.list": "[1, 2, 3]"}
        assert all(np.array_equal(array(model[name]), numbers[name]) for name in numbers)
        assert np.array_equal(array(model["q"]), peer.quants.dequantize(packed, kind))


@pytest.mark.parametrize(
    ("name", "shape", "stays"),
    [
        ("blocks.0.attn.weight", (8, 64), False),
        ("blocks.0.attn.bias", (64,), True),
        ("blocks.0.norm.weight", (64,), True),
        ("conv.weight", (8, 32, 3, 3), True),
        ("time_embed.0.weight", (8, 64), True),
        ("token_embedding.weight", (8, 64), True),
        ("final_layer.linear.weight", (8, 64), True),
    ],
)
def test_few_or_delicate_numbers_are_not_quantised(
    tmp_path: Path, name: str, shape: tuple[int, ...], stays: bool
) -> None:
    tensor = random_tensor(shape, types.F16)
    with read_gguf(Source(written(tmp_path / "a", {name: tensor}, "Q8_0"))) as model:
        found = model[name]
        assert found.origin is not None and bool(found.origin.encoding) != stays
        assert np.abs(array(found).astype("f4") - array(tensor)).max() < 0.02


def test_blocks_may_end_between_pieces(tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal((4, 64)).astype("f4")
    data = values.tobytes()

    def pieces() -> Iterator[bytes]:
        yield from (data[:100], data[100:104], data[104:])

    cut = Tensor(types.F32, values.shape, lambda: data, pieces)
    whole = written(tmp_path / "a", {"w": tensor_from(values)}, "Q8_0").read_bytes()
    assert written(tmp_path / "b", {"w": cut}, "Q8_0").read_bytes() == whole


def test_what_the_format_cannot_hold_is_refused_before_writing(tmp_path: Path) -> None:
    for tensor in (random_tensor((1, 1, 1, 1, 1)), random_tensor((2,), types.F8_E4M3)):
        with pytest.raises(Refused, match="GGUF holds"):
            plan_gguf({"w": tensor}, {})
    with pytest.raises(UsageError, match="Q8_0"):
        plan_gguf({}, {}, encoding="Q3_K")
    endless = tensor_from(np.full((1, 32), np.inf, "f4"))
    with pytest.raises(Refused, match="not finite"):
        written(tmp_path / "a", {"w": endless}, "Q8_0")


def test_texts_about_the_old_file_are_not_kept() -> None:
    old = {"general.alignment": "64", "general.file_type": "2", "split.count": "3", "a": "b"}
    head = plan_gguf({}, old).head
    assert head == gguf((), (key("a", STRING, text("b")),), b"")


def test_a_tensor_without_a_name_is_refused() -> None:
    with pytest.raises(Refused, match="no name"):
        plan_gguf({"": random_tensor((2,))}, {})


def test_the_sign_for_what_is_no_text_may_itself_be_in_a_name(tmp_path: Path) -> None:
    path = written(tmp_path / "a.gguf", {"a\ufffd": random_tensor((2,))})
    with read_gguf(Source(path)) as model:
        assert list(model) == ["a\ufffd"]
