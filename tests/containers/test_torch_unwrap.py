"""Where the state dict is, and what everything is called."""

from __future__ import annotations

import pytest

from sfumato.containers.dtype import F32
from sfumato.containers.limits import Limits
from sfumato.containers.model_file import Key, Tree
from sfumato.containers.tensor import Tensor
from sfumato.containers.torch.nested_value import Inert
from sfumato.containers.torch.unwrap import Flat, flatten, replaced, without_inert

T = Tensor(F32, (1,), lambda: b"\0\0\0\0")
U = Tensor(F32, (1,), lambda: b"\0\0\0\1")


def flat(tree: Tree, limits: Limits = Limits()) -> Flat:  # noqa: B008
    return flatten(tree, ValueError, limits)


STATE: dict[Key, Tree] = {"a.weight": T, "a.bias": T}

WRAPPED: list[tuple[Tree, str, list[str]]] = [
    (STATE, "", ["a.weight", "a.bias"]),
    ({"state_dict": STATE}, "state_dict", ["a.weight", "a.bias"]),
    ({"state_dict": {"state_dict": STATE}}, "state_dict.state_dict", ["a.weight", "a.bias"]),
    ({"params": {"x": T}, "params_ema": {"x": T}}, "params_ema", ["params.x", "x"]),
    ({"params-ema": {"x": T}, "iter": 5}, "params-ema", ["x"]),
    ({"model": {"x": T}, "optimizer": {"state": {0: {"exp_avg": T}}}}, "model",
     ["x", "optimizer.state.0.exp_avg"]),
    ({"model_state_dict": {"x": T}, "state_dict": {"y": T}}, "state_dict",
     ["model_state_dict.x", "y"]),
    ({"net": {"x": T}}, "net", ["x"]),
    ({"unet": {"x": T}}, "unet", ["x"]),
    ({"state_dict": {"model": {"x": T}}}, "state_dict.model", ["x"]),
    ({"model": 5, "x": T}, "", ["x"]),
    ({"state_dict": {}, "x": T}, "", ["x"]),
    ({"string_to_param": {"*": T}, "name": "n"}, "", ["string_to_param.*"]),
    ({"string_to_param": {"*": T}}, "", ["string_to_param.*"]),
    ({"image_proj": {"x": T}, "ip_adapter": {"1.k": T}}, "", ["image_proj.x", "ip_adapter.1.k"]),
    ({"image_proj": {"x": T}}, "", ["image_proj.x"]),
    ({768: ({"l.w": T}, {"l.w": T}), "name": "h"}, "", ["768.0.l.w", "768.1.l.w"]),
    ({320: {"x": T}}, "", ["320.x"]),
    ([{"*": T}, {"*": T}], "", ["0.*", "1.*"]),
    ({"optimizer_state_dict": {"state": {0: {"m": T}}}, "hash": "ab"}, "",
     ["optimizer_state_dict.state.0.m"]),
    (T, "", ["tensor"]),
    ({}, "", []),
    (None, "", []),
]  # fmt: skip


@pytest.mark.parametrize(("tree", "wrapper", "names"), WRAPPED)
def test_the_state_dict_is_found_and_everything_has_its_name(
    tree: Tree, wrapper: str, names: list[str]
) -> None:
    found = flat(tree)
    assert found.wrapper == wrapper
    assert list(found.tensors) == names


def test_values_beside_the_tensors_are_kept_under_their_path() -> None:
    tree: Tree = {
        "state_dict": {"w": T, "v": 1},
        "a": {"b": [None, ("c", True)]},
        b"k": 2.5,
        7: b"x",
    }
    assert flat(tree).extras == {
        "v": 1, "a.b.0": None, "a.b.1.0": "c", "a.b.1.1": True, "k": 2.5, "7": b"x",
    }  # fmt: skip


def test_two_tensors_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match=r"two tensors are named a\.b"):
        flat({"a": {"b": T}, "a.b": T})
    with pytest.raises(ValueError, match="two tensors are named 1"):
        flat({"1": T, 1: T})


@pytest.mark.row(65)
def test_endless_names_and_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 2 tensors"):
        flat({"a": T, "b": T, "c": T}, Limits(tensors=2))
    with pytest.raises(ValueError, match="a name of 70000 characters"):
        flat({"x" * 70_000: T})
    shared: dict[Key, Tree] = {str(number): T for number in range(100)}
    with pytest.raises(ValueError, match="fill the memory"):
        flat({"x" * 1000 + str(n): shared for n in range(100)}, Limits(metadata_value=1 << 20))


def test_extras_stop_at_a_bound_with_a_note() -> None:
    found = flat({"w": T, "s": ["x" * 600_000] * 4}, Limits(metadata_value=1 << 20))
    assert list(found.extras) == ["s.0"]
    assert found.notes == ["holds more values beside its tensors than are listed"]


def test_lifeless_objects_are_listed_and_not_written() -> None:
    tree: Tree = {"w": T, "callback": Inert({"best": U, "path": "x"}), "l": [1, Inert({})]}
    found = flat(tree)
    assert list(found.tensors) == ["w", "callback.best"]
    assert found.extras == {"callback.path": "x", "l.0": 1}
    assert without_inert(tree) == {"w": T, "l": [1, None]}


def test_a_tree_takes_new_tensors_under_the_old_names() -> None:
    tree: Tree = {"state_dict": {"w": T, "gone": T}, "step": 3, "opt": [{"m": T}, T]}
    new = replaced(tree, {"w": U, "opt.0.m": U})
    assert new == {"state_dict": {"w": U}, "step": 3, "opt": [{"m": U}, None]}
    assert replaced(T, {"tensor": U}) is U
    assert replaced(tree, flat(tree).tensors) == tree
