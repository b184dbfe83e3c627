"""The caption of one draw: chosen, shuffled, thinned or left out, the same whenever it is asked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from random import Random

from sfumato.errors import UsageError
from sfumato.training.data.items import Item
from sfumato.training.randomness import number
from sfumato.training.settings import Data


def draw_caption(item: Item, settings: Data, seed: int, sample: int) -> str:
    """The caption with which `item` is learned at draw `sample` of the run.

    The order of what is done to it is kohya's: dropout, choice, kept tags, shuffle, tag dropout.
    """
    random = Random(number(seed, "caption", sample))
    if random.random() < settings.caption_dropout:
        return ""
    text = item.captions[random.randrange(len(item.captions))]
    if not settings.shuffle_tags and not settings.tag_dropout:
        return text
    tags = [tag.strip() for tag in text.split(",") if tag.strip()]
    kept, loose = tags[: settings.keep_tags], tags[settings.keep_tags :]
    if settings.shuffle_tags:
        random.shuffle(loose)
    loose = [tag for tag in loose if random.random() >= settings.tag_dropout]
    return with_word(", ".join([*kept, *loose]), settings.trigger)


def with_word(text: str, word: str) -> str:
    """`text` with `word` in it: at `[trigger]`, where it stands already, or put in front."""
    if "[trigger]" in text:
        return text.replace("[trigger]", word)
    if not word or re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE):
        return text
    return f"{word}, {text}" if text else word


def read_template(path: Path) -> tuple[str, ...]:
    """The lines of a template file, as A1111 has them; raises UsageError where there is none."""
    try:
        text = path.read_text("utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"{path}: the template cannot be read: {error.strerror}") from error
    lines = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not lines:
        raise UsageError(f"{path}: the template has no line")
    return lines


def filled(lines: Sequence[str], captions: Sequence[str], word: str) -> tuple[str, ...]:
    """Each line with each caption: `[filewords]` is the caption, `[name]` the word.

    The word is in every one of them, also where a line forgets it.
    """
    texts = [
        line.replace("[filewords]", caption).replace("[name]", word)
        for line in lines
        for caption in captions
    ]
    return tuple(dict.fromkeys(with_word(text.strip(" ,"), word) for text in texts))
