"""A textual-inversion embedding, in every layout it is stored in: how it is recognised."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sfumato.catalogue.adapters.training import training_notes
from sfumato.catalogue.tally import tally, with_rest
from sfumato.catalogue.triggers import metadata_words, once, stem_words, token_words
from sfumato.catalogue.verdict import Adapter, Confidence, TriggerWord, Verdict
from sfumato.containers.model_file import Leaf
from sfumato.containers.tensor import Tensors

MOST = 256
"""tensors of the largest file that can be an embedding"""

FAMILIES: Mapping[frozenset[int], tuple[str, str]] = {
    frozenset({768}): ("sd1", "SD 1.x"),
    frozenset({1024}): ("sd2", "SD 2.x"),
    frozenset({1280}): ("sdxl", "SDXL (second text encoder only)"),
    frozenset({768, 1280}): ("sdxl", "SDXL"),
    frozenset({768, 1280, 4096}): ("sd3", "SD 3"),
    frozenset({4096}): ("sd3/flux", "SD 3 or Flux (T5 only)"),
    frozenset({768, 4096}): ("flux", "Flux"),
}
"""widths of all vectors in a file → family and its title"""

LONE_CLIP_L = ("sd1/sdxl", "SD 1.x or SDXL (first text encoder only)")
"""a file with `clip_l` alone: the vectors fit SD1's encoder, the key is SDXL's"""

SURE = ("a1111", "emb_params")
"""layouts whose keys nothing else has, whatever the width: a model may be of custom size"""

CLIP_PAIR = ["clip_g", "clip_l"]

WIDTHS = frozenset(width for widths in FAMILIES for width in widths)


@dataclass(frozen=True, slots=True)
class Vectors:
    """The tensors of a file that are embedding vectors, as one layout has them."""

    keys: Sequence[str]
    tokens: Sequence[str] = ()
    """words that the file itself gives to them"""
    sure: bool = True
    """False where only the number and width of the tensors speak for an embedding"""


@dataclass(frozen=True, slots=True)
class Layout:
    """One way to store an embedding."""

    name: str
    title: str
    find: Callable[[Sequence[str]], Vectors | None]


_PARAM = re.compile(r"string_to_param\.(?:_parameters\.)?(.+)", re.DOTALL)
_LISTED = re.compile(r"\d{1,4}\.(\*|<.+>)", re.DOTALL)
_TOKEN = re.compile(r"<[^<>]+>(?:_\d{1,3})?")
_FURTHER = re.compile(r"(.+)_\d{1,3}", re.DOTALL)

ENCODERS = ("clip_l", "clip_g", "clip_h", "t5xxl")
PARAMS = ("emb_params", "emp_params")
"""`emp_params` is OneTrainer's spelling"""


def _a1111(names: Sequence[str]) -> Vectors | None:
    found = {name: match[1] for name in names if (match := _PARAM.fullmatch(name))}
    return Vectors(list(found), [token for token in found.values() if token != "*"] or ())


def _params(names: Sequence[str]) -> Vectors | None:
    return Vectors([name for name in names if name in PARAMS])


def _encoders(names: Sequence[str]) -> Vectors | None:
    keys = [name for name in names if name in ENCODERS]
    return Vectors(keys if all(n.removesuffix("_out") in ENCODERS for n in names) else ())


def _list(names: Sequence[str]) -> Vectors | None:
    found = {name: match[1] for name in names if (match := _LISTED.fullmatch(name))}
    tokens = [token for token in found.values() if token != "*"]
    return Vectors(list(found), tokens) if len(found) == len(names) else None


def _tokens(names: Sequence[str]) -> Vectors | None:
    if all(_TOKEN.fullmatch(name) for name in names):
        return Vectors(names, names)
    first = names[0]
    further = (match[1] for name in names[1:] if (match := _FURTHER.fullmatch(name)))
    if "." in first or first == "tensor" or list(further) != [first] * (len(names) - 1):
        return None
    return Vectors(names, names, sure=False)


LAYOUTS: tuple[Layout, ...] = (
    Layout("a1111", "AUTOMATIC1111's dictionary (string_to_param)", _a1111),
    Layout("emb_params", "kohya's and OneTrainer's (emb_params)", _params),
    Layout("clip", "one tensor per text encoder", _encoders),
    Layout("list", "a list of dictionaries", _list),
    Layout("diffusers", "diffusers' (a tensor per token)", _tokens),
)
"""every layout; the first in which vectors are found counts"""


