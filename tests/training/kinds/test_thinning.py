"""What a LoRA leaves out while it learns: as kohya's trainer does, and only while it learns."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from sfumato.containers.open import open_model
from sfumato.engine.networks.convolution import Conv2d
from sfumato.errors import UsageError
from sfumato.training.events import Stepped
from sfumato.training.kinds.beside import attach
from sfumato.training.kinds.factors import Factors, Site
from sfumato.training.kinds.lora import LoraPart
from sfumato.training.kinds.thinning import Thinning
from sfumato.training.loop import train
from sfumato.training.prepare import prepare
from sfumato.training.settings import Ema, LoraShape, Optimizer, Run
from taught import answer, apart, opened, run_of, taught
from training_toys import outcome

Small = Callable[[str], Path]
BOTH = Optimizer(rate=1e-3, text_rate=1e-3)

SHAPES = {
    "values": LoraShape(rank=4, conv_rank=2, dropout=0.3),
    "ranks": LoraShape(rank=4, conv_rank=2, rank_dropout=0.3),
    "modules": LoraShape(rank=4, conv_rank=2, module_dropout=0.3),
    "loha": LoraShape("loha", rank=2, module_dropout=0.3),
    "dora": LoraShape(rank=4, conv_rank=2, dora=True, module_dropout=0.3),
}


def layer_with(kind: str, shape: LoraShape) -> tuple[nn.Module, Factors, Tensor, Tensor]:
    """A layer with factors, its input, and its frozen output."""
    torch.manual_seed(1)
    layer, x = nn.Linear(6, 8), torch.randn(16, 3, 6)
    if kind == "conv":
        layer, x = Conv2d(6, 8, stride=2), torch.randn(16, 6, 8, 8)
    layer.requires_grad_(requires_grad=False)
    frozen = layer(x)
    site = Site("lora_unet_a", layer, "weight", None, tuple(layer.weight.shape), text=False)
    factors = Factors(site, shape, 0)
    nn.init.normal_(factors.slots["up"], generator=torch.Generator().manual_seed(2))
    attach(site, factors)
    return layer, factors, x, frozen


def change(kind: str, shape: LoraShape, *, on: bool) -> Tensor:
    """What the factors add to the layer's output (16, 8, …), drawn at one place."""
    layer, factors, x, frozen = layer_with(kind, shape)
    factors.thinning.on = on
    torch.manual_seed(3)
    found = (layer(x) - frozen).detach()
    return found.movedim(-1, 1) if kind == "linear" else found


LAYERS = pytest.mark.parametrize("kind", ["linear", "conv"])


@LAYERS
@pytest.mark.parametrize("part", ["dropout", "rank_dropout", "module_dropout"])
def test_all_acts_where_nothing_learns(kind: str, part: str) -> None:
    shape = LoraShape(rank=4, conv_rank=4)
    thin = replace(shape, **{part: 0.5})
    assert apart(change(kind, thin, on=False), change(kind, shape, on=True)) < 1e-5


@LAYERS
def test_ranks_are_left_out_for_each_picture_and_the_rest_is_larger(kind: str) -> None:
    shape = LoraShape(rank=1, conv_rank=1)
    whole = change(kind, shape, on=True)
    thin = change(kind, replace(shape, rank_dropout=0.5), on=True)
    gone = [bool(row.abs().max() < 1e-6) for row in thin]
    assert True in gone and False in gone
    for row, there, left_out in zip(thin, whole, gone, strict=True):
        assert left_out or apart(row, 2 * there) < 1e-4


@LAYERS
def test_values_are_left_out_here_and_there(kind: str) -> None:
    shape = LoraShape(rank=1, conv_rank=1)
    whole = change(kind, shape, on=True)
    thin = change(kind, replace(shape, dropout=0.5), on=True)
    share = (thin.flatten(2)[:, 0] / whole.flatten(2)[:, 0]).round(decimals=3)
    assert set(share.abs().flatten().tolist()) == {0.0, 2.0}


