"""Laws of tokens and chunks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfumato.catalogue.tokenizer.table import alphabet, merges, vocabulary
from sfumato.engine.prompt.attention import Fragment, parse_attention
from sfumato.engine.prompt.chunks import Chunk, Placed, chunks, empty_chunk
from sfumato.engine.prompt.cleaning import plain
from sfumato.engine.prompt.tokens import BOS, COMMA, EOS, Tokenizer

if TYPE_CHECKING:
    from torch import Tensor

CLIP = Tokenizer()
WORD = CLIP.encode("fox")[0]


@dataclass(frozen=True)
class Word:
    """A learned word without vectors."""

    name: str
    vectors: int

    def rows(self, width: int) -> Tensor:
        raise NotImplementedError


@dataclass(frozen=True)
class Words:
    """One learned word, found by its tokens."""

    word: Word
    ids: tuple[int, ...]

    def match(self, ids: Sequence[int], position: int) -> tuple[Word, int] | None:
        found = tuple(ids[position : position + len(self.ids)]) == self.ids
        return (self.word, len(self.ids)) if found else None


def cut(text: str, *, backtrack: int = 20, words: Words | None = None) -> list[list[int]]:
    """Tokens of each chunk, without what it is filled up with."""
    made = chunks(parse_attention(text), CLIP, words, comma_backtrack=backtrack)
    return [[token for token in chunk.ids[1:-1] if token != EOS] for chunk in made]


def test_the_table_holds_every_token_once() -> None:
    tokens = vocabulary()
    assert len(tokens) == 49408
    assert len(set(alphabet())) == 256
    assert all(one + two in tokens and one in tokens and two in tokens for one, two in merges())


def test_case_and_blanks_make_no_difference() -> None:
    assert CLIP.encode(" A  FOX\n") == CLIP.encode("a fox") == [320, 3240]
    assert CLIP.encode(",") == [COMMA]


@pytest.mark.parametrize("text", ["â€œ", "cafÃ©"])
def test_broken_encodings_are_not_guessed_at(text: str) -> None:
    assert plain(text) == text


def test_entities_are_resolved_but_beside_tags() -> None:
    assert plain("a &amp; b &EACUTE;") == "a & b É"
    assert plain("<i> &amp;\n&amp;") == "<i> &amp;\n&amp;"


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_has_tokens_of_the_vocabulary(text: str) -> None:
    for style in ("clip", "openclip"):
        assert all(0 <= token < 49408 for token in Tokenizer(style).encode(text))


@settings(deadline=None)
@given(st.text(alphabet="fox, ()BREAK:12", max_size=400), st.integers(0, 74))
def test_chunks_are_whole_and_lose_nothing(text: str, backtrack: int) -> None:
    fragments = parse_attention(text)
    made = chunks(fragments, CLIP, comma_backtrack=backtrack)
    assert all(len(chunk.ids) == len(chunk.weights) == 77 for chunk in made)
    assert all(chunk.ids[0] == BOS and chunk.ids[-1] == EOS for chunk in made)
    told = [token for chunk in made for token in chunk.ids[1:-1] if token != EOS]
    whole = [t for text, w in fragments if (text, w) != ("BREAK", -1) for t in CLIP.encode(text)]
    assert told == whole


def test_nothing_is_one_empty_chunk() -> None:
    assert chunks([Fragment("", 1.0)], CLIP) == (empty_chunk(),)
    assert empty_chunk() == Chunk((BOS, *[EOS] * 76), (1.0,) * 77)


def test_break_ends_a_chunk() -> None:
    assert cut("fox BREAK fox") == [[WORD], [WORD]]
    assert cut("BREAK fox") == [[], [WORD]]
    assert cut("fox BREAK BREAK fox") == [[WORD], [], [WORD]]
    assert cut("fox BREAK") == [[WORD]]


def test_a_full_chunk_is_closed() -> None:
    assert [len(chunk) for chunk in cut("fox " * 75)] == [75]
    assert [len(chunk) for chunk in cut("fox " * 76)] == [75, 1]


@pytest.mark.parametrize(
    ("after", "backtrack", "lengths"),
    [
        (19, 20, [56, 20]),
        (20, 20, [75, 1]),
        (19, 0, [75, 1]),
        (5, 6, [70, 6]),
        (5, 5, [75, 1]),
    ],
)
def test_words_after_a_near_comma_move_on(after: int, backtrack: int, lengths: list[int]) -> None:
    text = "fox " * (74 - after) + "," + " fox" * (after + 1)
    assert [len(chunk) for chunk in cut(text, backtrack=backtrack)] == lengths


def test_a_comma_after_a_full_chunk_opens_the_next() -> None:
    assert cut("fox, " + "fox " * 73 + ", fox") == [
        [WORD, COMMA, *[WORD] * 73],
        [COMMA, WORD],
    ]


def test_weights_stand_beside_their_tokens() -> None:
    (chunk,) = chunks(parse_attention("fox (fox fox:1.5)"), CLIP)
    assert chunk.weights[:5] == (1.0, 1.0, 1.5, 1.5, 1.0)


SUN = Words(Word("sun dog", 3), tuple(CLIP.encode("sun dog")))


def test_a_learned_word_takes_the_room_of_its_vectors() -> None:
    (chunk,) = chunks(parse_attention("a (sun dog:1.5)"), CLIP, SUN)
    assert chunk.placed == (Placed(2, SUN.word),)
    assert chunk.ids[:6] == (BOS, 320, 0, 0, 0, EOS)
    assert chunk.weights[:6] == (1.0, 1.0, 1.5, 1.5, 1.5, 1.0)


def test_a_learned_word_never_straddles() -> None:
    made = chunks(parse_attention("fox " * 73 + "sun dog"), CLIP, SUN)
    assert [chunk.placed for chunk in made] == [(), (Placed(1, SUN.word),)]


def test_a_learned_word_that_moves_on_keeps_its_vectors() -> None:
    made = chunks(parse_attention("fox " * 69 + ", sun dog fox fox fox"), CLIP, SUN)
    assert [chunk.placed for chunk in made] == [(), (Placed(1, SUN.word),)]
    assert made[1].ids[1:8] == (0, 0, 0, WORD, WORD, WORD, EOS)


def test_a_learned_word_of_too_many_vectors_fills_one_chunk() -> None:
    long = Words(Word("sun dog", 90), SUN.ids)
    made = chunks(parse_attention("fox sun dog fox"), CLIP, long)
    assert [chunk.ids.count(0) for chunk in made] == [0, 75, 0]


def test_prompts_are_read_without_torch() -> None:
    code = (
        "import sys; from sfumato.engine.prompt.lint import lint; lint('a'); "
        "from sfumato.engine.prompt.tokens import Tokenizer; Tokenizer().encode('a'); "
        "from sfumato.engine.prompt import chunks, schedule, styles; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