def recognise_embedding(
    model: Tensors,
    metadata: Mapping[str, str],
    extras: Mapping[str, Leaf],
    stem: str,
    *,
    picture: bool = False,
) -> Verdict | None:
    """Say what an embedding is; None for a file that is none. Nothing is read.

    picture: True for an embedding inside a picture, which is called by the name stored in it.
    """
    names = list(model)
    if not names or len(names) > MOST:
        return None
    for layout in LAYOUTS:
        vectors = layout.find(names)
        if vectors is None or not vectors.keys:
            continue
        sizes = [_rows_and_width(model[key].shape) for key in vectors.keys]
        widths = {width for _, width in sizes}
        sure = layout.name in SURE or sorted(vectors.keys) == CLIP_PAIR
        if 0 in widths or not (sure or widths <= WIDTHS):
            continue
        verdict = _verdict(layout, vectors, sizes, model)
        words = _words(layout, vectors, extras, stem, picture=picture)
        notes = (*verdict.evidence, *training_notes(extras), *_purpose(metadata))
        words = once((*words, *metadata_words(metadata)))
        return replace(verdict, evidence=notes, trigger_words=words)
    return None


def _rows_and_width(shape: tuple[int, ...]) -> tuple[int, int]:
    """Vectors and their width; zeros for what cannot be an embedding."""
    if len(shape) == 1:
        return 1, shape[0]
    return (shape[0], shape[1]) if len(shape) == 2 and shape[0] <= 1024 else (0, 0)


def _verdict(
    layout: Layout, vectors: Vectors, sizes: Sequence[tuple[int, int]], model: Tensors
) -> Verdict:
    widths = frozenset(width for _, width in sizes)
    family, title = FAMILIES.get(widths, ("unknown", "Unknown"))
    if layout.name == "clip" and list(vectors.keys) == ["clip_l"]:
        family, title = LONE_CLIP_L
    elif family == "unknown" and sorted(vectors.keys) == CLIP_PAIR:
        family, title = "sdxl", "Custom-size SDXL"
    parallel = layout.name == "clip"
    count = max(rows for rows, _ in sizes) if parallel else sum(rows for rows, _ in sizes)
    shown = " + ".join(str(width) for width in sorted(widths))
    own = [name for name in model if _belongs(name, vectors)]
    noun = "vector" if count == 1 else "vectors"
    return Verdict(
        kind="embedding",
        family=family,
        title=f"{title} embedding, {count} {noun}",
        parts=tuple(
            with_rest((tally("embedding", f"{count} {noun} of {shown}", own, model),), model)
        ),
        adapter=Adapter(
            layout.name, layout.name, vectors=count, widths=tuple(sorted(widths)), modules=0
        ),
        confidence=_confidence(vectors, family),
        evidence=(f"layout: {layout.title}", f"its vectors are {shown} wide"),
        contradictions=tuple(_contradictions(layout, vectors, sizes)),
        left_over=tuple(name for name in model if name not in own),
    )


def _belongs(name: str, vectors: Vectors) -> bool:
    """True for vectors, for OneTrainer's copies after the encoder and for old token numbers."""
    return (
        name in vectors.keys
        or name.removesuffix("_out") in (*PARAMS, *ENCODERS)
        or name.startswith("string_to_token.")
    )


def _confidence(vectors: Vectors, family: str) -> Confidence:
    if family == "unknown":
        return "guess"
    return "certain" if vectors.sure and "/" not in family else "likely"


def _contradictions(
    layout: Layout, vectors: Vectors, sizes: Sequence[tuple[int, int]]
) -> Iterator[str]:
    rows = {count for count, _ in sizes}
    if layout.name == "clip" and len(rows) > 1:
        counts = ", ".join(str(count) for count in sorted(rows))
        yield f"its text encoders get different numbers of vectors ({counts})"
    if layout.name == "a1111" and len(vectors.keys) > 1:
        yield f"it holds {len(vectors.keys)} words, and A1111 takes files with one only"


def _purpose(metadata: Mapping[str, str]) -> Iterator[str]:
    if metadata.get("modelspec.is_negative_embedding") == "true":
        yield "modelspec says that it is meant for the negative prompt"


def _words(
    layout: Layout,
    vectors: Vectors,
    extras: Mapping[str, Leaf],
    stem: str,
    *,
    picture: bool,
) -> tuple[TriggerWord, ...]:
    """Words in the order in which programs go by them; each once."""
    stored = extras.get("name")
    name = stored if isinstance(stored, str) and stored else ""
    inside = (TriggerWord(name, "name in the file"),) if name else ()
    words = (
        *(inside if picture else ()),
        *(token_words(vectors.tokens[:20]) if layout.name != "a1111" else ()),
        *stem_words(stem),
        *inside,
    )
    return once(words)
