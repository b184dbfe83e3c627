"""What can be written as an axis of a grid, what it means, and what is refused before painting."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfumato.engine.grid.axes import Axis, Lookup, find_parameter, read_axis
from sfumato.engine.grid.parameters import PARAMETERS, UNKNOWN_HERE
from sfumato.engine.grid.plan import Place, Plan, check_size, plan_grid
from sfumato.engine.grid.values import LIMIT, read_numbers, split_cells
from sfumato.engine.request import Hires, Request
from sfumato.errors import UsageError

BASE = Request(prompt="a red fox, snow, dusk", negative="red eyes", seed=7)
NAMES = ("Euler a", "Euler", "ink", "paint")


def find(name: str) -> str:
    for known in NAMES:
        if known.lower() == name.lower():
            return known
    raise UsageError(f"{name}: unknown")


LOOKUPS = {p.lookup: Lookup(find, lambda: NAMES) for p in PARAMETERS if p.lookup}


def axis(text: str, base: Request = BASE) -> Axis:
    return read_axis(text, base, LOOKUPS)


@pytest.mark.parametrize(
    ("cell", "whole", "expected"),
    [
        ("7", False, (7.0,)),
        ("-1", True, (-1,)),
        ("1-5", True, (1, 2, 3, 4, 5)),
        ("5-1", True, (5, 4, 3, 2, 1)),
        ("4-10 (+2)", False, (4, 6, 8, 10)),
        ("4-10 (+4)", False, (4, 8)),
        ("10 - 4 (-3)", True, (10, 7, 4)),
        ("1-10 [5]", True, (1, 3, 5, 7, 10)),
        ("0-1 [3]", False, (0, 0.5, 1)),
        ("0.2-1.0(+0.2)", False, (0.2, 0.4, 0.6, 0.8, 1.0)),
        ("-3--1", True, (-3, -2, -1)),
        ("3-9 [1]", False, (3,)),
        (".5", False, (0.5,)),
    ],
)
def test_a_cell_of_numbers(cell: str, whole: bool, expected: tuple[float, ...]) -> None:
    assert read_numbers(cell, whole=whole) == expected


@pytest.mark.parametrize(
    "cell",
    ["", "x", "1e5", "nan", "inf", "1-", "1-5 (+0)", "1-5 (-1)", "1-5 [0]", "1-9999999", "٣"],
)
def test_a_cell_that_is_no_number_is_refused(cell: str) -> None:
    with pytest.raises(UsageError):
        read_numbers(cell, whole=False)


@pytest.mark.parametrize("cell", ["1.5", "1-2 (+0.5)"])
def test_fractions_are_refused_where_whole_numbers_are_meant(cell: str) -> None:
    with pytest.raises(UsageError, match="whole"):
        read_numbers(cell, whole=True)


@given(st.integers(-99, 99), st.integers(-99, 99), st.integers(1, 30))
def test_a_range_by_count_has_that_many_values_from_end_to_end(a: int, b: int, count: int) -> None:
    values = read_numbers(f"{a}-{b} [{count}]", whole=False)
    assert len(values) == count and values[0] == a
    assert count == 1 or values[-1] == pytest.approx(b)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    for whole in (True, False):
        with suppress(UsageError):
            assert 0 < len(read_numbers(text, whole=whole)) <= LIMIT
    with suppress(UsageError):
        axis(f"lora: {text}")
    with suppress(UsageError):
        axis(text)


def test_quotes_keep_a_comma_inside_a_cell() -> None:
    assert split_cells('  a , "b, c" ,"d ""e"""') == ("a", "b, c", 'd "e"')


@pytest.mark.parametrize("text", ["", " ", '"open', '"a"b, c', ",,"])
def test_cells_without_end_or_content_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        split_cells(text)


def test_every_parameter_has_names_of_its_own() -> None:
    names = [name for p in PARAMETERS for name in (p.name, *p.aliases)]
    assert len(set(names)) == len(names)
    assert all(find_parameter(name.upper()).name for name in names)
    assert all(find_parameter(p.label) is p for p in PARAMETERS)


