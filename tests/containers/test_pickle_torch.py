"""What torch pickles, the machine describes: tensors as views of storages that lie elsewhere."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from sfumato.containers.dtype import BF16, F8_E4M3, F16, F32, U16, DType
from sfumato.containers.journal import Journal
from sfumato.containers.pickles.machine import run
from sfumato.containers.pickles.values import (
    Global,
    NumpyArray,
    PendingTensor,
    Record,
    StorageRef,
    Value,
)


def refer(pid: Value) -> Value:
    assert pid[0] == "storage"
    dtypes = {"FloatStorage": F32, "HalfStorage": F16, "BFloat16Storage": BF16}
    return StorageRef(pid[2], dtypes.get(pid[1].name), pid[3], pid[4], "toy")


def saved(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return zipfile.ZipFile(buffer).read("archive/data.pkl")


def read(stream: bytes, start: int = 0) -> tuple[Value, Journal]:
    journal = Journal()
    value, _ = run(
        stream, path="toy.pt", where="toy", journal=journal, persistent=refer, start=start
    )
    return value, journal


def test_a_state_dict_is_described_and_wholly_allowed() -> None:
    base = torch.arange(12.0).reshape(3, 4)
    value, journal = read(saved(OrderedDict(a=base, b=base.T[1:], c=torch.zeros(2).half())))
    a, b, c = value["a"], value["b"], value["c"]
    assert (a.shape, a.strides, a.offset, a.dtype) == ((3, 4), (4, 1), 0, F32)
    assert (b.shape, b.strides, b.offset) == ((3, 3), (1, 4), 1) and b.storage.key == a.storage.key
    assert c.dtype is F16 and c.storage.numel == 2
    assert {event.risk for event in journal} == {"allowed"}


@pytest.mark.parametrize(("dtype", "ours"), [(torch.float8_e4m3fn, F8_E4M3), (torch.uint16, U16)])
def test_new_element_types_come_with_the_third_rebuilder(dtype: torch.dtype, ours: DType) -> None:
    value, journal = read(saved(torch.zeros(3, 2).to(dtype)))
    assert isinstance(value, PendingTensor) and value.dtype is ours and value.shape == (3, 2)
    assert not journal.dangerous


def test_parameters_are_their_tensors() -> None:
    parameter = torch.nn.Parameter(torch.zeros(2, 3))
    parameter.note = "a state of its own"
    value, journal = read(saved([torch.nn.Parameter(torch.zeros(2)), parameter]))
    assert [item.shape for item in value] == [(2,), (2, 3)]
    assert not journal.dangerous


def test_what_lies_beside_tensors_in_a_checkpoint_is_plain() -> None:
    value, journal = read(
        saved({"d": torch.device("cuda:1"), "t": torch.float16, "s": torch.Size([1, 2]),
               "o": torch.optim.SGD([torch.zeros(1)], 0.1).state_dict()})
    )  # fmt: skip
    assert value["d"] == "cuda:1" and value["t"] == Global("torch", "float16")
    assert value["s"] == (1, 2) and value["o"]["param_groups"][0]["lr"] == 0.1
    assert {event.risk for event in journal} == {"allowed"}


def test_metadata_of_a_state_dict_is_left_out() -> None:
    state = torch.nn.Linear(2, 2).state_dict()
    assert hasattr(state, "_metadata")
    value, journal = read(saved(state))
    assert list(value) == ["weight", "bias"] and {e.risk for e in journal} == {"allowed"}


def test_whole_modules_are_records_that_hold_their_tensors() -> None:
    value, journal = read(saved(torch.nn.Linear(2, 3)))
    assert isinstance(value, Record) and value.origin.name == "Linear"
    assert value.state["_parameters"]["weight"].shape == (3, 2)
    assert journal.names("inert") == ["torch.nn.modules.linear.Linear"]
    assert not journal.dangerous


@pytest.mark.parametrize("protocol", range(2, 6))
def test_a_parameter_dict_is_a_dictionary(protocol: int) -> None:
    parameters = torch.nn.ParameterDict({"*": torch.nn.Parameter(torch.zeros(1, 4))})
    stream = pickle.dumps(parameters, protocol)
    journal = Journal()
    tensor = PendingTensor(StorageRef("0", F32, "cpu", 4, "inner"), 0, (1, 4), (4, 1), F32)
    value, _ = run(stream, path="f", where="w", journal=journal, nested=lambda *_: tensor.storage)
    assert isinstance(value, dict) and value["*"].shape == (1, 4)
    assert not journal.dangerous


def test_a_quantised_tensor_is_a_record() -> None:
    storage = b"(X\7\0\0\0storagectorch\nQInt8Storage\nX\1\0\0\0" + b"0X\3\0\0\0cpuK\1tQ"
    stream = b"\x80\2ctorch._utils\n_rebuild_qtensor\n(" + storage + b"K\0)))\x89NtR."
    value, journal = read(stream)
    assert isinstance(value, Record) and journal.names("inert") == ["torch._utils._rebuild_qtensor"]


def test_a_tensor_from_numpy_is_its_array() -> None:
    import numpy as np

    array = pickle.dumps(np.float32([1, 2]), 2)[2:-1]
    stream = (
        b"\x80\2ctorch._utils\n_rebuild_device_tensor_from_numpy\n(" + array
        + b"ctorch\nfloat32\nX\3\0\0\0cpu\x89tR."
    )  # fmt: skip
    value, journal = read(stream)
    assert isinstance(value, NumpyArray) and value.shape == (2,) and not journal.dangerous


def test_a_torch_file_inside_bytes_goes_to_the_hook() -> None:
    seen: list[tuple[bytes, str]] = []

    def nested(data: bytes, where: str) -> Value:
        seen.append((data, where))
        return StorageRef("0", F32, "cpu", 2, where)

    stream = pickle.dumps(torch.zeros(2), 4)
    journal = Journal()
    value, _ = run(stream, path="f", where="outer", journal=journal, nested=nested)
    assert isinstance(value, PendingTensor) and value.shape == (2,)
    assert seen[0][0].startswith(b"\x80\2\x8a\n") and seen[0][1] == "outer"
    assert {event.risk for event in journal} == {"allowed"}


def test_without_a_hook_a_torch_file_inside_bytes_is_refused() -> None:
    _, journal = read(b"\x80\2ctorch.storage\n_load_from_bytes\nU\1x\x85R.")
    assert journal.names("refused") == ["torch.storage._load_from_bytes"]


@pytest.mark.parametrize(
    "arguments",
    [b"NK\0K\1\x85K\1\x85\x89Nt", b"X\1\0\0\0xK\0))\x89Nt", b"t"],
    ids=["no storage", "text", "nothing"],
)
def test_a_tensor_of_nonsense_is_damage(arguments: bytes) -> None:
    from sfumato.errors import Damaged

    with pytest.raises(Damaged, match="a tensor is"):
        read(b"\x80\2ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"R.")


REAL = (
    "vae-approx.pt",
    "taef2_decoder.pth",
    "lora-diffusers.bin",
    "checkpoint-empty-dict.pt",
    "embedding-diffusers-cat-toy.bin",
    "embedding-a1111-bad-artist.pt",
    "embedding-a1111-bad_prompt_version2.pt",
    "bare-tensor-aesthetic-fantasy.pt",
)


@pytest.mark.parametrize("name", REAL)
def test_real_files_are_read_and_ask_for_nothing_dangerous(real: Path, name: str) -> None:
    data = (real / name).read_bytes()
    if data.startswith(b"PK"):
        archive = zipfile.ZipFile(io.BytesIO(data))
        member = next(entry for entry in archive.namelist() if entry.endswith("data.pkl"))
        data, pickles = archive.read(member), 1
    else:
        pickles = 5
    start = 0
    for _ in range(pickles):
        journal = Journal()
        _, start = run(data, path=name, where=name, journal=journal, persistent=refer, start=start)
        assert not journal.dangerous and not journal.names("inert"), journal.names()


TEXTUAL_INVERSION = (
    b"\x80\2}(X\x0f\0\0\0string_to_paramctorch.nn.modules.container\nParameterDict\n)\x81}"
    b"(X\x08\0\0\0training\x88X\x0b\0\0\0_parametersccollections\nOrderedDict\n)R"
    b"X\1\0\0\0*ctorch._utils\n_rebuild_parameter\nctorch._utils\n_rebuild_tensor_v2\n("
    b"(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\x000X\3\0\0\0cpuM\0\3tQK\0K\1M\0\3\x86"
    b"M\0\3K\1\x86\x89ccollections\nOrderedDict\n)RtR\x88ccollections\nOrderedDict\n)R\x87Rs"
    b"X\x0f\0\0\0_backward_hooksc__builtin__\nset\n]\x85RubX\4\0\0\0nameX\3\0\0\0toyu."
)
"""an embedding as AUTOMATIC1111's first versions wrote it"""


def test_an_old_embedding_with_a_parameter_dict_is_read() -> None:
    value, journal = read(TEXTUAL_INVERSION)
    assert value["string_to_param"]["*"].shape == (1, 768) and value["name"] == "toy"
    assert {event.risk for event in journal} == {"allowed"}
