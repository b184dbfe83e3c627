"""What is thought of a name that a pickle imports: emulated, kept lifeless, or refused."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sfumato.containers.journal import Risk
from sfumato.containers.pickles.emulations import EMULATED, Emulation
from sfumato.containers.pickles.values import Global


@dataclass(frozen=True, slots=True)
class Kin:
    """What a name is to the machine."""

    risk: Risk
    """of importing it, and of calling it unless `emulation` says otherwise"""
    emulation: Emulation | None = None
    """what is done in its place; None for what is only kept as a record"""
    listed: bool = True
    """False for a class that is inert for its package alone: making one runs no code of its
    constructor, but calling it does"""


INERT_PACKAGES = (
    "pytorch_lightning",
    "lightning.pytorch",
    "lightning.fabric",
    "lightning_fabric",
    "omegaconf",
    "torch.optim",
    "torch.nn",
    "__main__",
)
"""packages whose classes honest training programs leave in checkpoints; kept as records"""

INERT_NAMES = frozenset({
    # Lightning 1.x wrote the module object by mistake (AUTOMATIC1111's safe.py lets it pass)
    "pytorch_lightning.callbacks.model_checkpoint",
    "argparse.Namespace",
    "types.SimpleNamespace",
    "collections.deque",
    "pathlib.Path", "pathlib.PosixPath", "pathlib.WindowsPath",
    "pathlib.PurePath", "pathlib.PurePosixPath", "pathlib.PureWindowsPath",
    "pathlib._local.PosixPath", "pathlib._local.WindowsPath",
    "pathlib._local.PurePosixPath", "pathlib._local.PureWindowsPath",
    "datetime.datetime", "datetime.date", "datetime.time", "datetime.timedelta",
    "datetime.timezone",
    "typing.Any", "typing.Dict", "typing.List", "typing.Optional", "typing.Tuple", "typing.Union",
    "torch._utils._rebuild_qtensor", "torch._utils._rebuild_sparse_tensor",
    "torch._utils._rebuild_sparse_csr_tensor", "torch._utils._rebuild_nested_tensor",
    "torch._utils._rebuild_meta_tensor_no_storage", "torch._utils._rebuild_wrapper_subclass",
    # states of random number generators beside the weights
    "numpy.random._pickle.__randomstate_ctor", "numpy.random._pickle.__generator_ctor",
    "numpy.random._pickle.__bit_generator_ctor", "numpy.random.__RandomState_ctor",
    "numpy.random._mt19937.MT19937", "numpy.random._pcg64.PCG64",
    "numpy.random.bit_generator.SeedSequence",
    "numpy.random.bit_generator.__pyx_unpickle_SeedSequence",
})  # fmt: skip
"""single names that are kept as records"""

CLASS_NAME = re.compile(r"_{0,2}[A-Z][A-Za-z0-9_]{0,120}")
"""how classes are spelled; modules and functions that a package imports for itself are not"""

DISGUISES = frozenset({
    "Popen", "Process", "Pool", "Thread", "Timer", "Unpickler", "Pickler", "CodeType",
    "FunctionType", "LambdaType", "SourceFileLoader", "ModuleType", "FileIO", "Template",
})  # fmt: skip
"""classes with effects, which a harmless package may have imported for itself"""


def kin(token: Global) -> Kin:
    """What is known of the name; everything that is not known is refused."""
    emulation = EMULATED.get((canonical(token.module), token.name))
    if emulation is not None:
        return Kin("allowed", emulation)
    if "." in token.name:
        return Kin("refused")  # protocol 4 walks attributes: pathlib, os.system
    if token.dotted in INERT_NAMES:
        return Kin("inert")
    return Kin("inert" if _inert_class(token) else "refused", listed=False)


def canonical(module: str) -> str:
    """The module's present name, where Python 2 or numpy had another one."""
    if module in RENAMED:
        return RENAMED[module]
    if module.startswith("numpy._core."):
        return "numpy.core." + module.removeprefix("numpy._core.")
    return module


RENAMED = {"__builtin__": "builtins", "copy_reg": "copyreg"}


def _inert_class(token: Global) -> bool:
    if token.name in DISGUISES or not CLASS_NAME.fullmatch(token.name):
        return False
    module = token.module
    return any(module == name or module.startswith(f"{name}.") for name in INERT_PACKAGES)
