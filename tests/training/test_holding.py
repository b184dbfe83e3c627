"""Pictures held out: the same ones whenever asked, never learned, and told."""

from __future__ import annotations

from pathlib import Path

import pytest

from sfumato.errors import UsageError
from sfumato.training.configuration import parse_run
from sfumato.training.data.holding import held_out
from sfumato.training.data.items import Found, Item
from sfumato.training.data.lesson import Lesson
from sfumato.training.settings import Data, Run
from taught import write_pictures


def item(number: int, name: str = "") -> Item:
    return Item(name or f"{number}.png", f"{number:032x}", (8, 8), ("",), lambda: None)  # pyright: ignore


def found(count: int) -> Found:
    return Found(tuple(item(number) for number in range(count)), ("so many",))


def names(items: tuple[Item, ...]) -> set[str]:
    return {each.name for each in items}


@pytest.mark.parametrize(("wanted", "count"), [(0.1, 2), (0.5, 10), (0.001, 1), (1.0, 1), (7.0, 7)])
def test_a_share_or_a_number_is_held_out_and_told(wanted: float, count: int) -> None:
    left, held = held_out(found(20), wanted, 0)
    assert len(held) == count
    assert names(left.items) | names(held) == names(found(20).items)
    assert not names(left.items) & names(held)
    assert left.notes[-1].startswith(f"{count} of 20 pictures are held out of training")


def test_nothing_is_held_out_unless_asked() -> None:
    whole = found(3)
    assert held_out(whole, 0, 0) == (whole, ())


def test_the_choice_is_the_seeds_and_does_not_depend_on_the_order() -> None:
    turned = Found(found(20).items[::-1], ())
    choices = [names(held_out(found(20), 5, seed)[1]) for seed in range(4)]
    assert choices[0] == names(held_out(turned, 5, 0)[1])
    assert len(set(map(frozenset, choices))) > 1


def test_a_picture_that_comes_changes_at_most_one_of_the_choice() -> None:
    for count in range(10, 30):
        fewer, more = (names(held_out(found(n), 5, 0)[1]) for n in (count, count + 1))
        assert len(fewer - more) <= 1


def test_copies_of_a_picture_stay_together() -> None:
    twice = Found(
        (*found(4).items, *(item(number, f"copy {number}.png") for number in range(4))), ()
    )
    left, held = held_out(twice, 1, 0)
    assert len(held) == 2
    assert not {each.digest for each in left.items} & {each.digest for each in held}


@pytest.mark.parametrize("wanted", [3, 9, 0.99])
def test_something_is_left_to_learn_from(wanted: float) -> None:
    with pytest.raises(UsageError, match="leaves none of 3 pictures to learn from"):
        held_out(found(3), wanted, 0)


def test_a_lesson_knows_what_it_does_not_teach(tmp_path: Path) -> None:
    folder = str(write_pictures(tmp_path, 5))
    plain, apart = (
        Lesson(Run("lora", "x", data=Data(folder, resolution=64, hold_out=wish)), 64)
        for wish in (0.0, 0.4)
    )
    assert (len(plain.items), len(plain.held)) == (5, 0)
    assert (len(apart.items), len(apart.held)) == (3, 2)
    assert plain.digest != apart.digest


HEAD = 'kind = "lora"\noutput = "x"\n[data]\nhold_out = '
FAULTS = (
    ("2\nvalidation = 'v'", "give one of the two"),
    ("2.5", "a share below 1 or a whole number, not 2.5"),
    ("-1", "data.hold_out is 0 or more, not -1"),
)


@pytest.mark.parametrize(("text", "sentence"), FAULTS)
def test_what_makes_no_sense_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        parse_run(HEAD + text)


def test_the_best_state_may_be_that_of_pictures_held_out() -> None:
    assert parse_run(f"{HEAD}0.1\n[save]\nbest = true").save.best
