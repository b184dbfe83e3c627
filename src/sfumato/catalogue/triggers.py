"""The words that call an adapter up in a prompt, each with the place it was found in."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from sfumato.catalogue.verdict import TriggerWord
from sfumato.containers.strict_json import Json, JsonError, parse_json

MOST = 10
"""words taken from the captions of a training set"""

SHARE = 0.9
"""a tag in at least this share of a set's pictures is taken for its trigger"""

PROSE = 16
"""captions whose tags are this long on average are sentences, not tags (A1111's rule)"""

SIDECAR_BYTES = 8 << 20
"""a longer text beside a model is not read"""

_WORD = re.compile(r"[^\W\d_]{3,}")

COMMON = frozenset(
    ("the", "and", "with", "that", "has", "her", "his", "for", "are", "this", "from", "background",
     "image", "photo", "picture")
)  # fmt: skip
"""words that stand in every caption and call nothing up"""


def stem_words(stem: str) -> tuple[TriggerWord, ...]:
    """A1111 calls an embedding by the name of its file, whatever name is stored inside."""
    return (TriggerWord(stem, "file name"),) if stem else ()


def token_words(tokens: Iterable[str]) -> tuple[TriggerWord, ...]:
    """diffusers calls an embedding by the key of its tensor."""
    return tuple(TriggerWord(token, "token name") for token in tokens)


def metadata_words(metadata: Mapping[str, str]) -> tuple[TriggerWord, ...]:
    """What a file's own text says of its trigger words, the surest first; each word once."""
    return once(_from_metadata(metadata))


def _from_metadata(metadata: Mapping[str, str]) -> Iterator[TriggerWord]:
    for key in ("modelspec.trigger_phrase", "trigger_phrase", "trigger_word", "trigger_words"):
        if phrase := _clean(metadata.get(key, "")):
            yield TriggerWord(phrase, key)
    for word in metadata.get("ssmd_keywords", "")[:10_000].split(","):
        if phrase := _clean(word):
            yield TriggerWord(phrase, "ssmd_keywords")
    yield from _frequent(metadata)
    if name := _clean(metadata.get("ss_output_name", "")):
        yield TriggerWord(name, "ss_output_name (the file's first name: a weak hint)")


def _clean(text: str) -> str:
    """The text without spaces at its ends; empty for Python's and JSON's words for nothing."""
    text = text[:1000].strip()
    return "" if text.lower() in ("none", "null") else text


def once(words: Iterable[TriggerWord]) -> tuple[TriggerWord, ...]:
    """Each word with the first of its sources."""
    found = dict[str, TriggerWord]()
    for word in words:
        found.setdefault(word.word, word)
    return tuple(found.values())


def _frequent(metadata: Mapping[str, str]) -> Iterator[TriggerWord]:
    """Tags that nearly every picture of a training set has (ss_tag_frequency)."""
    sets = _counts(_json(metadata.get("ss_tag_frequency", "")))
    images = _images(_json(metadata.get("ss_dataset_dirs", "")))
    found = list[tuple[int, int, str]]()
    for directory, tags in sets.items():
        total = images.get(directory, 0) or max(tags.values(), default=0)
        counts = _words(tags) if _is_prose(tags) else tags
        found += [
            (count, total, tag) for tag, count in counts.items() if count >= max(2, SHARE * total)
        ]
    found.sort(key=lambda entry: -entry[0])
    for count, total, tag in found[:MOST]:
        yield TriggerWord(tag, f"ss_tag_frequency ({min(count, total)} of {total} pictures)")


def _is_prose(tags: Mapping[str, int]) -> bool:
    return sum(map(len, tags)) >= PROSE * len(tags) > 0


def _words(tags: Mapping[str, int]) -> dict[str, int]:
    """Words of captions → number of captions that have them."""
    counts = Counter[str]()
    for caption, count in tags.items():
        for word in dict.fromkeys(_WORD.findall(caption.lower())):
            counts[word] += count
    return {word: count for word, count in counts.items() if word not in COMMON}


def _json(text: str) -> Json:
    """A JSON text inside the metadata; None where it is none, which trainers' "None" is too."""
    try:
        return parse_json(text.encode("utf-8", "surrogatepass")) if text else None
    except JsonError:
        return None


def _counts(value: Json) -> dict[str, dict[str, int]]:
    """{folder: {tag: count}}, without what has another form."""
    found = dict[str, dict[str, int]]()
    for directory, tags in value.items() if isinstance(value, dict) else ():
        if isinstance(tags, dict):
            found[directory] = {
                tag.strip(): count
                for tag, count in tags.items()
                if isinstance(count, int) and not isinstance(count, bool) and tag.strip()
            }
    return found


def _images(value: Json) -> dict[str, int]:
    """{folder: number of its pictures}."""
    found = dict[str, int]()
    for directory, facts in value.items() if isinstance(value, dict) else ():
        count = facts.get("img_count") if isinstance(facts, dict) else None
        if isinstance(count, int):
            found[directory] = count
    return found


SIDECARS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (".json", ("activation text",)),
    (".civitai.info", ("trainedWords",)),
    (".cm-info.json", ("TrainedWords",)),
    (".metadata.json", ("civitai", "trainedWords")),
)
"""what is appended to a model's stem, and where in that JSON text the words are: AUTOMATIC1111,
Civitai Helper, StabilityMatrix, ComfyUI-Lora-Manager"""


def sidecar_triggers(path: Path) -> tuple[TriggerWord, ...]:
    """The trigger words in the texts that other programs put beside the model at `path`.

    Empty where there is no model at `path`; texts that are too long or no JSON are passed over.
    """
    return once(_from_sidecars(path)) if path.is_file() else ()


def _from_sidecars(path: Path) -> Iterator[TriggerWord]:
    for ending, keys in SIDECARS:
        beside = path.with_name(path.stem + ending)
        value = _sidecar(beside)
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        for word in value.split(",") if isinstance(value, str) else _strings(value):
            if phrase := _clean(word):
                yield TriggerWord(phrase, f"{keys[-1]} in {beside.name}")


def _strings(value: Json) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _sidecar(path: Path) -> Json:
    try:
        if not path.is_file() or path.stat().st_size > SIDECAR_BYTES:
            return None
        with path.open("rb") as file:
            return parse_json(file.read(SIDECAR_BYTES).removeprefix(b"\xef\xbb\xbf"))
    except (OSError, JsonError):
        return None
