"""Laws of encoded prompts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from sfumato.engine.encoding import Encoding, encode
from sfumato.engine.encoding.vector import fourier
from sfumato.engine.model import Model
from sfumato.engine.prompt.attention import parse_attention
from sfumato.engine.prompt.chunks import EmbeddingTable, chunks
from sfumato.engine.prompt.tokens import EOS, Tokenizer
from sfumato.errors import Unsupported, UsageError

Loaded = Callable[[str], Model]
KINDS = ("sd1", "sd2", "sdxl", "sdxl-refiner")


@pytest.fixture(autouse=True)
def inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


def ids_of(text: str, *, openclip: bool = False) -> Tensor:
    """Tokens (1, 77) of a text of one chunk."""
    (chunk,) = chunks(parse_attention(text), Tokenizer("openclip" if openclip else "clip"))
    ids = torch.tensor([chunk.ids])
    if openclip:
        ids[:, chunk.ids.index(EOS) + 1 :] = 0
    return ids


def same(one: Encoding | Tensor, two: Encoding | Tensor) -> bool:
    first, second = (e.context if isinstance(e, Encoding) else e for e in (one, two))
    return first.shape == second.shape and torch.allclose(first, second, atol=1e-5)


def one(model: Model, text: str, **wish: object) -> Encoding:
    return encode(model, [text], **wish)[0]  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_a_context_is_as_wide_as_the_unet_takes_it(kind: str, loaded: Loaded) -> None:
    model = loaded(kind)
    found = one(model, "fox " * 80)
    assert found.context.shape == (1, 154, model.unet_sizes.context)
    labels = model.unet_sizes.labels
    assert (found.vector.shape if found.vector is not None else None) == (
        (1, labels) if labels else None
    )


@pytest.mark.parametrize("kind", KINDS)
def test_equal_texts_share_an_encoding_and_shorter_ones_are_filled_up(
    kind: str, loaded: Loaded
) -> None:
    first, long, again = encode(loaded(kind), ["fox", "fox " * 80, "fox"])
    assert first is again
    assert first.context.shape == long.context.shape
    assert same(first.context[:, 77:], one(loaded(kind), ""))


def test_sd1_reads_the_last_state_normed(loaded: Loaded) -> None:
    model = loaded("sd1")
    encoder = model.encoders[0]
    hidden = encoder.hidden(encoder.embed(ids_of("a fox")))
    assert same(one(model, "a fox"), encoder.norm(hidden[-1]))
    assert same(one(model, "a fox", clip_skip=2), encoder.norm(hidden[-2]))
    assert same(one(model, "a fox", clip_skip=2, negative=True), encoder.norm(hidden[-2]))


def test_sd2_reads_the_last_but_one_state_normed_whatever_clip_skip(loaded: Loaded) -> None:
    model = loaded("sd2")
    encoder = model.encoders[0]
    hidden = encoder.hidden(encoder.embed(ids_of("a fox", openclip=True)))
    assert same(one(model, "a fox"), encoder.norm(hidden[-2]))
    assert same(one(model, "a fox", clip_skip=3), encoder.norm(hidden[-2]))


def test_sd2_without_its_last_layer_reads_the_last_state(loaded: Loaded) -> None:
    model = loaded("sd2")
    cut = Cut(model)
    encoder = model.encoders[0]
    hidden = encoder.hidden(encoder.embed(ids_of("a fox", openclip=True)))
    assert same(one(cut, "a fox"), encoder.norm(hidden[-1]))  # type: ignore[arg-type]


class Cut:
    """A model whose text encoder says that it has no projection."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.family, self.placement, self.unet_sizes = (
            model.family,
            model.placement,
            model.unet_sizes,
        )
        self.encoders = (CutEncoder(model),)


class CutEncoder:
    def __init__(self, model: Model) -> None:
        network = model.encoders[0]
        self.embed, self.hidden, self.norm = network.embed, network.hidden, network.norm
        self.sizes = replace(network.sizes, projection=0)


