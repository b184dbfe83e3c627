"""Laws of encodings of different length."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sfumato.engine.encoding import Encoding, lengthened, match_lengths
from sfumato.engine.request import Padding


def encoding(chunks: int, start: int = 0) -> Encoding:
    return Encoding(start + torch.arange(77.0 * chunks)[None, :, None].expand(1, -1, 2))


EMPTY = encoding(1, start=-1000)
ONE, TWO, THREE = encoding(1), encoding(2), encoding(3)


def matched(positive: Encoding, negative: Encoding, pad: Padding) -> tuple[Tensor, Tensor]:
    (one,), (two,) = match_lengths([positive], [negative], pad=pad, empty=EMPTY)
    return one.context[0, :, 0], two.context[0, :, 0]


def test_parts_are_lengthened_by_their_last_vector() -> None:
    first, second, third = lengthened([ONE, THREE, ONE])
    assert second is THREE
    assert first is third
    assert first.context.shape == THREE.context.shape
    assert (first.context[:, 77:] == ONE.context[:, -1:]).all()


def test_without_padding_each_side_keeps_its_length() -> None:
    positive, negative = match_lengths([ONE, TWO], [THREE], pad="none", empty=EMPTY)
    assert [e.context.shape[1] for e in (*positive, *negative)] == [154, 154, 231]


@pytest.mark.parametrize(("positive", "negative"), [(ONE, THREE), (THREE, ONE), (TWO, TWO)])
def test_the_shorter_side_is_filled_with_empty_prompts(
    positive: Encoding, negative: Encoding
) -> None:
    for before, after in zip(
        (positive, negative), matched(positive, negative, "empty"), strict=True
    ):
        length = before.context.shape[1]
        assert after[:length].equal(before.context[0, :, 0])
        assert after[length:].equal(EMPTY.context[0, :, 0].repeat((len(after) - length) // 77))


def test_the_old_way_lengthens_or_cuts_the_negative_prompt() -> None:
    one, two = matched(THREE, ONE, "v0")
    assert len(one) == len(two) == 231
    assert (two[77:] == 76).all()
    one, two = matched(ONE, THREE, "v0")
    assert len(one) == len(two) == 77
    assert two.equal(THREE.context[0, :77, 0])
