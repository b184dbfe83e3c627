"""What is said of hypernetworks: widths, family, structure, and what does not fit together."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from adapter_files import model

from sfumato.catalogue.adapters import recognise
from sfumato.catalogue.verdict import Verdict
from sfumato.containers.model_file import Leaf

Shapes = dict[str, tuple[int, ...]]


def network(
    widths: tuple[int, ...], multipliers: tuple[float, ...] = (1, 2, 1), norm: bool = False
) -> Shapes:
    """A hypernetwork without activation, as A1111 writes it."""
    shapes: Shapes = {}
    for width in widths:
        sizes = [int(width * multiplier) for multiplier in multipliers]
        for half in ("0", "1"):
            layer = f"{width}.{half}.linear"
            number = 0
            for inputs, outputs in pairwise(sizes):
                shapes[f"{layer}.{number}.weight"] = (outputs, inputs)
                shapes[f"{layer}.{number}.bias"] = (outputs,)
                if norm:
                    number += 1
                    shapes[f"{layer}.{number}.weight"] = (outputs,)
                    shapes[f"{layer}.{number}.bias"] = (outputs,)
                number += 1
    return shapes


def said(shapes: Shapes, extras: dict[str, Leaf] | None = None) -> Verdict:
    verdict = recognise(model(shapes), {}, extras or {}, "file")
    assert verdict is not None and verdict.kind == "hypernetwork"
    return verdict


@pytest.mark.parametrize(("context", "family"), [(768, "sd1"), (1024, "sd2"), (2048, "sdxl")])
def test_the_widest_text_width_tells_the_family(context: int, family: str) -> None:
    verdict = said(network((320, 640, context, 1280)))
    assert (verdict.family, verdict.confidence) == (family, "certain")
    assert verdict.adapter is not None
    assert verdict.adapter.widths == tuple(sorted((320, 640, context, 1280)))


def test_the_structure_is_said_in_words() -> None:
    extras: dict[str, Leaf] = {
        "activation_func": "relu",
        "is_layer_norm": True,
        "use_dropout": True,
        "activate_output": False,
        "layer_structure.0": 1,
        "layer_structure.1": 1.5,
        "layer_structure.2": 2,
        "layer_structure.3": 1,
        "step": 2000,
        "sd_checkpoint_name": "nai",
    }
    verdict = said(network((320, 768), (1, 1.5, 2, 1), norm=True), extras)
    assert verdict.adapter is not None and not verdict.contradictions
    assert verdict.adapter.structure == "1, 1.5, 2, 1, relu, layer norm, dropout"
    assert "trained 2000 steps on nai" in verdict.evidence


def test_a_hypernetwork_that_was_converted_says_the_same_as_before() -> None:
    extras: dict[str, Leaf] = {"activation_func": "relu", "activate_output": False, "step": 2000}
    kept = {f"sfumato.extra.{key}": json.dumps(value) for key, value in extras.items()}
    tensors = model(network((768,)))
    before, after = recognise(tensors, {}, extras, ""), recognise(tensors, kept, {}, "")
    assert before == after and before is not None and before.adapter is not None
    assert before.adapter.structure == "1, 2, 1, relu"
    assert (before.adapter.modules, before.adapter.known) == (0, 0)


@pytest.mark.parametrize("text", ["", "[", "[1]", "{}", "NaN", "\ud800", "9" * 5000, '"' * 99])
def test_values_that_are_no_json_do_no_harm(text: str) -> None:
    keys = ("activation_func", "step", "layer_structure.0", "use_dropout")
    kept = {f"sfumato.extra.{key}": text for key in keys}
    assert recognise(model(network((768,))), kept, {}, "") is not None


def test_old_files_name_two_layers_and_tell_nothing_else() -> None:
    shapes: Shapes = {}
    for half in ("0", "1"):
        for name, shape in (("linear1", (1536, 768)), ("linear2", (768, 1536))):
            shapes[f"768.{half}.{name}.weight"] = shape
            shapes[f"768.{half}.{name}.bias"] = shape[:1]
    verdict = said(shapes)
    assert verdict.adapter is not None and verdict.family == "sd1"
    assert (verdict.adapter.spelling, verdict.adapter.structure) == ("novelai", "1, 2, 1")


def test_activating_the_output_is_the_default_of_files_that_do_not_say() -> None:
    verdict = said(network((768,)), {"activation_func": "Mish"})
    assert verdict.adapter is not None
    assert verdict.adapter.structure == "1, 2, 1, mish, activated output"


def test_what_the_file_says_of_itself_is_compared_with_its_shapes() -> None:
    extras: dict[str, Leaf] = {f"layer_structure.{i}": n for i, n in enumerate((1, 4, 1))}
    assert "1, 4, 1" in said(network((768,)), extras).contradictions[0]
    assert said(network((768,)), {"is_layer_norm": True}).contradictions


def test_layers_that_do_not_fit_each_other_are_said() -> None:
    shapes = network((768,)) | {"768.1.linear.1.weight": (768, 99)}
    assert any("do not fit" in clause for clause in said(shapes).contradictions)


def test_a_missing_half_is_said() -> None:
    shapes = {name: shape for name, shape in network((768,)).items() if ".0.linear" in name}
    assert any("one network" in clause for clause in said(shapes).contradictions)


@pytest.mark.parametrize("shape", [(), (0,), (0, 0), (1 << 60, 1 << 60), (1, 1, 1, 1)])
def test_senseless_shapes_do_no_harm(shape: tuple[int, ...]) -> None:
    said({"768.0.linear.0.weight": shape, "0.1.linear.0.weight": shape})
