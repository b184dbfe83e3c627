"""Runs on small checkpoints and real pictures: the law of resuming, the cache, the sentences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from paintable import write
from sfumato.containers.open import open_model
from sfumato.errors import Refused, UsageError
from sfumato.training.data.latents import Latents
from sfumato.training.data.lesson import Lesson
from sfumato.training.events import Prepared, Stepped
from sfumato.training.foresight import foresee
from sfumato.training.loop import train
from sfumato.training.prepare import prepare
from sfumato.training.settings import Base, Data, Ema, Kind, Optimizer, Run, Save, Scratch, Watch
from training_toys import outcome

pytestmark = pytest.mark.slow

SMALL = Scratch(
    widths=(32,), depths=(1,), blocks=1, text_width=64, text_layers=1, text_inner=64,
    vae_width=32, vae_multipliers=(1, 1, 2, 2), vae_blocks=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, a VAE and five pictures of two sizes."""
    folder = tmp_path_factory.mktemp("whole")
    write(folder / "base.safetensors", "sd1")
    (folder / "in").mkdir()
    dice = np.random.default_rng(0)
    for index in range(5):
        size = (64, 64 if index % 2 else 96, 3)
        Image.fromarray(dice.integers(0, 255, size, np.uint8)).save(folder / "in" / f"{index}.png")
        (folder / "in" / f"{index}.txt").write_text(f"subject {index}, one, two, three")
    return folder


Wish = Callable[..., Run]


@pytest.fixture
def wish(place: Path, tmp_path: Path) -> Wish:
    def made(kind: Kind = "lora", name: str = "a", **changes: object) -> Run:
        ending = "pt" if kind == "hypernetwork" else "safetensors"
        run = Run(
            kind, str(tmp_path / f"{name}.{ending}"), steps=5, batch=2, accumulate=2,
            base=Base(str(place / "base.safetensors")),
            data=Data(str(place / "in"), resolution=64, flip=True, shuffle_tags=True,
                      caption_dropout=0.0 if kind == "embedding" else 0.2),
            optimizer=Optimizer(rate=1e-3), ema=Ema(0.9), save=Save(every=0, minutes=0),
        )  # fmt: skip
        return replace(run, **changes)  # pyright: ignore

    return made


KINDS: tuple[Kind, ...] = ("checkpoint", "lora", "embedding", "hypernetwork", "vae")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_goes_on_bit_for_bit(kind: Kind, wish: Wish) -> None:
    straight, run = wish(kind, "straight"), wish(kind, "stopped")
    list(train(straight, prepare(straight)))
    for events in (20, 23):
        course = train(run, prepare(run))
        list(islice(course, events))
        course.close()
    watch = Watch(previews=() if kind == "vae" else ("one",), preview_steps=1, preview_size=64)
    run = replace(run, watch=watch)
    list(train(run, prepare(run)))
    assert outcome(run) == outcome(straight)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["checkpoint", "embedding", "vae"])
def test_recomputing_activations_changes_no_bit_and_keeps_less(kind: Kind, wish: Wish) -> None:
    runs = [wish(kind, name, checkpointing=name == "b") for name in "ab"]
    kept = [kept_for_gradients(run) for run in runs]
    assert kept[1] < 0.8 * kept[0]
    for run in runs:
        list(train(run, prepare(run)))
    assert outcome(runs[0]) == outcome(runs[1])


def kept_for_gradients(run: Run) -> int:
    """Bytes of different tensors that one loss keeps."""
    trainee, kept = prepare(run), dict[int, int]()

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    list(trainee.prepare())
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        trainee.loss(0)
    return sum(kept.values())


@pytest.mark.slow
def test_a_checkpoint_from_nothing_takes_a_vae_and_paints(
    wish: Wish, place: Path, tmp_path: Path
) -> None:
    base = Base(vae=str(place / "base.safetensors"))
    run = wish("checkpoint", scratch=SMALL, base=base, steps=12)
    losses = [e.loss for e in train(run, prepare(run)) if isinstance(e, Stepped)]
    assert len(losses) == 12 and all(np.isfinite(losses))
    with open_model(run.output) as file:
        assert "model.diffusion_model.input_blocks.0.0.weight" in file


def test_a_run_from_nothing_without_sizes_or_vae_is_refused(wish: Wish) -> None:
    with pytest.raises(UsageError, match=r"base\.file, or \[scratch\]"):
        prepare(wish(base=Base()))
    with pytest.raises(UsageError, match=r"has no VAE.*base\.vae"):
        prepare(wish("checkpoint", scratch=SMALL, base=Base()))


def test_an_output_that_no_format_has_is_refused_before_anything_is_loaded(wish: Wish) -> None:
    with pytest.raises(UsageError, match="no format ends in"):
        prepare(wish(output="a.zip", base=Base("none")))


def latents(run: Run, folder: Path) -> Latents:
    trainee = prepare(run)
    model = trainee.model  # pyright: ignore
    return Latents(model, Lesson(run, 64), folder)  # pyright: ignore


def test_latents_are_encoded_once_and_known_by_content(wish: Wish, tmp_path: Path) -> None:
    run = wish()
    first = latents(run, tmp_path / "cache")
    assert list(first.prepare())[-1] == (10, 10)
    assert list(first.prepare()) == []
    again = latents(run, tmp_path / "cache")
    assert list(again.prepare()) == []
    draws = again.lesson.order.at(0)
    assert torch.equal(first.at(draws), again.at(draws))
    damaged = next((tmp_path / "cache").glob("*.safetensors"))
    damaged.write_bytes(damaged.read_bytes()[:100])
    assert len(list(latents(run, tmp_path / "cache").prepare())) == 10


def test_a_changed_picture_or_size_is_encoded_anew_and_no_other(
    wish: Wish, place: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for path in (place / "in").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    run = wish(data=Data(str(folder), resolution=64))
    list(latents(run, tmp_path / "cache").prepare())
    Image.new("RGB", (64, 64), "red").save(folder / "1.png")
    assert list(latents(run, tmp_path / "cache").prepare()) == [(1, 1)]
    smaller = replace(run, data=replace(run.data, resolution=32))
    assert len(list(latents(smaller, tmp_path / "cache").prepare())) == 5


def test_pictures_that_are_encoded_are_told_one_by_one(wish: Wish) -> None:
    run = wish(steps=1)
    told = [e.done for e in train(run, prepare(run)) if isinstance(e, Prepared)]
    assert told == list(range(1, 11))


def test_what_a_run_takes_is_foreseen(wish: Wish) -> None:
    run = wish(steps=100, save=Save(every=0.2))
    told = list(foresee(run, prepare(run)))
    assert told[0].startswith("100 steps of 4: 400 draws")
    assert "saved after steps 20, 40, 60, 80, 100" in told
    assert told[-1] == f"writes {run.output}"


def test_pictures_that_changed_stop_a_run_from_going_on(
    wish: Wish, place: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for path in (place / "in").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    run = wish(steps=1, data=Data(str(folder), resolution=64))
    list(train(run, prepare(run)))
    (folder / "0.txt").write_text("something else")
    with pytest.raises(Refused, match="pictures and model are others"):
        list(train(run, prepare(run)))
