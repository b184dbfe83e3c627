"""Files that torch.save writes today read as torch.load reads them."""

from __future__ import annotations

import argparse
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sfumato.containers.model_file import TORCH_LEGACY, TORCH_ZIP, ModelFile
from sfumato.containers.source import Source
from sfumato.containers.tensor import CHUNK, tied
from sfumato.containers.torch.legacy import read_torch_legacy
from sfumato.containers.torch.stack import starts_stacked
from sfumato.containers.torch.zip_file import read_torch_zip
from sfumato.errors import Damaged, Unreadable

FORMATS = ("zip", "legacy")
either = pytest.mark.parametrize("form", FORMATS)


def saved(path: Path, value: object, form: str = "zip", protocol: int = 2) -> ModelFile:
    """The value as torch.save writes it, opened again."""
    torch.save(value, path, _use_new_zipfile_serialization=form == "zip", pickle_protocol=protocol)
    if form == "zip":
        return read_torch_zip(Source(path))
    assert starts_stacked(path.read_bytes()[:64])
    return read_torch_legacy(Source(path))


def raw(value: torch.Tensor) -> bytes:
    whole = value.detach().clone(memory_format=torch.contiguous_format)
    return whole.reshape(-1).view(torch.uint8).numpy().tobytes()


def assert_same(model: ModelFile, tensors: dict[str, torch.Tensor]) -> None:
    assert list(model) == list(tensors)
    for name, tensor in tensors.items():
        assert model[name].shape == tuple(tensor.shape), name
        assert bytes(model[name].read()) == raw(tensor), name
        assert b"".join(map(bytes, model[name].chunks())) == raw(tensor), name


BASE = torch.arange(120, dtype=torch.float32)

TENSORS: dict[str, torch.Tensor] = {
    "f32": BASE.reshape(2, 3, 20),
    "f64": BASE.double(),
    "f16": BASE.half(),
    "bf16": BASE.bfloat16(),
    "e4m3": BASE.to(torch.float8_e4m3fn),
    "e5m2": BASE.to(torch.float8_e5m2),
    "i64": BASE.long(),
    "i32": BASE.int(),
    "i16": BASE.short(),
    "i8": BASE.char(),
    "u8": BASE.byte(),
    "u16": BASE.to(torch.uint16),
    "u32": BASE.to(torch.uint32),
    "u64": BASE.to(torch.uint64),
    "bool": BASE > 7,
    "c64": BASE.to(torch.complex64),
    "c128": BASE.to(torch.complex128),
    "scalar": torch.tensor(3.5),
    "empty": torch.zeros(0),
    "empty rows": torch.zeros(3, 0, 2),
    "parameter": torch.nn.Parameter(torch.ones(3)),
    "slice": BASE[10:20],
    "row": BASE.reshape(12, 10)[3],
    "column": BASE.reshape(12, 10)[:, 3],
    "transposed": BASE.reshape(12, 10).T,
    "permuted": BASE.reshape(2, 3, 20).permute(2, 0, 1),
    "strided": BASE[::7],
    "expanded": torch.tensor([1.0, 2.0]).expand(5, 2),
    "filled": torch.tensor(7).expand(4, 3),
    "channels last": BASE.reshape(1, 3, 5, 8).contiguous(memory_format=torch.channels_last),
}


@either
@pytest.mark.parametrize("name", TENSORS)
def test_a_tensor_of_any_sort_reads_as_torch_reads_it(tmp_path: Path, form: str, name: str) -> None:
    with saved(tmp_path / "a.pt", {name: TENSORS[name]}, form) as model:
        assert_same(model, {name: TENSORS[name]})
        assert not model.journal.dangerous and not model.notes


@either
@pytest.mark.parametrize("protocol", [1, 2, 3, 4, 5])
def test_every_pickle_protocol_is_read(tmp_path: Path, form: str, protocol: int) -> None:
    tensors = {"a": BASE, "b": BASE[5:9]}
    with saved(tmp_path / "a.pt", tensors, form, protocol) as model:
        assert_same(model, tensors)


@either
def test_protocol_zero_loses_its_storages_and_is_refused(tmp_path: Path, form: str) -> None:
    with pytest.raises(Damaged, match="a persistent id is not that of a storage"):
        saved(tmp_path / "a.pt", {"a": BASE}, form, 0)


