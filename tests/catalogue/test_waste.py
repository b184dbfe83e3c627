"""What can be dropped is counted exactly, and only what can."""

from __future__ import annotations

from sfumato.catalogue.cards.waste import waste
from sfumato.catalogue.verdict import Part, Verdict
from sfumato.containers.dtype import F16, F32
from sfumato.containers.tensor import Origin, Tensor
from toys import random_tensor


def part(role: str, model: dict[str, Tensor], *names: str) -> Part:
    nbytes = sum(model[name].nbytes for name in names)
    return Part(role, role, "", len(names), 0, nbytes, {}, names=names)


def test_optimizer_state_is_lossless_waste_of_its_whole_size() -> None:
    model = {"w": random_tensor((4,), F16), "m": random_tensor((100,))}
    verdict = Verdict("checkpoint", parts=(part("unet", model, "w"), part("optimizer", model, "m")))
    (found,) = waste(model, verdict)
    assert (found.nbytes, found.lossless) == (400, True)
    assert found.command == "prune"


def test_one_of_two_unets_is_waste_that_changes_pictures() -> None:
    model = {"w": random_tensor((8,), F16), "e": random_tensor((8,), F16)}
    verdict = Verdict("checkpoint", parts=(part("unet", model, "w"), part("ema", model, "e")))
    (found,) = waste(model, verdict)
    assert (found.nbytes, found.lossless) == (16, False)


def test_averages_alone_are_no_waste() -> None:
    model = {"e": random_tensor((8,), F16)}
    assert not waste(model, Verdict("checkpoint", parts=(part("ema", model, "e"),)))


def test_half_of_fp32_is_waste_and_nothing_of_fp16_is() -> None:
    model = {"a": random_tensor((10,), F32), "b": random_tensor((10,), F16)}
    verdict = Verdict("vae", parts=(part("vae", model, "a", "b"),))
    (found,) = waste(model, verdict)
    assert (found.nbytes, found.lossless) == (20, False)


def test_a_small_view_of_a_large_storage_wastes_the_rest() -> None:
    tensor = random_tensor((4,), F16)
    view = Tensor(F16, (4,), tensor.read, origin=Origin("0", 1000))
    assert waste({"v": view}, Verdict("unknown"))[0].nbytes == 1000 - 8


def test_unknown_tensors_are_no_waste_where_nothing_is_known() -> None:
    model = {"x": random_tensor((4,), F16)}
    assert not waste(model, Verdict("unknown", parts=(part("unknown", model, "x"),)))
