"""Emulations of torch's rebuilders: pure functions from pickled arguments to descriptions."""

from __future__ import annotations

from typing import cast

from sfumato.containers import dtype as types
from sfumato.containers.dtype import DType
from sfumato.containers.pickles.plain_types import Foreign, Malformed
from sfumato.containers.pickles.values import (
    Global,
    NumpyArray,
    PendingTensor,
    Record,
    StorageRef,
    Value,
)

HIGHEST_RANK = 64

DTYPES: dict[str, DType] = {
    "float32": types.F32, "float": types.F32,
    "float64": types.F64, "double": types.F64,
    "float16": types.F16, "half": types.F16,
    "bfloat16": types.BF16,
    "float8_e4m3fn": types.F8_E4M3, "float8_e5m2": types.F8_E5M2,
    "float8_e4m3fnuz": types.F8_E4M3FNUZ, "float8_e5m2fnuz": types.F8_E5M2FNUZ,
    "float8_e8m0fnu": types.F8_E8M0,
    "uint8": types.U8, "int8": types.I8,
    "uint16": types.U16, "int16": types.I16, "short": types.I16,
    "uint32": types.U32, "int32": types.I32, "int": types.I32,
    "uint64": types.U64, "int64": types.I64, "long": types.I64,
    "bool": types.BOOL,
    "complex64": types.C64, "cfloat": types.C64,
    "complex128": types.C128, "cdouble": types.C128,
}  # fmt: skip
"""torch's names of element types"""

OTHER_CONSTANTS = (
    "complex32", "chalf", "quint8", "qint8", "qint32", "quint4x2", "quint2x4", "float4_e2m1fn_x2",
    "strided", "sparse_coo", "contiguous_format", "channels_last", "channels_last_3d",
    "preserve_format", "per_tensor_affine", "per_channel_affine", "per_tensor_symmetric",
    "per_channel_symmetric",
)  # fmt: skip
"""names in torch that are imported as values and mean nothing to us"""

STORAGES = tuple(
    f"{name}Storage"
    for name in (
        "Double", "Float", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool",
        "ComplexFloat", "ComplexDouble", "QInt8", "QUInt8", "QInt32", "QUInt4x2", "QUInt2x4",
        "Untyped", "Typed",
    )
)  # fmt: skip
"""storage classes in torch, and in torch.cuda before torch 0.4"""

TENSORS = tuple(
    f"{name}Tensor"
    for name in (
        "Double", "Float", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool",
    )
)  # fmt: skip
"""tensor classes, as tar files name them"""


def rebuild_tensor(arguments: tuple[Value, ...]) -> Value:
    """_rebuild_tensor(storage, offset, size, stride), and v2 with what autograd wants to know."""
    if not 4 <= len(arguments) <= 7:
        raise Malformed(f"a tensor is described by {len(arguments)} values")
    storage = arguments[0]
    if not isinstance(storage, StorageRef):
        raise Malformed("a tensor is made of something that is no storage")
    return _view(arguments, storage.dtype or types.U8)


def rebuild_tensor_v3(arguments: tuple[Value, ...]) -> Value:
    """_rebuild_tensor_v3(storage, offset, size, stride, requires_grad, hooks, dtype, metadata)."""
    if not 7 <= len(arguments) <= 8:
        raise Malformed(f"a tensor is described by {len(arguments)} values")
    return _view(arguments, as_dtype(arguments[6]))


def as_dtype(value: Value) -> DType:
    """The element type that a token such as torch.float8_e5m2 names."""
    known = DTYPES.get(value.name) if isinstance(value, Global) else None
    if known is None or not isinstance(value, Global) or value.module != "torch":
        raise Malformed("a tensor has an element type that is not known")
    return known


def _view(arguments: tuple[Value, ...], dtype: DType) -> PendingTensor:
    storage, offset, size, stride = arguments[:4]
    if not isinstance(storage, StorageRef):
        raise Malformed("a tensor is made of something that is no storage")
    if type(offset) is not int or offset < 0:
        raise Malformed("a tensor's offset is not a whole number from 0 on")
    shape, strides = _sizes(size), _sizes(stride)
    if len(shape) != len(strides):
        raise Malformed(f"a tensor has {len(shape)} sizes and {len(strides)} strides")
    return PendingTensor(storage, offset, shape, strides, dtype)


def _sizes(value: Value) -> tuple[int, ...]:
    """A tuple of whole numbers from 0 on, not too many."""
    if not isinstance(value, tuple | list):
        raise Malformed("a tensor's sizes are not a tuple")
    if len(value) > HIGHEST_RANK:
        raise Malformed(f"a tensor has {len(value)} dimensions; {HIGHEST_RANK} are possible")
    for number in value:
        if type(number) is not int or number < 0:
            raise Malformed("a tensor has a size or stride that is not a whole number from 0 on")
    return cast("tuple[int, ...]", tuple(value))


def rebuild_parameter(arguments: tuple[Value, ...]) -> Value:
    """_rebuild_parameter(data, …), and Parameter(data, …) itself: the tensor."""
    if not 1 <= len(arguments) <= 4:
        raise Malformed(f"a parameter is described by {len(arguments)} values")
    data = arguments[0]
    if not isinstance(data, PendingTensor | NumpyArray | Record):
        raise Malformed("a parameter is made of something that is no tensor")
    return data


def rebuild_from_numpy(arguments: tuple[Value, ...]) -> Value:
    """_rebuild_device_tensor_from_numpy(array, dtype, device, requires_grad): the array."""
    if not arguments or not isinstance(arguments[0], NumpyArray):
        raise Malformed("a tensor is made of something that is no array")
    return arguments[0]


def rebuild_on_device(arguments: tuple[Value, ...]) -> Value:
    """_rebuild_device_tensor_from_cpu_tensor(data, dtype, device, requires_grad): the tensor."""
    if not arguments or not isinstance(arguments[0], PendingTensor):
        raise Malformed("a tensor is made of something that is no tensor")
    return arguments[0]


def make_device(arguments: tuple[Value, ...]) -> Value:
    """device("cuda", 0): its name, "cuda:0"."""
    kind = arguments[0] if arguments else None
    index = arguments[1] if len(arguments) == 2 else None
    if not isinstance(kind, str) or len(arguments) > 2 or len(kind) > 64:
        raise Malformed("a device has no name")
    if index is None:
        return kind
    if type(index) is not int or not 0 <= index < 1 << 16:
        raise Malformed("a device has a number that is none")
    return f"{kind}:{index}"


def make_layout(arguments: tuple[Value, ...]) -> Value:
    """_get_layout("torch.strided"): its name."""
    if len(arguments) != 1 or not isinstance(arguments[0], str):
        raise Foreign
    return arguments[0]