@st.composite
def views(draw: st.DrawFn) -> torch.Tensor:
    """Some view of a small storage: sliced, permuted, expanded."""
    shape = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    view = torch.arange(int(torch.tensor(shape).prod()) + 3, dtype=torch.int16)[3:].reshape(shape)
    view = view.permute(*draw(st.permutations(range(len(shape)))))
    for dimension, size in enumerate(view.shape):
        start = draw(st.integers(0, size - 1))
        step = draw(st.integers(1, 3))
        view = view[(slice(None),) * dimension + (slice(start, None, step),)]
    if draw(st.booleans()):
        view = view.unsqueeze(0).expand(draw(st.integers(1, 3)), *view.shape)
    return view


@given(st.lists(views(), min_size=1, max_size=3), st.sampled_from(FORMATS))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_view_reads_as_torch_reads_it(
    tmp_path: Path, tensors: list[torch.Tensor], form: str
) -> None:
    named = {f"t{index}": tensor for index, tensor in enumerate(tensors)}
    with saved(tmp_path / "a.pt", named, form) as model:
        assert_same(model, named)


@either
def test_views_say_where_they_come_from(tmp_path: Path, form: str) -> None:
    base = torch.arange(60.0)
    value = {"a": base, "again": base, "part": base[4:8], "turned": base.reshape(6, 10).T}
    with saved(tmp_path / "a.pt", value, form) as model:
        origins = {name: tensor.origin for name, tensor in model.items()}
        assert tied(model["a"], model["again"]) and not tied(model["a"], model["part"])
        assert all(origin and origin.storage_nbytes == 240 for origin in origins.values())
        assert origins["part"] and origins["part"].offset == 16
        assert origins["turned"] and origins["turned"].strides == (1, 10)


