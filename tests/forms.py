"""Every container as somebody writes it: strategies for what it holds, and a writer for each."""

from __future__ import annotations

import json
import math
import pickle
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import torch
from hypothesis import strategies as st
from PIL import Image

import tars
from sfumato.containers import model_file as containers
from sfumato.containers.arrays import array, tensor_from
from sfumato.containers.dtype import DTYPES, SAFETENSORS_DTYPES
from sfumato.containers.folders.folder import ADAPTER_CONFIG, COMPONENTS, MODEL_INDEX
from sfumato.containers.gguf.encodings import PLAIN
from sfumato.containers.model_file import Container
from sfumato.containers.pictures.pixels import embed
from sfumato.containers.save import save
from sfumato.containers.tensor import Tensor
from tables import version_1, write_bundle

Model = dict[str, Tensor]
Models = st.SearchStrategy[Model]

TORCH = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U8": torch.uint8, "BOOL": torch.bool, "C64": torch.complex64, "C128": torch.complex128,
}  # fmt: skip
OLD = {
    "F64": "Double", "F32": "Float", "F16": "Half", "I64": "Long", "I32": "Int", "I16": "Short",
    "I8": "Char", "U8": "Byte",
}  # fmt: skip
"""the types that tensors and storages had when torch wrote tars"""

NUMPY = ("BOOL", "U8", "I8", "I16", "U16", "F16", "I32", "U32", "F32", "C64", "F64", "I64", "U64")
TENSORFLOW = ("F32", "F64", "I32", "U8", "I16", "I8", "I64", "BOOL", "F16")
WHOLE_BYTES = [dtype.name for dtype in SAFETENSORS_DTYPES if dtype.bits >= 8]

ANY = st.text(max_size=12)
NO_ZERO = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
HALVES = st.text(st.characters(exclude_categories=[]), max_size=12)
"""with halves of surrogate pairs, which a pickle can hold"""


@st.composite
def tensors(draw: st.DrawFn, dtypes: Collection[str], rank: int = 3) -> Tensor:
    """Any bits, in any shape: a scalar, an empty one."""
    dtype = DTYPES[draw(st.sampled_from(sorted(dtypes)))]
    shape = tuple(draw(st.lists(st.integers(0, 4), max_size=rank)))
    data = Random(draw(st.integers(0, 2**32))).randbytes(dtype.nbytes(shape))
    if dtype.kind == "bool":
        data = bytes(value & 1 for value in data)
    return Tensor(dtype, shape, lambda: data)


def models(
    dtypes: Collection[str], names: st.SearchStrategy[str], *, rank: int = 3, least: int = 0
) -> Models:
    """A few tensors."""
    return st.dictionaries(names, tensors(dtypes, rank), min_size=least, max_size=4)


def by_torch(tensor: Tensor) -> torch.Tensor:
    dtype = TORCH[tensor.dtype.name]
    if not tensor.size:
        return torch.empty(tensor.shape, dtype=dtype)
    return torch.frombuffer(bytearray(tensor.read()), dtype=dtype).reshape(tensor.shape)


def safetensors(folder: Path, model: Model) -> Path:
    return save(folder / "a.safetensors", model).path


def gguf(folder: Path, model: Model) -> Path:
    return save(folder / "a.gguf", model).path


def torch_zip(folder: Path, model: Model) -> Path:
    return save(folder / "a.ckpt", model).path


def torch_legacy(folder: Path, model: Model) -> Path:
    state = OrderedDict((name, by_torch(tensor)) for name, tensor in model.items())
    torch.save(state, folder / "a.pt", _use_new_zipfile_serialization=False)
    return folder / "a.pt"


def torch_tar(folder: Path, model: Model) -> Path:
    """A tar as torch 0.1 wrote it: a storage for each tensor."""
    kept, seen = tars.dumps(len(model)), tars.dumps(len(model))
    for number, tensor in enumerate(model.values()):
        kind = OLD[tensor.dtype.name]
        one = tars.storages(
            elements=tensor.size, numbers=bytes(tensor.read()), views=[],
            kind=getattr(torch, f"{kind}Storage"), number=100 + number,
        )  # fmt: skip
        kept += one.removeprefix(tars.dumps(1)).removesuffix(tars.dumps([]))
        strides = tuple(math.prod(tensor.shape[axis + 1 :]) for axis in range(len(tensor.shape)))
        kind = getattr(torch, f"{kind}Tensor")
        seen += tars.one_tensor(1 + number, 100 + number, tensor.shape, strides, 0, kind=kind)
    kept += tars.dumps([])
    value = OrderedDict((name, tars.Numbered(1 + i)) for i, name in enumerate(model))
    members = tars.members(storages=kept, tensors=seen, pickle=tars.dumps(value))
    (folder / "a.pth").write_bytes(tars.tar(members))
    return folder / "a.pth"


def plain_pickle(folder: Path, model: Model) -> Path:
    state = {name: array(tensor) for name, tensor in model.items()}
    (folder / "a.pkl").write_bytes(pickle.dumps(state, len(model)))
    return folder / "a.pkl"


