"""Tokens against open_clip's and transformers' tokenizers.

AUTOMATIC1111's web UI cuts prompts up with transformers' slow tokenizer, gone since transformers 5,
for CLIP-L, and with open_clip's for the others. They differ in how text is cleaned: both pass it
through ftfy, and open_clip resolves HTML entities twice more.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sfumato.catalogue.tokenizer.files import OPENCLIP_PAD, tokenizer_files
from sfumato.engine.prompt.tokens import BOS, EOS, Tokenizer

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

ftfy = pytest.importorskip("ftfy", reason="ftfy is not installed: tokens are not compared")

ODD = (
    "", " ", "\n\t", "a photo of a cat", "A PHOTO,of a cat!!1!",
    "it's we'll I'd don't 'S'T they're",
    "'sup ''s ''' 's's", "3.14159 1,000 １２３", "naïve café ÅÄÖ Å",
    "e\u0301 a\u030a o\u0308 N\u0303",
    "日本の城、桜", "안녕하세요", "Привет мир", "ΑΣ ΟΔΥΣΣΕΥΣ Σ", "İstanbul ıI", "ſtraße ẞ 'ſt 'ſ",
    "مرحبا بالعالم", "नमस्ते दुनिया", "สวัสดีชาวโลก", "👩‍👩‍👧‍👦 🇩🇪 🏴\U000e0067\U000e0062\U000e007f ❤️",
    "“curly” ‘quotes’ it’s ‚low‛ „x‟", "ﬁne ﬂuﬃeﬆ ǅ ĳ ŉ",
    "ＦＵＬＬ　ｗｉｄｔｈ，（ｘ：１．２）", "ｱﾆﾒ ｶﾞ",
    "a &amp; b", "&lt;lora:x:1&gt;", "&copy; &COPY; &EACUTE; &nosuch; &#65; &#x41; &#0; &#xD800;",
    "a &amp b &lt", "x < y &amp; z",
    "line &amp;\nx < y\n&amp; again", "&amp;amp; &amp;lt;b&amp;gt;",
    "zero\u200bwidth\u200dsoft\u00adhyphen\ufeffbom", "nul\x00bell\x07esc\x1b[31mred\x1b[0m",
    "a\r\nb\rc\u2028d\u2029e\x85f\x0bg\x0ch", "nb\u00a0sp thin\u2009sp", "\ud800 lone \udc00",
    "\U0001d573\U0001d58a\U0001d591\U0001d591\U0001d594", "①②③ ⅷ ½ ² ೧", "x" * 300, "ab" * 200,
    "(masterpiece:1.2), [fox|wolf], best_quality, 8k--ar 16:9", "snake_case CamelCase kebab-case",
    "http://example.com/?q=a&b=c", "\\(escaped\\) C:\\temp", "....!!!???---,,,", "a , b ,c, d",
    "<|startoftext|>a<|endoftext|>", "<start_of_text>a <end_of_text>", "<|ENDOFTEXT|> x",
    "</w> <w> a</w>", "…—–•°", "\u0300abc", "\u1e9b\u0323", "ﷺ", "\ufffd\ufffc\ufff9", "𝒥ohn",
)  # fmt: skip


class Peer(Protocol):
    """A tokenizer of another program."""

    clean_fn: Callable[[str], str]

    def encode(self, text: str) -> list[int]: ...


@pytest.fixture(scope="session")
def open_clip() -> Peer:
    """open_clip's tokenizer, loaded without the rest of the package."""
    spec = importlib.util.find_spec("open_clip")
    if spec is None or spec.origin is None:
        pytest.skip("open_clip is not installed: tokens are not compared with it")
    path = Path(spec.origin).with_name("tokenizer.py")
    alone = importlib.util.spec_from_file_location("open_clip_tokenizer_alone", path)
    assert alone is not None and alone.loader is not None
    module = importlib.util.module_from_spec(alone)
    alone.loader.exec_module(module)
    return module.SimpleTokenizer()


