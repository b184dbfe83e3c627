"""Checkpoints with the objects of the programs that wrote them: what is a tensor is found."""

from __future__ import annotations

import collections
import sys
import typing
from pathlib import Path
from types import ModuleType

import pytest
import torch

from sfumato.containers.open import open_model
from sfumato.containers.save import save
from sfumato.containers.torch.unwrap import without_inert

CLASSES = {
    "omegaconf.dictconfig": ("DictConfig",),
    "omegaconf.listconfig": ("ListConfig",),
    "omegaconf.nodes": ("AnyNode",),
    "omegaconf.base": ("ContainerMetadata", "Metadata"),
}
"""stand-ins for omegaconf: only their names reach the file"""

Made = typing.Callable[..., object]


@pytest.fixture
def omegaconf(monkeypatch: pytest.MonkeyPatch) -> dict[str, Made]:
    """Makers of objects that pickle as omegaconf's do."""
    makers: dict[str, Made] = {}
    monkeypatch.setitem(sys.modules, "omegaconf", ModuleType("omegaconf"))
    for path, names in CLASSES.items():
        module = ModuleType(path)
        monkeypatch.setitem(sys.modules, path, module)
        for name in names:
            cls = type(name, (), {"__module__": path})
            setattr(module, name, cls)
            makers[name] = _maker(cls)
    return makers


def _maker(cls: type) -> Made:
    def make(**state: object) -> object:
        made = cls()
        vars(made).update(state)
        return made

    return make


def config(make: dict[str, Made], values: object, parent: object = None) -> object:
    """A DictConfig, ListConfig or AnyNode whose children know their parent."""
    meta = {
        "ref_type": typing.Any, "object_type": dict, "optional": True, "key": None, "flags": {},
        "flags_root": False, "resolver_cache": collections.defaultdict(dict),
    }  # fmt: skip
    if not isinstance(values, dict | list):
        plain = make["Metadata"](**meta)
        return make["AnyNode"](_metadata=plain, _parent=parent, _flags_cache=None, _val=values)
    extra = {"key_type": typing.Any, "element_type": typing.Any}
    node = make["DictConfig" if isinstance(values, dict) else "ListConfig"](
        _metadata=make["ContainerMetadata"](**meta, **extra), _parent=parent, _flags_cache=None
    )
    if isinstance(values, dict):
        content: object = {key: config(make, value, node) for key, value in values.items()}
    else:
        content = [config(make, value, node) for value in values]
    vars(node)["_content"] = content
    return node


SETTINGS = {
    "unet_config": {"target": "ldm.UNetModel", "params": {"attention_resolutions": [4, 2, 1]}},
    "scheduler": [{"warm_up_steps": [10000]}, {"f_max": [1.0]}],
    "timesteps": 1000,
}


@pytest.mark.parametrize("zipped", [True, False])
def test_a_lightning_checkpoint_with_omegaconf_settings_opens(
    tmp_path: Path, omegaconf: dict[str, Made], zipped: bool
) -> None:
    weights = {"a.weight": torch.arange(4.0), "a.bias": torch.ones(2)}
    whole = config(omegaconf, SETTINGS)
    value = {
        # one inner node comes first: its parent leads to all the rest
        "first": vars(whole)["_content"]["scheduler"],
        "hyper_parameters": whole,
        "state_dict": weights,
        "global_step": 7,
    }
    path = tmp_path / "last.ckpt"
    torch.save(value, path, _use_new_zipfile_serialization=zipped)
    with open_model(path) as model:
        assert {name: model[name].read() for name in model} == {
            name: tensor.numpy().tobytes() for name, tensor in weights.items()
        }
        assert model.wrapper == "state_dict" and model.extras["global_step"] == 7
        assert without_inert(model.tree) == {
            "state_dict": dict(model.tensors), "global_step": 7
        }  # fmt: skip
        save(tmp_path / "copy.ckpt", model.tensors, tree=model.tree)
    assert torch.load(tmp_path / "copy.ckpt", weights_only=True)["state_dict"].keys() == set(
        weights
    )


def test_a_thousand_nodes_that_know_their_parent_are_read_once_each(
    tmp_path: Path, omegaconf: dict[str, Made]
) -> None:
    whole = config(omegaconf, {f"key{number}": number for number in range(1000)})
    nodes = vars(whole)["_content"]
    value = {"nodes": list(nodes.values()), "w": torch.zeros(2), "whole": whole}
    torch.save(value, tmp_path / "a.ckpt")
    with open_model(tmp_path / "a.ckpt") as model:
        assert list(model) == ["w"]
