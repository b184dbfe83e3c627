"""The caption of one draw: chosen, shuffled, thinned or left out, the same whenever it is asked."""

from __future__ import annotations

from random import Random

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
    return ", ".join([*kept, *loose])
