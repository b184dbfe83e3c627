"""Reading and writing safetensors, beside the reference library."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hypothesis_numpy
from safetensors.torch import load_file, save_file
from safetensors.torch import save as reference_bytes

from sfumato.containers.arrays import tensor_from
from sfumato.containers.dtype import BF16, C128, F4, F8_E4M3, F16, F32, I64, SAFETENSORS_DTYPES
from sfumato.containers.model_file import SAFETENSORS, ModelFile
from sfumato.containers.safetensors.read import parse_header, read_safetensors
from sfumato.containers.safetensors.write import plan_safetensors
from sfumato.containers.save import save
from sfumato.containers.source import Source
from sfumato.containers.tensor import CHUNK, Tensor, tied
from sfumato.errors import Refused
from toys import contents, random_tensor, random_tensors, safetensors_bytes, write

TORCH_DTYPES = {
    name: getattr(torch, torch_name)
    for name, torch_name in {
        "BOOL": "bool", "U8": "uint8", "I8": "int8", "F8_E5M2": "float8_e5m2",
        "F8_E4M3": "float8_e4m3fn", "F8_E8M0": "float8_e8m0fnu", "F8_E4M3FNUZ": "float8_e4m3fnuz",
        "F8_E5M2FNUZ": "float8_e5m2fnuz", "I16": "int16", "U16": "uint16", "F16": "float16",
        "BF16": "bfloat16", "I32": "int32", "U32": "uint32", "F32": "float32", "C64": "complex64",
        "F64": "float64", "I64": "int64", "U64": "uint64",
    }.items()
}  # fmt: skip
"""the types that torch can hold, under their safetensors names"""


def opened(path: Path) -> ModelFile:
    return read_safetensors(Source(path))


def of_every_type() -> dict[str, torch.Tensor]:
    raw = torch.randint(0, 2, (2, 3, 16), dtype=torch.uint8)
    return {
        f"{name}.{n}": raw[n].clone().view(t) for name, t in TORCH_DTYPES.items() for n in (1, 0)
    }


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {'é \n\x01"\\/': "\u2028\x7f 画"}])
def test_the_bytes_are_those_of_the_reference_writer(
    tmp_path: Path, metadata: dict[str, str] | None
) -> None:
    tensors = of_every_type() | {"é\n\x7f": torch.zeros(()), "empty": torch.zeros(0, 4)}
    save_file(tensors, tmp_path / "theirs.safetensors", metadata)
    with opened(tmp_path / "theirs.safetensors") as model:
        save(tmp_path / "ours.safetensors", model, metadata)
    assert (tmp_path / "ours.safetensors").read_bytes() == reference_bytes(tensors, metadata)


def test_what_the_reference_library_writes_is_read(tmp_path: Path) -> None:
    tensors = of_every_type()
    save_file(tensors, tmp_path / "a.safetensors", {"format": "pt", "epoch": "3"})
    with opened(tmp_path / "a.safetensors") as model:
        assert model.metadata == {"format": "pt", "epoch": "3"}
        assert {n: list(t.shape) for n, t in model.items()} == {
            n: list(t.shape) for n, t in tensors.items()
        }
        for name, tensor in tensors.items():
            assert model[name].read() == tensor.view(torch.uint8).numpy().tobytes()


def test_what_we_write_is_read_by_the_reference_library(tmp_path: Path) -> None:
    tensors = random_tensors({"a.weight": (4, 3), "a.bias": (4,), "scalar": ()}, F16)
    save(tmp_path / "a.sft", tensors, {"format": "pt"})
    found = load_file(tmp_path / "a.sft")
    for name, tensor in tensors.items():
        assert found[name].dtype == torch.float16
        assert found[name].numpy().tobytes() == tensor.read()


@given(
    st.dictionaries(
        st.text(max_size=8).filter(lambda name: "\0" not in name and name != "__metadata__"),
        hypothesis_numpy.arrays(
            st.sampled_from(["<f4", "<f2", "<i8", "u1", "?", "<c8"]),
            hypothesis_numpy.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
        ),
        max_size=4,
    ),
    st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
)
def test_reading_after_writing_gives_everything_back(
    tmp_path_factory: pytest.TempPathFactory, arrays: dict, metadata: dict[str, str]
) -> None:
    path = tmp_path_factory.mktemp("round") / "a.safetensors"
    tensors = {name: tensor_from(values) for name, values in arrays.items()}
    save(path, tensors, metadata)
    with opened(path) as model:
        assert contents(model) == contents(tensors)
        assert model.metadata == metadata


def test_every_type_of_the_format_reads_back(tmp_path: Path) -> None:
    tensors = {
        dtype.name: Tensor(dtype, (2, 12), lambda n=dtype.bits * 3: bytes(range(n)))
        for dtype in SAFETENSORS_DTYPES
    }
    save(tmp_path / "all.safetensors", tensors)
    with opened(tmp_path / "all.safetensors") as model:
        assert contents(model) == contents(tensors)


def test_the_data_begins_at_a_multiple_of_eight() -> None:
    for length in range(1, 9):
        layout = plan_safetensors({"x" * length: random_tensor((1,))}, {})
        assert len(layout.head) % 8 == 0


def test_no_two_tensors_of_a_file_are_tied(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", random_tensors({"a": (2,), "b": (2,)}))
    with opened(tmp_path / "a.safetensors") as model:
        assert not tied(model["a"], model["b"])


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({"a": random_tensor((1,), C128)}, "no type for C128"),
        ({"a\0b": random_tensor((1,))}, "cannot hold this name"),
        ({"a" * 70_000: random_tensor((1,))}, "cannot hold this name"),
        ({"__metadata__": random_tensor((1,))}, "cannot name a tensor"),
        ({"\ud800": random_tensor((1,))}, "not Unicode"),
    ],
)
def test_what_the_format_cannot_hold_is_refused_before_the_first_byte(
    tmp_path: Path, tensors: dict[str, Tensor], reason: str
) -> None:
    with pytest.raises(Refused, match=reason):
        save(tmp_path / "a.safetensors", tensors)
    assert list(tmp_path.iterdir()) == []


def test_an_unaligned_header_with_leading_spaces_is_read(tmp_path: Path) -> None:
    header = b'  {"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}} \n'
    path = write(tmp_path / "a.safetensors", safetensors_bytes(header, b"xy"))
    with opened(path) as model:
        assert model["a"].read() == b"xy"
        assert model.notes == ()


def test_fields_that_the_format_has_not_are_noted() -> None:
    header = b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"x\\u001b":[1.5,{}]}}'
    (note,) = parse_header(header).notes
    assert "fields that the format has not" in note
    assert "\x1b" not in note


@pytest.mark.parametrize("null", [b'{"__metadata__":null}', b"{}", b'{"__metadata__":{}}'])
def test_a_header_without_metadata_has_an_empty_one(null: bytes) -> None:
    assert parse_header(null).metadata == {}


def test_the_real_files_open(real: Path) -> None:
    paths = sorted(real.glob("*.safetensors"))
    assert len(paths) > 3
    for path in paths:
        with opened(path) as model:
            assert model.container == SAFETENSORS
            assert contents(model) == contents(model)


def test_reading_a_header_needs_neither_numpy_nor_torch() -> None:
    import subprocess

    code = "import sys, sfumato.containers.safetensors.read; "
    code += "print({'numpy', 'torch'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_tensors_of_a_large_piece_arrive_in_chunks(tmp_path: Path) -> None:
    tensor = random_tensor((3, CHUNK // 8), F32)
    save(tmp_path / "a.safetensors", {"a": tensor})
    with opened(tmp_path / "a.safetensors") as model:
        assert [len(piece) for piece in model["a"].chunks()] == [CHUNK, CHUNK // 2]


def test_sizes_below_a_byte_read_as_bytes() -> None:
    header = b'{"a":{"dtype":"F4","shape":[1,4],"data_offsets":[0,2]}}'
    assert parse_header(header).rows == [(0, 2, "a", F4, (1, 4))]


def test_the_widest_types_come_first() -> None:
    tensors = {d.name: random_tensor((1,), d) for d in (F8_E4M3, F32, BF16, I64, F16)}
    layout = plan_safetensors(tensors, {})
    assert [name for name, _ in layout.order] == ["I64", "F32", "BF16", "F16", "F8_E4M3"]
