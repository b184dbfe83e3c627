"""Embeddings while they learn, and the same embeddings as painters read them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sfumato.engine.adapters.embedding import read_embedding
from sfumato.engine.adapters.embeddings import EmbeddingTable
from sfumato.engine.prompt.tokens import Tokenizer
from sfumato.errors import UsageError
from sfumato.training.kinds.embedding import EmbeddingPart
from sfumato.training.settings import Data, EmbeddingShape, Run
from taught import SIDE, answer, identified, opened, run_of, taught

pytestmark = pytest.mark.slow

Small = Callable[[str], Path]

WORD = EmbeddingShape(name="zork-disc", vectors=3, start="blue dog")
FAMILIES = ("sd1", "sd2", "sdxl")


@pytest.fixture
def wish(small: Small, pictures: Path, tmp_path: Path) -> Callable[..., Run]:
    def run(family: str = "sd1", suffix: str = ".pt", **changes: object) -> Run:
        output = tmp_path / f"zork-disc{suffix}"
        settings = {"embedding": WORD} | changes
        return run_of("embedding", small(family), pictures, output, **settings)

    return run


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_file_acts_in_painting_as_its_vectors_did_in_training(
    family: str, suffix: str, wish: Callable[..., Run]
) -> None:
    run = wish(family, suffix)
    course = taught(run)
    text = "a picture of zork-disc, blue"
    with opened(run) as model:
        table = EmbeddingTable(model, Tokenizer())
        table.add(read_embedding(Path(run.output)))
        painted = answer(model, text, embeddings=table)
        assert torch.equal(
            painted, answer(course.model, text, embeddings=course.trainee.part.embeddings)
        )
        assert not torch.equal(painted, answer(model, text))


@pytest.mark.parametrize("family", FAMILIES)
def test_vectors_move_and_nothing_else_does(family: str, wish: Callable[..., Run]) -> None:
    run = wish(family)
    with opened(run) as model:
        before = answer(model)
        start = EmbeddingPart(run, model).learned.by_width
    course = taught(run)
    assert torch.equal(answer(course.model), before)
    part = course.trainee.part
    assert isinstance(part, EmbeddingPart)
    assert len(part.learned.by_width) == len(start)
    for width, vectors in part.learned.by_width.items():
        assert vectors.shape == (3, width)
        assert not torch.isclose(vectors, start[width]).any(dim=1).all()


def test_vectors_start_from_words_spread_over_them(wish: Callable[..., Run]) -> None:
    with opened(wish()) as model:
        vectors = EmbeddingPart(wish(), model).learned.by_width[128]
        blue, dog = model.encoders[0].embed(torch.tensor([Tokenizer().encode("blue dog")]))[0]
    assert torch.equal(vectors, torch.stack([blue, blue, dog]))


def test_the_word_stands_in_every_caption(wish: Callable[..., Run]) -> None:
    course = taught(wish(steps=1))
    captions = [item.captions[0] for item in course.trainee.lesson.items]
    assert captions == [f"zork-disc, a disc, number {number}" for number in range(3)]


def test_a_template_says_where_the_word_stands(
    wish: Callable[..., Run], pictures: Path, tmp_path: Path
) -> None:
    lines = tmp_path / "lines.txt"
    lines.write_text("a photo of [name], [filewords]\n")
    data = Data(str(pictures), resolution=SIDE, template=str(lines))
    course = taught(wish(steps=1, data=data))
    captions = [item.captions[0] for item in course.trainee.lesson.items]
    assert captions[0] == "a photo of zork-disc, a disc, number 0"


def test_pictures_without_the_word_teach_nothing_and_stop_nothing(
    wish: Callable[..., Run], pictures: Path
) -> None:
    data = Data(str(pictures), resolution=SIDE, regularisation=str(pictures))
    course = taught(wish(batch=1, steps=6, data=data))
    assert len(course.losses) == 6
    assert {item.regularisation for item in course.trainee.lesson.items} == {True, False}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_the_file_is_identified(family: str, suffix: str, wish: Callable[..., Run]) -> None:
    run = wish(family, suffix, steps=1)
    taught(run)
    found = identified(run.output)
    assert (found.kind, found.left_over, found.contradictions) == ("embedding", (), ())
    assert found.adapter is not None
    assert found.adapter.vectors == 3
    if family == "sdxl":
        assert found.family == "sdxl"


def test_a1111s_layout_is_complete(wish: Callable[..., Run]) -> None:
    run = wish()
    taught(run)
    said = torch.load(run.output, weights_only=True)
    assert said["string_to_token"] == {"*": 265}
    assert said["string_to_param"]["*"].shape == (3, 128)
    assert (said["name"], said["step"]) == ("zork-disc", 3)
    assert 'kind = "embedding"' in said["sfumato.run"]


@pytest.mark.parametrize(
    ("shape", "suffix"),
    [
        (EmbeddingShape(name=" ", vectors=1), ".pt"),
        (EmbeddingShape(vectors=0), ".pt"),
        (EmbeddingShape(vectors=76), ".pt"),
        (EmbeddingShape(start=""), ".pt"),
        (WORD, ".ckpt"),
    ],
)
def test_a_senseless_embedding_is_refused(
    shape: EmbeddingShape, suffix: str, wish: Callable[..., Run]
) -> None:
    run = wish("sd1", suffix, embedding=shape)
    with opened(run) as model, pytest.raises(UsageError):
        EmbeddingPart(run, model)