@LAYERS
def test_modules_are_left_out_whole_and_the_rest_stays(kind: str) -> None:
    shape = LoraShape(rank=4, conv_rank=4, module_dropout=0.5)
    layer, _, x, frozen = layer_with(kind, shape)
    whole = change(kind, replace(shape, module_dropout=0.0), on=True)
    answers = [(layer(x) - frozen).detach() for _ in range(20)]
    answers = [found.movedim(-1, 1) if kind == "linear" else found for found in answers]
    gone = [bool(found.abs().max() < 1e-6) for found in answers]
    assert 2 < sum(gone) < 18
    assert all(a or apart(f, whole) < 1e-4 for a, f in zip(gone, answers, strict=True))


def test_a_weight_that_is_read_as_such_loses_ranks_for_the_whole_batch() -> None:
    torch.manual_seed(4)
    down = torch.ones(64, 3)
    thin = Thinning(0.0, 0.5, 0.0).thinned_factor(down)
    assert set(thin.flatten().tolist()) == {0.0, 2.0}
    assert bool((thin == thin[:, :1]).all())


@pytest.fixture
def wish(small: Small, pictures: Path, tmp_path: Path) -> Callable[..., Run]:
    def run(name: str, shape: str, family: str = "sd1", **changes: object) -> Run:
        output = tmp_path / f"{name}.safetensors"
        settings = {"optimizer": BOTH, "ema": Ema(0.9), "accumulate": 2, **changes}
        return run_of("lora", small(family), pictures, output, lora=SHAPES[shape], **settings)

    return run


@pytest.mark.slow
@pytest.mark.parametrize(
    "odd", [LoraShape("loha", dropout=0.1), LoraShape(dora=True, rank_dropout=0.1)]
)
def test_only_two_plain_factors_have_something_between_them(
    odd: LoraShape, wish: Callable[..., Run]
) -> None:
    run = replace(wish("one", "values"), lora=odd)
    with pytest.raises(UsageError, match="take algorithm lora without dora"), opened(run) as model:
        LoraPart(run, model)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["sd1", "sd2"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_run_that_leaves_out_goes_on_bit_for_bit(
    shape: str, family: str, wish: Callable[..., Run]
) -> None:
    straight, run = (wish(name, shape, family) for name in ("a", "b"))
    whole = replace(wish("c", shape, family), lora=replace(
        SHAPES[shape], dropout=0.0, rank_dropout=0.0, module_dropout=0.0))  # fmt: skip
    course = train(run, prepare(run))
    list(islice((event for event in course if isinstance(event, Stepped)), 2))
    course.close()
    for each in (run, straight, whole):
        list(train(each, prepare(each)))
    assert outcome(run) == outcome(straight)
    assert outcome(whole) != outcome(straight)


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_computing_blocks_twice_leaves_out_the_same(shape: str, wish: Callable[..., Run]) -> None:
    runs = [wish(name, shape, checkpointing=name == "b", ema=Ema()) for name in "ab"]
    for run in runs:
        list(train(run, prepare(run)))
    assert outcome(runs[0]) == outcome(runs[1])


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_validation_and_files_have_all_of_it(
    shape: str, wish: Callable[..., Run], pictures: Path
) -> None:
    run = wish("one", shape, ema=Ema())
    run = replace(run, data=replace(run.data, validation=str(pictures)))
    trainee = taught(run).trainee
    assert trainee.validate() == trainee.validate()
    with trainee._still():  # pyright: ignore[reportPrivateUsage]
        learned = answer(trainee.model)
        again = answer(trainee.model)
    assert torch.equal(learned, again)


@pytest.mark.slow
def test_a_lora_says_what_was_left_out(wish: Callable[..., Run]) -> None:
    shape = LoraShape(rank=2, dropout=0.1, rank_dropout=0.2)
    run = replace(wish("one", "modules"), lora=shape, steps=1)
    list(train(run, prepare(run)))
    with open_model(Path(run.output)) as file:
        assert file.metadata["ss_network_dropout"] == "0.1"
        assert json.loads(file.metadata["ss_network_args"])["rank_dropout"] == "0.2"
