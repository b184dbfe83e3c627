"""Bare pickles of arrays and tensors read as pickle reads them."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from sfumato.containers.limits import Limits
from sfumato.containers.model_file import PICKLE, ModelFile
from sfumato.containers.source import Source
from sfumato.containers.torch.plain import read_pickle
from sfumato.containers.torch.stack import MAGIC
from sfumato.errors import Damaged


def pickled(path: Path, value: object, protocol: int = 4) -> ModelFile:
    path.write_bytes(pickle.dumps(value, protocol))
    return read_pickle(Source(path))


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_read_at_every_protocol(tmp_path: Path, protocol: int) -> None:
    array = np.arange(6, dtype="<f4").reshape(2, 3)
    value = {"w": array, "turned": np.asfortranarray(array), "big": array.astype(">f4"), "n": 5}
    with pickled(tmp_path / "a.pkl", value, protocol) as model:
        assert model.container == PICKLE
        assert {name: bytes(tensor.read()) for name, tensor in model.items()} == dict.fromkeys(
            ("w", "turned", "big"), array.tobytes()
        )
        assert model.extras == {"n": 5}


@pytest.mark.parametrize("protocol", range(2, 6))
def test_tensors_are_found_in_the_files_inside(tmp_path: Path, protocol: int) -> None:
    value = {"state_dict": OrderedDict(a=torch.arange(4), b=torch.ones(2, 3).T, c=torch.zeros(1))}
    with pickled(tmp_path / "a.pkl", value, protocol) as model:
        assert model.wrapper == "state_dict"
        for name, tensor in value["state_dict"].items():
            assert model[name].shape == tuple(tensor.shape)
            assert model[name].read() == tensor.contiguous().numpy().tobytes()
        storages = {tensor.origin.storage for tensor in model.values() if tensor.origin}
        assert len(storages) == 3


def test_what_follows_the_first_pickle_is_noted(tmp_path: Path) -> None:
    first = pickle.dumps({"w": np.zeros(2)}, 2)
    path = tmp_path / "a.pkl"
    path.write_bytes(first + pickle.dumps(5, 2) + pickle.dumps([], 2))
    with read_pickle(Source(path)) as model:
        assert list(model) == ["w"]
        assert model.notes == ("2 more pickles follow the first and are not read",)
    path.write_bytes(first + b"\n\n\t\t")
    with read_pickle(Source(path)) as model:
        assert model.notes == ("4 bytes at the end are not a pickle",)


def test_a_call_in_a_later_pickle_is_in_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({}, 2) + b"cos\nsystem\n(S'true'\ntR.")
    with read_pickle(Source(path)) as model:
        assert "os.system" in model.journal.names("refused")


def test_the_inside_of_a_torch_file_alone_is_refused(tmp_path: Path) -> None:
    import zipfile

    torch.save({"w": torch.zeros(2)}, tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt") as archive:
        (tmp_path / "a.pkl").write_bytes(archive.read("a/data.pkl"))
    with pytest.raises(Damaged, match="the storage outside the pickle is missing"):
        read_pickle(Source(tmp_path / "a.pkl"))


def test_a_magic_number_that_is_computed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(MAGIC, 2) + pickle.dumps(1001, 2))
    with pytest.raises(Damaged, match="magic number of a legacy torch file"):
        read_pickle(Source(path))


def test_a_pickle_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"a": 1}, 2) + bytes(2000))
    with pytest.raises(Damaged, match="at most 1000 are read"):
        read_pickle(Source(path), Limits(pickle_bytes=1000))
