"""LoRAs while they learn, and the same LoRAs as painters read them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sfumato.containers.open import open_model
from sfumato.engine.adapters.patches import Patches, Use
from sfumato.errors import Refused, UsageError
from sfumato.operations.adapters.lora import read_lora
from sfumato.training.kinds.lora import LoraPart
from sfumato.training.settings import Ema, LoraShape, Optimizer, Run
from taught import answer, apart, identified, opened, run_of, taught

pytestmark = pytest.mark.slow

Small = Callable[[str], Path]

SHAPES = {
    "lora": LoraShape(rank=4),
    "locon": LoraShape(rank=4, alpha=2.0, conv_rank=2),
    "dora": LoraShape(rank=4, conv_rank=2, dora=True),
    "loha": LoraShape("loha", rank=2, conv_rank=2),
    "lokr": LoraShape("lokr", rank=2, alpha=1.0, conv_rank=2),
    "lokr-whole": LoraShape("lokr", rank=64, alpha=3.0, factor=4),
}
FAMILIES = ("sd1", "sd2", "sdxl")
CASES = [(shape, "sd1") for shape in SHAPES] + [("locon", "sd2"), ("dora", "sd2"), ("loha", "sdxl")]
BOTH = Optimizer(rate=1e-2, text_rate=1e-2)


@pytest.fixture
def wish(small: Small, pictures: Path, tmp_path: Path) -> Callable[..., Run]:
    def run(family: str = "sd1", **changes: object) -> Run:
        output = tmp_path / "disc.safetensors"
        return run_of("lora", small(family), pictures, output, optimizer=BOTH, **changes)

    return run


@pytest.mark.parametrize(("shape", "family"), CASES)
def test_factors_change_nothing_before_the_first_step(
    shape: str, family: str, wish: Callable[..., Run]
) -> None:
    run = wish(family, lora=SHAPES[shape])
    with opened(run) as model:
        before = answer(model)
        LoraPart(run, model)
        assert apart(answer(model), before) < (1e-5 if SHAPES[shape].dora else 1e-12)


@pytest.mark.parametrize(("shape", "family"), CASES)
def test_a_file_acts_in_painting_as_its_factors_did_in_training(
    shape: str, family: str, wish: Callable[..., Run]
) -> None:
    run = wish(family, lora=SHAPES[shape])
    course = taught(run)
    with opened(run) as model:
        before = answer(model)
        (report,) = Patches(model).set([Use(read_lora(Path(run.output), model.target))])
        assert apart(answer(model), answer(course.model)) < 1e-5
        assert apart(answer(model), before) > 1e-3
    assert report.applied == report.total


@pytest.mark.parametrize("family", FAMILIES)
def test_a_linear_layer_beside_its_factors_is_the_layer_with_the_changed_weight(
    family: str, wish: Callable[..., Run]
) -> None:
    run = wish(family)
    course = taught(run)
    noise = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(7))
    told, _ = course.trainee.texts.at(["a disc"], (64, 64))
    labels = course.model.unet_sizes.labels
    y = torch.zeros(1, labels) if labels else None
    learned = course.model.unet(noise, torch.tensor([500.0]), told, y)
    assert learned.requires_grad
    with torch.no_grad():
        painted = course.model.unet(noise, torch.tensor([500.0]), told, y)
    assert apart(learned.detach(), painted) < 1e-5


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("shape", ["lora", "locon", "loha", "dora"])
def test_every_module_of_a_trained_lora_is_known(
    family: str, shape: str, wish: Callable[..., Run]
) -> None:
    run = wish(family, lora=SHAPES[shape], steps=1)
    taught(run)
    found = identified(run.output)
    assert (found.kind, found.family, found.left_over) == ("lora", family, ())
    assert found.adapter is not None
    assert found.adapter.known == found.adapter.modules > 50


def test_the_header_is_what_other_programs_look_for(wish: Callable[..., Run]) -> None:
    data = replace(wish().data, trigger="zork")
    run = wish(lora=SHAPES["locon"], data=data, title="Discs", steps=1)
    taught(run)
    with open_model(Path(run.output)) as file:
        said = dict(file.metadata)
    assert said["ss_base_model_version"] == "sd_v1"
    assert (said["ss_network_dim"], said["ss_network_alpha"]) == ("4", "2.0")
    assert json.loads(said["ss_network_args"])["conv_dim"] == "2"
    assert said["modelspec.architecture"] == "stable-diffusion-v1/lora"
    assert (said["modelspec.title"], said["modelspec.trigger_phrase"]) == ("Discs", "zork")
    (tags,) = json.loads(said["ss_tag_frequency"]).values()
    assert tags["zork"] == tags["a disc"] == int(said["ss_num_train_images"]) == 3
    assert 'kind = "lora"' in said["sfumato.run"]


def test_alpha_stands_beside_every_module(wish: Callable[..., Run]) -> None:
    run = wish(lora=SHAPES["locon"], steps=1)
    taught(run)
    with open_model(Path(run.output)) as file:
        modules = {name.rpartition(".lora_down")[0] for name in file if ".lora_down" in name}
        assert {name.removesuffix(".alpha") for name in file if name.endswith("alpha")} == modules


def test_blocks_are_chosen_by_their_names(wish: Callable[..., Run]) -> None:
    run = wish(lora=LoraShape(rank=2, blocks=("middle_block", r"attn2\.to_[kv]")), steps=1)
    taught(run)
    with open_model(Path(run.output)) as file:
        assert all("mid_block" in name or "attn2_to_" in name for name in file)
        assert any("mid_block" not in name for name in file)


def test_without_a_rate_the_text_encoder_has_no_factors(wish: Callable[..., Run]) -> None:
    run = replace(wish(steps=1), optimizer=Optimizer(rate=1e-2))
    taught(run)
    with open_model(Path(run.output)) as file:
        assert all(name.startswith("lora_unet_") for name in file)


def test_the_average_is_what_is_written(wish: Callable[..., Run]) -> None:
    run = wish(ema=Ema(0.5))
    course = taught(run)
    name, (_, made) = next(iter(course.trainee.part.factors.items()))  # pyright: ignore
    with open_model(Path(run.output)) as file:
        written = file[f"{name}.lora_up.weight"].read()
    assert bytes(written) != made.slots["up"].detach().numpy().tobytes()


def test_layers_that_a_family_does_not_read_get_no_factors(wish: Callable[..., Run]) -> None:
    run = wish("sd2", steps=1)
    taught(run)
    with open_model(Path(run.output)) as file:
        layers = {name.split("_layers_")[1][0] for name in file if "_layers_" in name}
    assert layers == {"0", "1"}  # of three, the last but one is read


@pytest.mark.parametrize(
    "shape", [LoraShape(rank=0), LoraShape(blocks=("(",)), LoraShape(alpha=-1.0)]
)
def test_a_senseless_shape_is_refused(shape: LoraShape, wish: Callable[..., Run]) -> None:
    run = wish(lora=shape)
    with pytest.raises(UsageError, match="lora"), opened(run) as model:
        LoraPart(run, model)


def test_blocks_that_are_nowhere_are_refused(wish: Callable[..., Run]) -> None:
    run = wish(lora=LoraShape(blocks=("nowhere",)))
    with pytest.raises(Refused, match="no layer"), opened(run) as model:
        LoraPart(run, model)
