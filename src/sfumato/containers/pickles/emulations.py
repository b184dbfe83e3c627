"""The names that are emulated: what honest pickles of weights import, and what is done instead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from sfumato.containers.pickles import numpy_types, plain_types, torch_types
from sfumato.containers.pickles.values import Value

Call = Callable[[tuple[Value, ...]], Value]


@dataclass(frozen=True, slots=True)
class Emulation:
    """One name, and the pure function that stands in for it."""

    module: str
    """as Python 3 and numpy 1 call it"""
    name: str
    call: Call | None = None
    """None for what is only ever named: element types, storage classes"""
    rebuilds: bool = False
    """True where the first argument is itself a function to call: see calls.py"""


COLLECTIONS = (
    Emulation("collections", "OrderedDict", plain_types.make_dict),
    Emulation("typing", "OrderedDict", plain_types.make_dict),
    Emulation("collections", "Counter", plain_types.make_counter),
    Emulation("collections", "defaultdict", plain_types.make_defaultdict),
)

BUILTINS = (
    Emulation("builtins", "dict", plain_types.make_dict),
    Emulation("builtins", "list", plain_types.make_list),
    Emulation("builtins", "tuple", plain_types.make_tuple),
    Emulation("builtins", "set", plain_types.make_set),
    Emulation("builtins", "frozenset", plain_types.make_frozenset),
    Emulation("builtins", "bytes", plain_types.make_bytes),
    Emulation("builtins", "bytearray", plain_types.make_bytearray),
    Emulation("builtins", "int", plain_types.make_int),
    Emulation("builtins", "long", plain_types.make_int),
    Emulation("builtins", "float", plain_types.make_float),
    Emulation("builtins", "bool", plain_types.make_bool),
    Emulation("builtins", "complex", plain_types.make_complex),
    Emulation("builtins", "str", plain_types.make_text),
    Emulation("builtins", "unicode", plain_types.make_text),
    Emulation("builtins", "object", plain_types.make_object),
    Emulation("builtins", "slice", plain_types.make_slice),
    Emulation("builtins", "range", plain_types.make_range),
    Emulation("builtins", "xrange", plain_types.make_range),
    Emulation("_codecs", "encode", plain_types.encode),
    Emulation("copyreg", "_reconstructor", rebuilds=True),
    Emulation("copyreg", "__newobj__", rebuilds=True),
)

TORCH = (
    Emulation("torch._utils", "_rebuild_tensor", torch_types.rebuild_tensor),
    Emulation("torch._utils", "_rebuild_tensor_v2", torch_types.rebuild_tensor),
    Emulation("torch._utils", "_rebuild_tensor_v3", torch_types.rebuild_tensor_v3),
    Emulation("torch._utils", "_rebuild_parameter", torch_types.rebuild_parameter),
    Emulation("torch._utils", "_rebuild_parameter_with_state", torch_types.rebuild_parameter),
    Emulation("torch._utils", "_rebuild_device_tensor_from_numpy", torch_types.rebuild_from_numpy),
    Emulation("torch._utils", "_rebuild_xla_tensor", torch_types.rebuild_from_numpy),
    Emulation(
        "torch._utils", "_rebuild_device_tensor_from_cpu_tensor", torch_types.rebuild_on_device
    ),
    Emulation("torch._tensor", "_rebuild_from_type_v2", rebuilds=True),
    Emulation("torch._tensor", "_rebuild_from_type", rebuilds=True),
    Emulation("torch.storage", "_load_from_bytes", rebuilds=True),
    Emulation("torch.serialization", "_get_layout", torch_types.make_layout),
    Emulation("torch", "Size", plain_types.make_tuple),
    Emulation("torch", "device", torch_types.make_device),
    Emulation("torch", "Tensor"),
    Emulation("torch.nn.parameter", "Parameter", torch_types.rebuild_parameter),
    Emulation("torch.nn.parameter", "Buffer", torch_types.rebuild_parameter),
    Emulation("torch.nn.modules.container", "ParameterDict", plain_types.make_parameters),
    Emulation("torch.storage", "TypedStorage"),
    Emulation("torch.storage", "_TypedStorage"),
    Emulation("torch.storage", "UntypedStorage"),
    Emulation("torch.storage", "_UntypedStorage"),
    *(Emulation("torch", name) for name in torch_types.DTYPES),
    *(Emulation("torch", name) for name in torch_types.OTHER_CONSTANTS),
    *(
        Emulation(module, name)
        for name in (*torch_types.STORAGES, *torch_types.TENSORS)
        for module in ("torch", "torch.cuda")
    ),
)

NUMPY = (
    Emulation("numpy", "dtype", numpy_types.make_dtype),
    Emulation("numpy", "ndarray"),
    Emulation("numpy.core.multiarray", "_reconstruct", numpy_types.make_array),
    Emulation("numpy.core.multiarray", "scalar", numpy_types.make_scalar),
    Emulation("numpy.core.numeric", "_frombuffer", numpy_types.from_buffer),
    *(
        Emulation("numpy.dtypes", name, partial(numpy_types.make_dtype_of_class, name))
        for name in numpy_types.CLASSES
    ),
    *(Emulation("numpy", name) for name in numpy_types.SCALARS),
)

EMULATIONS: tuple[Emulation, ...] = (*COLLECTIONS, *BUILTINS, *TORCH, *NUMPY)
"""every name that is emulated"""

EMULATED: dict[tuple[str, str], Emulation] = {(e.module, e.name): e for e in EMULATIONS}
"""the same by module and name"""
