"""An opened model: a mapping from name to tensor, with all that its container says beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from sfumato.containers.journal import Journal
from sfumato.containers.tensor import Tensor

Leaf = str | int | float | bool | bytes | None
"""a value beside the tensors: a step count, a name, a setting"""

Key = str | int | float | bool | bytes | None
"""what a pickled dictionary may be keyed by"""

Tree = Tensor | Leaf | list["Tree"] | tuple["Tree", ...] | dict[Key, "Tree"]
"""the nested value a pickle holds, with tensors as its leaves"""


@dataclass(frozen=True, slots=True)
class Container:
    """A file format."""

    name: str
    """short and stable, as in JSON: "safetensors", "torch-zip" …"""
    title: str
    """as a person says it: "safetensors", "PyTorch zip archive" …"""
    executes: bool = False
    """True where other programs run code from such a file when they read it"""


SAFETENSORS = Container("safetensors", "safetensors")
TORCH_ZIP = Container("torch-zip", "PyTorch zip (pickle)", executes=True)
TORCH_LEGACY = Container("torch-legacy", "PyTorch legacy (stacked pickles)", executes=True)
TORCH_TAR = Container("torch-tar", "PyTorch legacy (tar of pickles)", executes=True)
PICKLE = Container("pickle", "plain pickle", executes=True)
NPZ = Container("npz", "numpy archive")
TENSORFLOW_V2 = Container("tensorflow-v2", "TensorFlow V2 checkpoint")
TENSORFLOW_V1 = Container("tensorflow-v1", "TensorFlow V1 checkpoint")
GGUF = Container("gguf", "GGUF")
DIFFUSERS = Container("diffusers-folder", "diffusers folder")
PEFT = Container("peft-folder", "PEFT folder")
SHARDED = Container("sharded", "sharded set")
PICTURE = Container("picture", "embedding inside a picture")

CONTAINERS: tuple[Container, ...] = (
    SAFETENSORS, TORCH_ZIP, TORCH_LEGACY, TORCH_TAR, PICKLE, NPZ,
    TENSORFLOW_V2, TENSORFLOW_V1, GGUF, DIFFUSERS, PEFT, SHARDED, PICTURE,
)  # fmt: skip
"""every format that is read"""


@dataclass(slots=True, eq=False)
class ModelFile(Mapping[str, Tensor]):
    """What `open_model` returns, whatever the container.

    Names are those of the state dict: the wrapper it was found in (`state_dict`, `params_ema` …) is
    stripped and kept in `wrapper`; tensors outside it keep their whole path
    (`optimizer_states.0.state.5.exp_avg`). List and tuple indices and integer keys are spelled as
    decimal digits (`768.0.linear.0.weight`).
    """

    path: Path
    container: Container
    tensors: Mapping[str, Tensor]
    size: int
    """bytes on disk, of all files where there are several"""
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    """text beside the tensors: safetensors `__metadata__`, GGUF keys …"""
    extras: Mapping[str, Leaf] = field(default_factory=dict[str, Leaf])
    """values in the pickle that are not tensors, under their dotted path (`global_step`)"""
    journal: Journal = field(default_factory=Journal)
    wrapper: str = ""
    """dotted path of the dictionary that was unwrapped, such as "state_dict"; empty for none"""
    tree: Tree = None
    """the whole nested value where the container has one (pickles); None otherwise"""
    notes: tuple[str, ...] = ()
    """oddities that do not stop reading, one sentence each: "the CRC of data/3 does not match" """
    resources: ExitStack = field(default_factory=ExitStack)
    """open files, closed with the model"""

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    def close(self) -> None:
        """Close the files behind the tensors; what was read stays valid, the rest cannot be."""
        self.resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