@pytest.fixture(scope="session")
def slow(open_clip: Peer) -> Callable[[str], list[int]]:
    """What transformers' slow tokenizer gives beside ftfy: the same, but for the cleaning."""
    tokenizer = type(open_clip)()
    tokenizer.clean_fn = lambda text: " ".join(ftfy.fix_text(text).split()).lower()
    return tokenizer.encode


@pytest.fixture(scope="session")
def fast(tmp_path_factory: pytest.TempPathFactory) -> CLIPTokenizer:
    """transformers' CLIPTokenizer, made from the files that we write."""
    from transformers import CLIPTokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    for name, data in tokenizer_files().items():
        (folder / name).write_bytes(data)
    return CLIPTokenizer.from_pretrained(folder)


def marked(text: str) -> bool:
    """Whether the marks of a text are in it, which each tokenizer spells in its own way."""
    return any(mark in text.lower() for mark in ("of_text", "oftext"))


anything = st.text(st.characters(exclude_categories=("Cn",)), max_size=30) | st.text(
    alphabet="ab 's’“&;#x41amplt<ﬁŉ\n1İſΣ_é", max_size=30
)


def sound(text: str) -> bool:
    """Whether ftfy finds no broken encoding in `text`, before or after entities are resolved."""
    fixed = ftfy.fix_text(text, fix_encoding=False)
    return ftfy.fix_text(text) == fixed


@pytest.mark.parametrize("text", ODD)
def test_odd_texts_are_cut_as_by_open_clip(text: str, open_clip: Peer) -> None:
    if "oftext" not in text.lower():
        assert Tokenizer("openclip").encode(text) == open_clip.encode(text)


@pytest.mark.parametrize("text", ODD)
def test_odd_texts_are_cut_as_by_the_slow_tokenizer(
    text: str, slow: Callable[[str], list[int]]
) -> None:
    if not marked(text):
        assert Tokenizer().encode(text) == slow(text)


@pytest.mark.parametrize("text", ODD)
def test_odd_texts_are_cut_as_by_transformers_once_ftfy_has_cleaned_them(
    text: str, fast: CLIPTokenizer
) -> None:
    """Its lower case differs in three letters, and marks in capitals are text to it."""
    if not {"İ", "Σ", "ſ"} & set(text) and "OFTEXT" not in text:
        clean = ftfy.fix_text(text)
        assert Tokenizer().encode(text) == fast(clean, add_special_tokens=False).input_ids


@settings(max_examples=300, deadline=None)
@given(text=anything)
def test_any_text_is_cut_as_by_open_clip(text: str, open_clip: Peer) -> None:
    assume(sound(text) and not marked(text))
    assert Tokenizer("openclip").encode(text) == open_clip.encode(text)


@settings(max_examples=300, deadline=None)
@given(text=anything)
def test_any_text_is_cut_as_by_the_slow_tokenizer(
    text: str, slow: Callable[[str], list[int]]
) -> None:
    assume(sound(text) and not marked(text))
    assert Tokenizer().encode(text) == slow(text)


def test_the_marks_of_a_text_are_read_where_someone_writes_them() -> None:
    assert Tokenizer().encode("<|startoftext|><|endoftext|>") == [BOS, EOS]
    assert Tokenizer("openclip").encode("<start_of_text> <end_of_text>") == [BOS, EOS]


def test_the_files_hold_the_whole_vocabulary(fast: CLIPTokenizer) -> None:
    assert len(fast) == 49408
    assert (fast.bos_token_id, fast.eos_token_id, fast.pad_token_id) == (BOS, EOS, EOS)


def test_openclip_pads_with_an_exclamation_mark(tmp_path: Path) -> None:
    from transformers import CLIPTokenizer

    for name, data in tokenizer_files(pad=OPENCLIP_PAD).items():
        (tmp_path / name).write_bytes(data)
    padded = CLIPTokenizer.from_pretrained(tmp_path)("a", padding="max_length", max_length=5)
    assert padded.input_ids == [BOS, 320, EOS, 0, 0]