@either
def test_large_tensors_come_in_pieces(tmp_path: Path, form: str) -> None:
    base = torch.arange(CHUNK // 2, dtype=torch.int32).reshape(2048, -1)
    value = {"plain": base, "turned": base.T, "half": base[:, ::2]}
    with saved(tmp_path / "a.pt", value, form) as model:
        for name, tensor in value.items():
            pieces = [bytes(piece) for piece in model[name].chunks()]
            assert max(map(len, pieces)) <= CHUNK
            assert b"".join(pieces) == raw(tensor), name


def test_a_lightning_checkpoint_keeps_bare_names_for_its_weights(tmp_path: Path) -> None:
    layer = torch.nn.Linear(2, 3)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    value = {
        "epoch": 6,
        "global_step": 470000,
        "pytorch-lightning_version": "1.4.2",
        "state_dict": OrderedDict(layer.state_dict()),
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [],
        "hyper_parameters": {"lr": 1e-4, "betas": (0.9, 0.999), "name": None},
    }
    with saved(tmp_path / "a.ckpt", value) as model:
        assert model.wrapper == "state_dict"
        assert list(model)[:3] == ["weight", "bias", "optimizer_states.0.state.0.step"]
        assert model["optimizer_states.0.state.1.exp_avg"].shape == (3,)
        assert model.extras["global_step"] == 470000
        assert model.extras["hyper_parameters.betas.1"] == 0.999
        assert model.extras["hyper_parameters.name"] is None
        assert model.extras["optimizer_states.0.param_groups.0.params.1"] == 1
        assert isinstance(model.tree, dict) and isinstance(model.tree["state_dict"], dict)
        assert model.tree["state_dict"]["weight"] is model["weight"]


@either
def test_a_lone_tensor_has_a_name(tmp_path: Path, form: str) -> None:
    with saved(tmp_path / "a.pt", torch.arange(3), form) as model:
        assert_same(model, {"tensor": torch.arange(3)})


def test_a_whole_module_opens_with_the_names_of_its_state_dict(tmp_path: Path) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    with saved(tmp_path / "a.pt", module) as model:
        assert set(model) == set(module.state_dict())
        assert bytes(model["0.weight"].read()) == raw(module[0].weight)


@either
def test_an_embedding_in_a_parameter_dict_is_read(tmp_path: Path, form: str) -> None:
    param = torch.nn.ParameterDict({"*": torch.nn.Parameter(torch.ones(2, 4))})
    value = {"string_to_token": {"*": torch.tensor(265)}, "string_to_param": param}
    with saved(tmp_path / "a.pt", value, form) as model:
        assert model["string_to_param.*"].read() == raw(torch.ones(2, 4))
        assert not model.journal.dangerous


def test_objects_that_are_not_emulated_are_listed_and_not_kept(tmp_path: Path) -> None:
    options = argparse.Namespace(lr=0.5, best=torch.ones(1))
    with saved(tmp_path / "a.ckpt", {"state_dict": {"w": BASE}, "args": options}) as model:
        assert list(model) == ["w", "args.best"]
        assert model.extras["args.lr"] == 0.5
        assert isinstance(model.tree, dict) and "args" not in model.tree
        assert not model.journal.dangerous


@either
def test_a_pickle_of_many_megabytes_is_read(tmp_path: Path, form: str) -> None:
    words = [f"word {number:060}" for number in range(40_000)]
    with saved(tmp_path / "a.pt", {"w": BASE, "words": words}, form) as model:
        assert_same(model, {"w": BASE})
        assert model.extras["words.39999"] == words[-1]


def test_quantised_tensors_are_left_out_with_a_note(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantised = torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)
    with saved(tmp_path / "a.pt", {"q": quantised, "w": torch.ones(2)}) as model:
        assert list(model) == ["w"]
        assert "tensors of type QInt8 are left out" in model.notes


def rezipped(path: Path, change: Callable[[str, bytes], tuple[str, bytes] | None], method: int = 0,
             extra: tuple[tuple[str, bytes], ...] = ()) -> ModelFile:  # fmt: skip
    """The same archive with its members changed, as packing by hand would."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(f"{path}.new", "w", method) as new:
        for name in old.namelist():
            changed = change(name, old.read(name))
            if changed:
                new.writestr(*changed)
        for name, data in extra:
            new.writestr(name, data)
    return read_torch_zip(Source(f"{path}.new"))


@pytest.mark.row(13)
def test_members_without_a_folder_are_accepted(tmp_path: Path) -> None:
    torch.save({"a": BASE}, tmp_path / "a.pt")
    with rezipped(tmp_path / "a.pt", lambda n, d: (n.removeprefix("a/"), d)) as model:
        assert_same(model, {"a": BASE})


def test_a_packed_archive_is_accepted(tmp_path: Path) -> None:
    tensors = {"a": BASE, "b": BASE.reshape(12, 10).T}
    torch.save(tensors, tmp_path / "a.pt")
    folder = (("a/", b""), ("a/data/", b""))
    with rezipped(tmp_path / "a.pt", lambda n, d: (n, d), 8, folder) as model:
        assert_same(model, tensors)


@pytest.mark.parametrize("name", ["f32", "f16", "e4m3", "c64", "transposed", "u8", "bool"])
def test_big_endian_numbers_are_turned_around(tmp_path: Path, name: str) -> None:
    tensor = TENSORS[name]
    unit = tensor.element_size() // (2 if tensor.is_complex() else 1)

    def turn(member: str, data: bytes) -> tuple[str, bytes]:
        if member.endswith("byteorder"):
            return member, b"big"
        if "/data/" in member:
            data = b"".join(data[i : i + unit][::-1] for i in range(0, len(data), unit))
        return member, data

    torch.save({name: tensor}, tmp_path / "a.pt")
    with rezipped(tmp_path / "a.pt", turn) as model:
        assert_same(model, {name: tensor})


def test_unused_storages_are_noted(tmp_path: Path) -> None:
    torch.save({"a": BASE}, tmp_path / "a.pt")
    with rezipped(tmp_path / "a.pt", lambda n, d: (n, d), 0, (("a/data/9", b"x" * 99),)) as model:
        assert model.notes == ("99 bytes of storages are not used by any tensor",)


def test_nothing_is_read_after_the_model_was_closed(tmp_path: Path) -> None:
    with saved(tmp_path / "a.pt", {"a": BASE}) as model:
        assert model.container == TORCH_ZIP
    with pytest.raises(Unreadable):
        model["a"].read()


def test_real_files_read_as_torch_reads_them(real: Path) -> None:
    paths = [path for path in sorted(real.iterdir()) if path.suffix in (".pt", ".pth", ".bin")]
    for path in paths:
        theirs = torch.load(path, map_location="cpu", weights_only=False)
        with read_torch_zip(Source(path)) as model:
            flat = {"tensor": theirs} if isinstance(theirs, torch.Tensor) else theirs
            if "string_to_param" in flat:
                flat = {"string_to_param.*": flat["string_to_param"]["*"]}
            assert_same(model, {k: v for k, v in flat.items() if isinstance(v, torch.Tensor)})
            assert not model.journal.dangerous and not model.wrapper


def test_an_embedding_keeps_what_stands_beside_its_tensor(real: Path) -> None:
    with read_torch_zip(Source(real / "embedding-a1111-bad-artist.pt")) as model:
        assert list(model) == ["string_to_param.*"]
        assert model["string_to_param.*"].shape == (2, 768)
        assert model.extras["string_to_token.*"] == 265
        assert model.extras["name"]
        assert isinstance(model.tree, dict)


def test_the_legacy_container_names_itself(tmp_path: Path) -> None:
    with saved(tmp_path / "a.pt", {"a": BASE}, "legacy") as model:
        assert model.container == TORCH_LEGACY