def test_sdxl_joins_both_encoders_without_a_norm(loaded: Loaded) -> None:
    model = loaded("sdxl")
    first, second = model.encoders
    narrow = first.hidden(first.embed(ids_of("a fox")))
    wide = second.hidden(second.embed(ids_of("a fox", openclip=True)))
    joined = torch.cat([narrow[-2], wide[-2]], dim=-1)
    assert same(one(model, "a fox"), joined)
    assert same(one(model, "a fox", clip_skip=3), joined)
    skipped = torch.cat([narrow[-3], wide[-2]], dim=-1)
    assert same(one(model, "a fox", clip_skip=3, skip_sdxl=True), skipped)


def test_the_vector_is_the_first_chunk_pooled_and_the_sizes(loaded: Loaded) -> None:
    model = loaded("sdxl")
    second, ids = model.encoders[1], ids_of("fox " * 75, openclip=True)
    found = one(model, "fox " * 80, size=(640, 896), crop=(3, 5)).vector
    assert found is not None
    assert same(found[:, :128], second.pool(second.hidden(second.embed(ids))[-1], ids))
    told = torch.tensor([896.0, 640, 3, 5, 896, 640])
    assert same(found[0, 128:].view(6, 256), fourier(told, 256))


def test_the_refiner_is_told_a_score(loaded: Loaded) -> None:
    for negative, score in ((False, 6.0), (True, 2.5)):
        found = one(loaded("sdxl-refiner"), "a fox", size=(640, 896), negative=negative).vector
        assert found is not None
        told = torch.tensor([896.0, 640, 0, 0, score])
        assert same(found[0, 128:].view(5, 256), fourier(told, 256))


@pytest.mark.parametrize("kind", ["sdxl", "sdxl-refiner"])
def test_an_empty_negative_prompt_is_zero_but_for_the_sizes(kind: str, loaded: Loaded) -> None:
    found, plain = one(loaded(kind), "", negative=True), one(loaded(kind), "")
    assert found.vector is not None and plain.vector is not None
    assert not found.context.any() and not found.vector[:, :128].any()
    assert plain.context.any() and found.vector[:, 128:].any()
    assert one(loaded(kind), "a", negative=True).context.any()
    assert encode(loaded(kind), ["", "a"], negative=True)[0].context.any()


def test_an_empty_negative_prompt_of_other_families_is_a_prompt(loaded: Loaded) -> None:
    assert same(one(loaded("sd1"), "", negative=True), one(loaded("sd1"), ""))


# emphasis


def plainly_weighted(model: Model, texts: Sequence[str], *, even: bool) -> list[Tensor]:
    """Original and No norm written out: text by text, chunk by chunk, as the fact sheet says it."""
    encoder = model.encoders[0]
    lines = [chunks(parse_attention(text), Tokenizer()) for text in texts]
    joined: list[list[Tensor]] = [[] for _ in texts]
    for place in range(len(lines[0])):
        batch = [line[place] for line in lines]
        hidden = encoder.hidden(encoder.embed(torch.tensor([c.ids for c in batch])))
        z = encoder.norm(hidden[-1])
        weighted = z * torch.tensor([c.weights for c in batch])[..., None]
        if even:
            weighted = weighted * (z.mean() / weighted.mean())
        for row, state in enumerate(weighted):
            joined[row].append(state[None])
    return [torch.cat(states, dim=1) for states in joined]


@pytest.mark.parametrize(
    "texts",
    [
        ["a (red fox:1.5)"],
        ["a (fox:1.5) [den]", "a wolf", "a (fox:1.5) [den]"],
        ["(fox:-1) moon", "(sun:0)"],
        ["(fox:1.3) " * 80, "wolf " * 80],
    ],
)
def test_weights_multiply_and_the_mean_over_all_texts_is_restored(
    texts: list[str], loaded: Loaded
) -> None:
    model = loaded("sd1")
    for emphasis, even in (("Original", True), ("No norm", False)):
        found = encode(model, texts, emphasis=emphasis)  # type: ignore[arg-type]
        for mine, expected in zip(found, plainly_weighted(model, texts, even=even), strict=True):
            assert torch.allclose(mine.context, expected, rtol=1e-4, atol=1e-5)


def test_ignored_weights_are_parsed_away(loaded: Loaded) -> None:
    model = loaded("sd1")
    assert same(one(model, "(fox:1.5)", emphasis="Ignore"), one(model, "fox"))


