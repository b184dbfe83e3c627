"""What all kinds share: what the UNet is told, previews, and saving memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sfumato.engine.encoding.encode import encode
from sfumato.engine.loading.load import load
from sfumato.training.data.buckets import Fit
from sfumato.training.events import Written
from sfumato.training.kinds.conditioning import Seen, sizes_seen, vectors_seen
from sfumato.training.kinds.diffusion import DiffusionTrainee
from sfumato.training.loop import train
from sfumato.training.prepare import prepare
from sfumato.training.settings import (
    Data,
    Ema,
    HypernetworkShape,
    Kind,
    LoraShape,
    Optimizer,
    Run,
    Save,
    Watch,
)
from taught import SIDE, answer, opened, run_of, taught

pytestmark = pytest.mark.slow

Small = Callable[[str], Path]

DROPOUT = HypernetworkShape(dropout=(0, 0.3, 0))
BOTH = Optimizer(rate=1e-2, text_rate=1e-2)
WATCHED = Watch(previews=("[trigger], blue", "(a zork:1.2)"), preview_steps=2)


@pytest.fixture
def wish(small: Small, pictures: Path, tmp_path: Path) -> Callable[..., Run]:
    def run(kind: Kind, name: str = "one", family: str = "sd1", **changes: object) -> Run:
        suffix = ".pt" if kind in ("embedding", "hypernetwork") else ".safetensors"
        output = tmp_path / name / f"zork{suffix}"
        settings: dict[str, object] = {"hypernetwork": DROPOUT, "ema": Ema(0.9)}
        if kind in ("lora", "checkpoint"):
            settings["optimizer"] = BOTH
        return run_of(kind, small(family), pictures, output, **settings | changes)

    return run


def weights(run: Run) -> tuple[dict[str, Tensor], list[Path], DiffusionTrainee]:
    trainee = prepare(run)
    assert isinstance(trainee, DiffusionTrainee)
    written = [event.path for event in train(run, trainee) if isinstance(event, Written)]
    named = {n: p.detach() for group in trainee.groups() for n, p in group.parameters.items()}
    return named, written, trainee


@pytest.mark.parametrize("kind", ["checkpoint", "lora", "embedding", "hypernetwork"])
def test_previews_do_not_move_training_by_a_bit(kind: Kind, wish: Callable[..., Run]) -> None:
    every = Save(every=1, files=False, dtype="f32")
    plain, _, _ = weights(wish(kind, save=every))
    seen, written, trainee = weights(wish(kind, "other", save=every, watch=WATCHED))
    assert plain.keys() == seen.keys()
    assert all(torch.equal(plain[name], seen[name]) for name in plain)
    previews = [path for path in written if path.name.startswith("preview-")]
    assert len(previews) == 3
    assert len({path.read_bytes() for path in previews}) > 1
    assert trainee.loss(0).requires_grad


def test_a_preview_is_what_the_painter_paints_with_the_file(wish: Callable[..., Run]) -> None:
    from PIL import Image

    from sfumato.engine.painter import Painter

    watch = Watch(previews=("a disc",), preview_steps=3)
    run = wish("checkpoint", watch=watch)
    _, written, _ = weights(run)
    (sheet,) = [path for path in written if path.name.startswith("preview-")]
    with Painter(load(run.output, device="cpu", dtype="f32"), vae="none") as painter:
        (picture,) = painter.generate(
            "a disc", steps=3, cfg=watch.preview_scale, seed=1234, width=SIDE, height=SIDE
        )
    shown = Image.open(sheet).convert("RGB")
    cells = [
        shown.crop((x, y, x + SIDE, y + SIDE))
        for x in range(shown.width - SIDE + 1)
        for y in range(shown.height - SIDE + 1)
    ]
    assert any(cell.tobytes() == picture.image.tobytes() for cell in cells)


@pytest.mark.parametrize("shape", [LoraShape(rank=2), LoraShape("loha", rank=2, conv_rank=2)])
@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_checkpointing_gives_the_same_gradients(
    family: str, shape: LoraShape, wish: Callable[..., Run]
) -> None:
    run = wish("lora", family=family, lora=shape, ema=Ema())
    plain, _, _ = weights(run)
    saved, _, trainee = weights(
        wish("lora", "other", family, lora=shape, ema=Ema(), checkpointing=True)
    )
    assert trainee.model.unet.checkpointing
    assert all(torch.equal(plain[name], saved[name]) for name in plain)


def test_sizes_are_told_as_kohya_tells_them() -> None:
    seen = Seen((200, 100), Fit((128, 64), (64, 64)), across=0.25, down=0.5)
    assert sizes_seen(seen, "sdxl") == (100, 200, 0, 16, 64, 64)
    assert sizes_seen(seen._replace(flip=True), "sdxl") == (100, 200, 0, 48, 64, 64)
    assert sizes_seen(seen, "sdxl-refiner") == (100, 200, 0, 16, 6.0)


def test_a_picture_of_the_buckets_own_size_is_told_as_in_painting(
    wish: Callable[..., Run],
) -> None:
    with opened(wish("lora", family="sdxl")) as model:
        (told,) = encode(model, ["a disc"], size=(64, 48))
        assert told.vector is not None
        seen = vectors_seen(model, told.vector, [Seen((64, 48), Fit((64, 48), (64, 48)))])
        assert torch.equal(seen, told.vector)
        other = vectors_seen(model, told.vector, [Seen((640, 480), Fit((64, 48), (64, 48)))])
        assert not torch.equal(other, told.vector)


def test_the_side_is_what_the_file_says_or_the_familys(
    wish: Callable[..., Run], small: Small
) -> None:
    with opened(wish("lora")) as model:
        assert model.side == 512
    run = wish("checkpoint", steps=1)
    taught(run)
    model = load(run.output, device="cpu")
    assert model.side == SIDE
    model.close()


def test_validation_is_the_same_every_time_and_has_no_dropout(
    wish: Callable[..., Run], pictures: Path
) -> None:
    data = Data(str(pictures), resolution=SIDE, validation=str(pictures))
    trainee = prepare(replace(wish("hypernetwork"), data=data))
    assert isinstance(trainee, DiffusionTrainee)
    first = trainee.validate()
    assert first == trainee.validate()
    assert first is not None


@pytest.mark.parametrize("kind", ["lora", "embedding", "hypernetwork"])
def test_frozen_weights_have_no_gradients(kind: Kind, wish: Callable[..., Run]) -> None:
    trainee = prepare(wish(kind))
    assert isinstance(trainee, DiffusionTrainee)
    list(trainee.prepare())
    trainee.loss(0).backward()  # pyright: ignore[reportUnknownMemberType]
    learning = {id(p) for group in trainee.groups() for p in group.parameters.values()}
    others = [
        weight
        for network in trainee.model.networks
        for weight in network.module.parameters()
        if id(weight) not in learning
    ]
    assert others
    assert not any(weight.requires_grad or weight.grad is not None for weight in others)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lora", "embedding", "hypernetwork"])
def test_two_pictures_are_learned_by_heart(kind: Kind, wish: Callable[..., Run]) -> None:
    run = wish(kind, steps=60, optimizer=Optimizer(rate=3e-2 if kind == "embedding" else 1e-2))
    course = taught(run)
    with opened(run) as model:
        assert not torch.equal(answer(model), answer(course.model)) or kind == "embedding"
    assert sum(course.losses[-10:]) < sum(course.losses[:10])
