"""The TOML form of a run: reads back as it was, and every fault is named."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfumato.errors import UsageError
from sfumato.training.bounds import BOUNDS, Bound, check_bounds
from sfumato.training.configuration import (
    parse_run,
    read_run,
    settings_of,
    with_settings,
    write_run,
)
from sfumato.training.settings import Run, Scratch

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
FREE = {"lora", "embedding", "hypernetwork", "vae", "scratch", "base", "watch"}
"""tables of which no two settings contradict each other"""


def values(kind: Any) -> st.SearchStrategy[Any]:  # noqa: ANN401
    """Any value of a setting's type."""
    if get_origin(kind) is Literal:
        return st.sampled_from(get_args(kind))
    if get_origin(kind) is tuple:
        item, *rest = get_args(kind)
        return st.lists(values(item), max_size=3).map(tuple) if rest else st.tuples(values(item))
    plain: dict[type, st.SearchStrategy[Any]] = {
        str: TEXT,
        bool: st.booleans(),
        int: st.integers(1, 70),
        float: st.floats(0, 0.99),
    }
    return plain[kind]


def tables(record: type) -> st.SearchStrategy[Any]:
    hints = get_type_hints(record)
    return st.builds(record, **{name: values(kind) for name, kind in hints.items()})


def runs() -> st.SearchStrategy[Run]:
    plain = Run("lora", "x")
    found = {f.name: tables(type(getattr(plain, f.name))) for f in fields(Run)
             if f.name in FREE and is_dataclass(getattr(plain, f.name))}  # fmt: skip
    return st.builds(
        Run, st.sampled_from(("checkpoint", "lora", "hypernetwork", "vae")), TEXT,
        steps=st.integers(1, 10**9), seed=st.integers(0, 2**63), checkpointing=st.booleans(),
        title=TEXT, scratch=st.none() | tables(Scratch), **found,
    )  # fmt: skip


@given(runs())
def test_a_run_reads_back_as_it_was_written(run: Run) -> None:
    assert parse_run(write_run(run)) == run


def test_only_what_is_not_the_default_is_written() -> None:
    assert write_run(Run("lora", "a.safetensors")) == 'kind = "lora"\noutput = "a.safetensors"\n'


def test_the_recipes_of_this_repository_are_runs() -> None:
    recipes = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))
    assert recipes
    for path in recipes:
        assert parse_run(write_run(read_run(path))) == read_run(path)


HEAD = 'kind = "lora"\noutput = "x"\n'
FAULTS = (
    ("kind = 3", "kind is one of 'checkpoint', 'lora'"),
    ('kind = "lora"', "output must be given"),
    ("", "kind and output must be given"),
    (HEAD + "stepps = 3", "stepps is no setting of a run; did you mean steps?"),
    (HEAD + "zzz = 3", "zzz is no setting of a run; there are kind, output"),
    (HEAD + "steps = 1.5", "steps is a whole number, not 1.5"),
    (HEAD + "steps = true", "steps is a whole number, not True"),
    (HEAD + "steps = 0", "steps is 1 or more, not 0"),
    (HEAD + "steps = ", "is not TOML"),
    (HEAD + "data = 3", r"data is a table, written \[data\]"),
    (HEAD + "[data]\nflip = 1", "data.flip is true or false, not 1"),
    (HEAD + "[data]\nflipp = 1", "data.flipp is no setting of a run; did you mean flip?"),
    (HEAD + "[data]\ncrop = 'left'", "data.crop is one of 'center', 'random', not 'left'"),
    (HEAD + "[data]\ntrigger = 3", "data.trigger is text, not 3"),
    (HEAD + "[optimizer]\nbetas = 0.9", "optimizer.betas is a list, not 0.9"),
    (HEAD + "[optimizer]\nbetas = [0.9]", "optimizer.betas is a list of 2, not of 1"),
    (HEAD + "[optimizer]\nbetas = [0.9, 1.0]", "betas is 0 or more and below 1, not 1"),
    (HEAD + "[optimizer]\nrate = nan", "optimizer.rate is 0 or more, not nan"),
    (HEAD + "[optimizer]\nrate = '1'", "optimizer.rate is a number, not '1'"),
    (HEAD + "[watch]\npreviews = [1]", "watch.previews is text, not 1"),
    (HEAD + "[save]\nbest = true", "save.best needs pictures to measure the loss on"),
    ('kind = "embedding"\noutput = "x"\n[data]\ncaption_dropout = 0.1', "hold its word"),
    (HEAD + "[optimizer]\nname = 'prodigy'\ntext_rate = 0.5", "prodigy finds one rate"),
)


@pytest.mark.parametrize(("text", "sentence"), FAULTS)
def test_every_fault_is_named(text: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        parse_run(text)


@pytest.mark.parametrize("bound", BOUNDS, ids=lambda bound: bound.setting)
def test_every_default_is_within_its_bounds_and_every_bound_is_a_setting(bound: Bound) -> None:
    run = Run("lora", "x")
    check_bounds(run, "here")
    assert bound.setting in settings_of(run)
    assert isinstance(bound.value(run), int | float)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml cannot be read"):
        read_run(tmp_path / "none.toml")
    (tmp_path / "odd.toml").write_bytes(b"\xff")
    with pytest.raises(UsageError, match="cannot be read"):
        read_run(tmp_path / "odd.toml")


def test_settings_are_replaced_one_by_one() -> None:
    run = with_settings(
        Run("lora", "x"),
        {"steps": "7", "optimizer.rate": "1e-3", "data.trigger": "a b", "lora.blocks": "['mid']"},
    )
    assert (run.steps, run.optimizer.rate, run.data.trigger) == (7, 1e-3, "a b")
    assert run.lora.blocks == ("mid",)
    assert replace(run, steps=1) == with_settings(run, {"steps": "1"})


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("a.b.c", "1", "a.b.c is no setting"),
        ("x = 1\ny", "1", "is no setting"),
        ("optimizer", "1", "is a table"),
        ("lora.rank", "many", "lora.rank is a whole number, not 'many'"),
    ],
)
def test_a_setting_that_is_none_is_named(key: str, value: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        with_settings(Run("lora", "x"), {key: value})


def test_a_value_cannot_smuggle_other_settings_in() -> None:
    run = with_settings(Run("lora", "x"), {"data.trigger": "1\nsteps = 5"})
    assert (run.data.trigger, run.steps) == ("1\nsteps = 5", 1000)