def npz(folder: Path, model: Model) -> Path:
    np.savez(folder / "a.npz", **{name: array(tensor) for name, tensor in model.items()})
    return folder / "a.npz"


def tensorflow_v2(folder: Path, model: Model) -> Path:
    arrays = {name: array(tensor) for name, tensor in model.items()}
    return write_bundle(folder / "a", arrays, shards=2, snappy=len(model) % 2 == 1)


def tensorflow_v1(folder: Path, model: Model) -> Path:
    data = version_1({name: array(tensor) for name, tensor in model.items()})
    (folder / "a.ckpt").write_bytes(data)
    return folder / "a.ckpt"


def diffusers(folder: Path, model: Model) -> Path:
    parts = {name.partition(".")[0]: ["diffusers", "X"] for name in model}
    texts = {MODEL_INDEX: json.dumps(parts)}
    return save(folder / "a", model, texts, container=containers.DIFFUSERS).path


def peft(folder: Path, model: Model) -> Path:
    (folder / ADAPTER_CONFIG).write_text("{}")
    save(folder / "adapter_model.safetensors", model)
    return folder


def sharded(folder: Path, model: Model) -> Path:
    """A set of two or three files, of both sorts that transformers writes."""
    files = ("m-1.safetensors", "m-2.safetensors", "m-3.bin")
    places = {name: files[number % 3] for number, name in enumerate(model)}
    for file in set(places.values()):
        save(folder / file, {name: model[name] for name in model if places[name] == file})
    index = folder / "m.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return index


def picture(folder: Path, model: Model) -> Path:
    return save(folder / "a.png", model).path


def webp(folder: Path, model: Model) -> Path:
    """A lossless picture, which hides the vectors in its pixels alone."""
    (vectors,) = (array(tensor).tolist() for tensor in model.values())
    value = {"string_to_token": {"*": 265}, "string_to_param": {"*": {"TORCHTENSOR": vectors}}}
    middle = np.full((32, 8, 3), 200, np.uint8)
    pixels = embed(json.dumps(value).encode(), middle, vectors[0])
    Image.fromarray(pixels).save(folder / "a.webp", lossless=True)
    return folder / "a.webp"


@st.composite
def vectors(draw: st.DrawFn, count: int | None = None) -> Tensor:
    """Vectors of finite numbers, of which JSON has no others."""
    shape = (count or draw(st.integers(1, 5)), draw(st.integers(1, 9)))
    finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
    numbers = draw(st.lists(finite, min_size=math.prod(shape), max_size=math.prod(shape)))
    return tensor_from(np.array(numbers, "<f4").reshape(shape))


ONE = st.fixed_dictionaries({"string_to_param.*": vectors()})
PAIR = st.fixed_dictionaries({"clip_l": vectors(), "clip_g": vectors()})
IN_PARTS = st.builds(
    "{}.{}".format, st.sampled_from(COMPONENTS[:8]) | st.just("my-net_2"), NO_ZERO.filter(bool)
)
IN_BUNDLE = ANY.filter(lambda name: name[:1] > "\0")
"""names that begin with a zero byte are those of slices"""

IN_ZIP = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\\/:"),
    min_size=1,
    max_size=12,
)
"""of members that lead nowhere else"""


@dataclass(frozen=True, slots=True)
class Form:
    """One container by one writer."""

    container: Container
    models: Models
    """all that it can hold"""
    write: Callable[[Path, Model], Path]
    """writes to an empty folder, and gives the path to open"""


FORMS: tuple[Form, ...] = (
    Form(containers.SAFETENSORS, models(WHOLE_BYTES, NO_ZERO), safetensors),
    Form(containers.GGUF, models([dtype.name for dtype in PLAIN], ANY.filter(bool), rank=4), gguf),
    Form(containers.TORCH_ZIP, models(TORCH, HALVES), torch_zip),
    Form(containers.TORCH_LEGACY, models(TORCH, HALVES), torch_legacy),
    Form(containers.TORCH_TAR, models(OLD, HALVES), torch_tar),
    Form(containers.PICKLE, models(NUMPY, HALVES, least=1), plain_pickle),
    Form(containers.NPZ, models(NUMPY, IN_ZIP, least=1), npz),
    Form(containers.TENSORFLOW_V2, models(TENSORFLOW, IN_BUNDLE), tensorflow_v2),
    Form(containers.TENSORFLOW_V1, models(TENSORFLOW, ANY), tensorflow_v1),
    Form(containers.DIFFUSERS, models(WHOLE_BYTES, IN_PARTS, least=1), diffusers),
    Form(containers.PEFT, models(WHOLE_BYTES, NO_ZERO), peft),
    Form(containers.SHARDED, models(TORCH.keys() - {"C128"}, NO_ZERO, least=1), sharded),
    Form(containers.PICTURE, ONE | PAIR, picture),
    Form(containers.PICTURE, ONE, webp),
)