SAMPLES = {
    "int": "2", "float": "0.5", "switch": "on", "size": "64x96", "choice": "Euler a",
    "tag": "ink:0.5", "search": "snow, rain", "order": "snow, dusk", "styles": "ink",
    "text": "a wolf",
}  # fmt: skip


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda p: p.name)
def test_every_parameter_changes_the_request_or_says_why_not(parameter: object) -> None:
    from PIL import Image

    from sfumato.engine.grid.parameters import Parameter
    from sfumato.engine.request import Init, Inpaint

    assert isinstance(parameter, Parameter)
    picture = Image.new("RGB", (8, 8))
    full = replace(
        BASE, prompt=BASE.prompt + "<lora:ink:1><hypernet:paint:1>", hires=Hires(), refiner="r",
        init=Init(picture, inpaint=Inpaint(picture)),
    )  # fmt: skip
    # The second value of an axis that searches is what replaces the first.
    last = axis(f"{parameter.name}: {SAMPLES[parameter.kind]}", full)
    assert last.put(full, len(last.values) - 1) != full
    assert not parameter.missing(full)
    if last.put(BASE, len(last.values) - 1) == BASE:
        assert parameter.missing(BASE)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("cfg", "NAME: VALUES"),
        ("cgf: 4", "did you mean cfg"),
        ("face restore: on", "not restored"),
        ("steps: 0", "at least 1"),
        ("clip skip: 13", "at most 12"),
        ("sampler: Oiler", "unknown"),
        ("prompt s/r: wolf, dog", "not in the prompt"),
        ("prompt order: red, wolf", "not in the prompt"),
        ("prompt order: red fox, fox", "overlap"),
        ("size: 512", "WIDTHxHEIGHT"),
        ("size: 4x4", "from 8"),
        ("tiling: maybe", "neither on nor off"),
        ("lora: ink:heavy", "no number"),
    ],
)
def test_a_wrong_axis_is_refused_with_its_reason(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        axis(text)


@pytest.mark.parametrize("name", UNKNOWN_HERE)
def test_axes_that_only_others_have_are_known_and_declined(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be an axis"):
        axis(f"{name}: 1")


def test_searching_replaces_the_first_value_by_each_in_both_prompts() -> None:
    words = axis("s/r: red, blue")
    assert words.labels == ("red", "blue")
    assert words.put(BASE, 0) == BASE
    changed = words.put(BASE, 1)
    assert (changed.prompt, changed.negative) == ("a blue fox, snow, dusk", "blue eyes")


def test_prompt_order_gives_every_order_of_the_words_in_their_places() -> None:
    orders = axis("prompt order: dusk, snow")
    prompts = [orders.put(BASE, index).prompt for index in range(2)]
    assert prompts == ["a red fox, dusk, snow", "a red fox, snow, dusk"]


def test_a_lora_axis_adds_tags_and_its_weights_may_be_a_range() -> None:
    loras = axis("lora: none, ink:0.5-1 (+0.5), paint")
    prompts = [loras.put(BASE, index).prompt.removeprefix(BASE.prompt) for index in range(4)]
    assert prompts == ["", " <lora:ink:0.5>", " <lora:ink:1>", " <lora:paint:1>"]


def test_lora_weights_are_put_after_loras_whichever_axis_comes_first() -> None:
    base = replace(BASE, prompt="fox<lora:old:1:0.5:dyn=8>")
    plan = plan_grid(base, (axis("lora weight: 0.25, 2"), axis("lora: ink, paint"), None))
    assert plan.request(Place(1, 1, 0)).prompt == "fox<lora:old:2:dyn=8> <lora:paint:2>"


def test_all_stands_for_every_name() -> None:
    assert axis("sampler: ALL").values == NAMES


def test_the_dearest_axis_changes_least_often() -> None:
    plan = plan_grid(BASE, (axis("model: ink, paint"), axis("cfg: 4, 7"), axis("vae: ink, paint")))
    order = list(plan.places())
    assert sorted(order) == sorted(set(order)) and len(order) == 8
    assert [place.x for place in order] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert [place.z for place in order] == [0, 0, 1, 1, 0, 0, 1, 1]


def test_equal_axes_are_painted_as_a_sheet_is_read() -> None:
    plan = plan_grid(BASE, (axis("steps: 1, 2"), axis("cfg: 4, 7"), None))
    assert list(plan.places()) == [(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0)]


def test_steps_of_all_cells_are_counted_with_the_second_pass() -> None:
    base = replace(BASE, hires=Hires(steps=3), count=2)
    plan = plan_grid(base, (axis("steps: 5, 10", base), axis("cfg: 1-3", base), None))
    assert plan.steps() == 2 * 3 * ((5 + 3) + (10 + 3))


def test_steps_over_a_picture_are_those_that_are_run_and_every_picture_counts() -> None:
    from PIL import Image

    from sfumato.engine.request import Init

    base = replace(BASE, steps=20, batch=3, init=Init(Image.new("RGB", (8, 8)), denoise=0.75))
    plan = plan_grid(base, (axis("cfg: 1, 2", base), None, None))
    assert plan.steps() == 2 * 3 * 16


def test_seeds_count_up_along_the_axes_that_vary_them() -> None:
    axes = (axis("cfg: 1-3"), axis("steps: 1, 2"), axis("eta: 0, 1"))
    seeds = [plan.request(place).seed for plan in (Plan(BASE, axes, (True, True, True)),)
             for place in plan.places()]  # fmt: skip
    assert seeds == list(range(7, 7 + 12))
    rows = Plan(BASE, axes, (False, True, False))
    assert rows.request(Place(2, 1, 1)).seed == 8


def test_a_grid_names_its_axes_as_a1111_does() -> None:
    plan = plan_grid(BASE, (axis("cfg: 4-10 (+2)"), axis("seed: 1-2"), None))
    assert plan.fields() == {
        "Script": "X/Y/Z plot", "X Type": "CFG Scale", "X Values": "4-10 (+2)",
        "Y Type": "Seed", "Y Values": "1-2", "Fixed Y Values": "1, 2",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("x", "y", "why"),
    [
        (None, None, "needs an axis"),
        ("cfg: 1", "cfg: 2", "two axes"),
        ("hires steps: 1", None, "second pass"),
        ("denoise: 0.5", None, "neither"),
        ("lora weight: 1", None, "no <lora"),
    ],
)
def test_a_grid_that_would_vary_nothing_is_refused(x: str | None, y: str | None, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        plan_grid(BASE, (axis(x) if x else None, axis(y) if y else None, None))


def test_a_sheet_has_at_most_two_hundred_megapixels() -> None:
    plan = plan_grid(BASE, (axis("seed: 1-100"), axis("cfg: 1-10"), None))
    check_size(plan, 256, 256)
    with pytest.raises(UsageError, match="at most 200"):
        check_size(plan, 512, 512)


def test_seeds_that_are_drawn_are_drawn_once_and_told() -> None:
    base = replace(BASE, seed=-1)
    plan = plan_grid(base, (axis("cfg: 1-3", base), None, None))
    assert len({plan.request(place).seed for place in plan.places()} - {-1}) == 1
    seeds = plan_grid(base, (axis("seed: -1, 7, -1", base), None, None))
    told = [seeds.request(place).seed for place in seeds.places()]
    assert told[1] == 7 and -1 not in told and len(set(told)) == 3
    assert seeds.fields()["Fixed X Values"] == ", ".join(map(str, told))


def test_seeds_may_be_drawn_for_every_cell_and_stay_what_they_are() -> None:
    base = replace(BASE, seed=-1, variation=replace(BASE.variation, strength=0.5))
    axes = (axis("cfg: 1-3", base), axis("eta: 0, 1", base), None)
    plan = plan_grid(base, axes, keep_random=True)
    seeds = [plan.request(place).seed for place in plan.places()]
    assert len({*seeds} - {-1}) == 6
    assert len({plan.request(place).variation.seed for place in plan.places()} - {-1}) == 6
    assert [plan.request(place).seed for place in plan.places()] == seeds
    fixed = plan_grid(replace(base, seed=7), (axis("seed: -1, 7", base), axes[0], None),
                      keep_random=True)  # fmt: skip
    told = [fixed.request(place).seed for place in fixed.places()]
    assert told.count(7) == 3 and len({*told}) == 4 and "Fixed X Values" not in fixed.fields()


def test_a_variation_seed_is_drawn_once_for_all_cells() -> None:
    base = replace(BASE, variation=replace(BASE.variation, strength=0.5))
    plan = plan_grid(base, (axis("cfg: 1-3", base), None, None))
    assert len({plan.request(place).variation.seed for place in plan.places()} - {-1}) == 1