def test_without_emphasis_brackets_are_text(loaded: Loaded) -> None:
    model = loaded("sd1")
    assert same(one(model, "(fox)", emphasis="None"), one(model, "\\(fox\\)"))


def test_sdxl_weighs_each_encoder_by_itself_and_never_the_vector(loaded: Loaded) -> None:
    model = loaded("sdxl")
    found, plain = one(model, "a (fox:1.4)"), one(model, "a fox")
    assert found.vector is not None and plain.vector is not None
    assert torch.equal(found.vector, plain.vector)
    for part in (slice(0, 64), slice(64, 192)):
        before, after = plain.context[..., part], found.context[..., part]
        assert torch.isclose(before.mean(), after.mean(), rtol=1e-3)
        assert not same(before, after)


# learned words


@dataclass(frozen=True)
class Learned:
    name: str
    vectors: int

    def rows(self, width: int) -> Tensor:
        return torch.arange(self.vectors * width).view(self.vectors, width) / 1000


@dataclass(frozen=True)
class Words:
    word: Learned
    ids: tuple[int, ...]

    def match(self, ids: Sequence[int], position: int) -> tuple[Learned, int] | None:
        found = tuple(ids[position : position + len(self.ids)]) == self.ids
        return (self.word, len(self.ids)) if found else None


@pytest.mark.parametrize("vectors", [1, 3, 75, 80])
def test_learned_words_stand_in_place_of_token_embeddings(vectors: int, loaded: Loaded) -> None:
    model = loaded("sd1")
    words: EmbeddingTable = Words(Learned("sun dog", vectors), tuple(Tokenizer().encode("sun dog")))
    encoder = model.encoders[0]
    fits = min(vectors, 75)
    ids = torch.tensor([[49406, *[0] * fits, *[49407] * (76 - fits)]])
    embedded = encoder.embed(ids).clone()
    embedded[0, 1 : 1 + fits] = words.word.rows(128)[:fits]  # type: ignore[attr-defined]
    expected = encoder.norm(encoder.hidden(embedded)[-1])
    assert same(one(model, "sun dog", embeddings=words), expected)
    assert not same(one(model, "sun dog"), expected)


def test_learned_words_have_rows_for_each_width(loaded: Loaded) -> None:
    words = Words(Learned("sun", 2), tuple(Tokenizer().encode("sun")))
    found = one(loaded("sdxl"), "a sun", embeddings=words)
    plain = one(loaded("sdxl"), "a sun")
    assert not same(found.context[..., :64], plain.context[..., :64])
    assert not same(found.context[..., 64:], plain.context[..., 64:])


# refusals


@pytest.mark.parametrize("clip_skip", [0, -1, 4])
def test_clip_skip_that_leaves_no_layer_is_refused(clip_skip: int, loaded: Loaded) -> None:
    with pytest.raises(UsageError, match="is not between 1 and 3"):
        one(loaded("sd1"), "a", clip_skip=clip_skip)


def test_a_vocabulary_that_is_not_clips_is_refused(loaded: Loaded) -> None:
    cut = Cut(loaded("sd2"))
    cut.path = loaded("sd2").path  # type: ignore[attr-defined]
    cut.encoders[0].sizes = replace(cut.encoders[0].sizes, vocabulary=100)
    with pytest.raises(Unsupported, match="knows 100 tokens, expected CLIP's 49408"):
        one(cut, "a")  # type: ignore[arg-type]


def test_places_for_fewer_tokens_than_clip_has_are_refused(loaded: Loaded) -> None:
    cut = Cut(loaded("sd1"))
    cut.path = loaded("sd1").path  # type: ignore[attr-defined]
    cut.encoders[0].sizes = replace(cut.encoders[0].sizes, positions=10)
    with pytest.raises(Unsupported, match="has places for 10 tokens, expected CLIP's 77"):
        one(cut, "a")  # type: ignore[arg-type]


def test_waves_are_those_of_a_timestep() -> None:
    (found,) = fourier(torch.tensor([3.0]), 4)
    expected = [math.cos(3), math.cos(0.03), math.sin(3), math.sin(0.03)]
    assert found.tolist() == pytest.approx(expected)
    assert fourier(torch.tensor([3.0, 1.0]), 5)[:, 4].tolist() == [0, 0]
