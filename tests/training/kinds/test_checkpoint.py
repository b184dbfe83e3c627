"""Whole checkpoints: what learns, and the editions that a run leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from sfumato.catalogue.numbers.buffers import schedule
from sfumato.catalogue.regions import BUFFERS
from sfumato.containers.model_file import DIFFUSERS
from sfumato.containers.open import open_model
from sfumato.engine.loading.load import load
from sfumato.errors import Refused, UsageError
from sfumato.operations.convert import convert
from sfumato.operations.ema import ema
from sfumato.training.kinds.checkpoint import CheckpointPart
from sfumato.training.kinds.lightning import original_order
from sfumato.training.settings import Data, Ema, Objective, Optimizer, Run, Save
from taught import SIDE, Course, answer, apart, identified, opened, run_of, taught

pytestmark = pytest.mark.slow

Small = Callable[[str], Path]

ALL = Save(every=0, files=False, dtype="f32", editions=("ema", "live", "pruned", "state"))
BOTH = Optimizer(rate=2e-3, text_rate=1e-3)


@pytest.fixture(scope="module")
def done(
    small: Small, pictures: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[Run, Course]]:
    """A run of each family with everything in it, trained once."""
    kept: dict[str, tuple[Run, Course]] = {}

    def run(family: str) -> tuple[Run, Course]:
        if family not in kept:
            output = tmp_path_factory.mktemp(family) / "disc.safetensors"
            made = run_of(
                "checkpoint", small(family), pictures, output,
                save=ALL, optimizer=BOTH, ema=Ema(0.9),
            )  # fmt: skip
            kept[family] = made, taught(made)
        return kept[family]

    return run


Done = Callable[[str], tuple[Run, Course]]
FAMILIES = (
    "sd1",
    pytest.param("sd2", marks=pytest.mark.slow),
    pytest.param("sdxl", marks=pytest.mark.slow),
)


def edition(run: Run, name: str = "") -> Path:
    path = Path(run.output)
    suffix = ".ckpt" if name == "state" else path.suffix
    return path.with_name(f"{path.stem}-{name}{suffix}") if name else path


EXPECTED = {
    "": "single set, fp32",
    "live": "single set, fp32",
    "pruned": "live + EMA, fp32",
    "state": "full training state (live + EMA weights, optimizer), fp32",
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", EXPECTED)
def test_every_edition_is_identified_as_what_it_is(family: str, name: str, done: Done) -> None:
    run, _ = done(family)
    found = identified(edition(run, name))
    assert (found.kind, found.family) == ("checkpoint", family)
    assert found.edition == EXPECTED[name]
    assert not found.left_over
    assert not found.contradictions
    assert all(part.tensors == part.expected for part in found.parts if part.expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_all_editions_with_the_average_paint_alike(family: str, done: Done) -> None:
    run, _ = done(family)
    answers: list[torch.Tensor] = []
    for name, weights in (("", "live"), ("pruned", "ema"), ("state", "ema")):
        model = load(edition(run, name), device="cpu", dtype="f32", weights=weights)  # pyright: ignore
        answers.append(answer(model))
        model.close()
    assert torch.equal(answers[0], answers[1])
    assert torch.equal(answers[0], answers[2])


@pytest.mark.parametrize("family", FAMILIES)
def test_all_editions_with_live_weights_paint_as_the_model_in_training(
    family: str, done: Done
) -> None:
    run, course = done(family)
    for name in ("live", "pruned", "state"):
        model = load(edition(run, name), device="cpu", dtype="f32")
        assert torch.equal(answer(model), answer(course.model))
        model.close()
    model = load(edition(run), device="cpu", dtype="f32")
    assert apart(answer(model), answer(course.model)) > 1e-4
    model.close()


def test_the_average_can_be_taken_out_of_the_pruned_edition(done: Done, tmp_path: Path) -> None:
    run, _ = done("sd1")
    ema(edition(run, "pruned"), tmp_path / "used.safetensors", action="use")
    with open_model(tmp_path / "used.safetensors") as used, open_model(edition(run)) as own:
        assert used.keys() == own.keys()
        assert all(bytes(used[name].read()) == bytes(own[name].read()) for name in own)


def test_the_text_encoder_learns_and_is_averaged(done: Done, small: Small) -> None:
    run, _ = done("sd1")
    name = "cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc1.weight"
    average = "model_ema." + name.replace(".", "")
    with open_model(edition(run, "pruned")) as file, open_model(small("sd1")) as base:
        values = [bytes(t.read()) for t in (file[name], file[average], base[name])]
    assert len(set(values)) == 3


def test_the_vae_stays_as_it_was_bit_for_bit(done: Done, small: Small) -> None:
    run, _ = done("sd1")
    with open_model(edition(run)) as file, open_model(small("sd1")) as base:
        names = [name for name in base if name.startswith("first_stage_model.")]
        assert names
        assert all(bytes(file[n].read()) == bytes(base[n].read()) for n in names)


@pytest.mark.parametrize("family", FAMILIES)
def test_torch_reads_the_training_state_without_running_anything(family: str, done: Done) -> None:
    run, course = done(family)
    state = cast("dict[str, Any]", torch.load(edition(run, "state"), weights_only=True))
    assert (state["global_step"], state["pytorch-lightning_version"]) == (3, "1.4.2")
    part = course.trainee.part
    assert isinstance(part, CheckpointPart)
    names = [name for network in part.learners for name in original_order(network)]
    weights = [torch.nn.Parameter(state["state_dict"][name]) for name in names]
    optimizer = torch.optim.AdamW(weights, lr=1.0)
    optimizer.load_state_dict(state["optimizer_states"][0])
    assert all(
        optimizer.state[weight]["exp_avg"].shape == weight.shape
        for weight in weights
        if weight in optimizer.state
    )
    assert len(optimizer.state) == sum(len(group.parameters) for group in part.groups())


def test_weights_are_numbered_as_the_original_trainer_lists_them(done: Done) -> None:
    _, course = done("sd1")
    names = original_order(course.model.networks[0])
    block = [name.split("transformer_blocks.0.")[1] for name in names if "middle_block.1.t" in name]
    parts = list(dict.fromkeys(name.split(".")[0] for name in block))
    assert parts == ["attn1", "ff", "attn2", "norm1", "norm2", "norm3"]
    assert names[0].startswith("model.diffusion_model.time_embed.")


def test_the_training_state_has_the_standard_schedule(done: Done) -> None:
    run, _ = done("sd1")
    with open_model(edition(run, "state")) as file:
        assert len([name for name in file if name in BUFFERS]) == 12
        assert not list(schedule(file))


def test_weights_that_nothing_reads_are_not_trained(done: Done) -> None:
    _, course = done("sd2")
    names = [name for group in course.trainee.groups() for name in group.parameters]
    assert not any(".resblocks.2." in name or "logit_scale" in name for name in names)
    assert any(".resblocks.1." in name for name in names)


def test_v_prediction_is_told_to_whoever_loads_the_file(
    small: Small, pictures: Path, tmp_path: Path
) -> None:
    objective = Objective(prediction="v", zero_snr=True)
    run = run_of(
        "checkpoint", small("sd1"), pictures, tmp_path / "v.safetensors", steps=1,
        objective=objective, save=ALL,
    )  # fmt: skip
    taught(run)
    for name in ("", "state"):
        model = load(edition(run, name), device="cpu")
        assert (model.prediction, model.zero_snr) == ("v", True)
        model.close()


@pytest.mark.parametrize("name", ["base.ckpt", "folder"])
def test_any_container_is_a_start_and_the_original_spelling_comes_out(
    name: str, small: Small, pictures: Path, tmp_path: Path
) -> None:
    base = tmp_path / name
    convert(small("sd1"), base, container=None if base.suffix else DIFFUSERS.name)
    run = run_of("checkpoint", base, pictures, tmp_path / "x.safetensors", steps=1)
    taught(run)
    with open_model(Path(run.output)) as file, open_model(small("sd1")) as original:
        assert original.keys() <= file.keys()
        assert {n for n in file if n not in original} == {
            "cond_stage_model.transformer.text_model.embeddings.position_ids"
        }


def test_zero_terminal_snr_needs_v(small: Small, pictures: Path, tmp_path: Path) -> None:
    run = run_of("checkpoint", small("sd1"), pictures, tmp_path / "x.safetensors")
    with pytest.raises(UsageError, match="prediction"):
        taught(replace(run, objective=Objective(zero_snr=True)))


@pytest.mark.parametrize("kind", ["sd1-inpainting", "sd1-ip2p"])
def test_models_that_take_another_picture_are_refused(
    kind: str, small: Small, pictures: Path, tmp_path: Path
) -> None:
    with pytest.raises(Refused, match="another picture"):
        taught(run_of("checkpoint", small(kind), pictures, tmp_path / "x.safetensors"))


@pytest.mark.slow
def test_two_pictures_are_learned_by_heart(small: Small, pictures: Path, tmp_path: Path) -> None:
    run = run_of(
        "checkpoint", small("sd1"), pictures, tmp_path / "x.safetensors", steps=120, batch=3,
        optimizer=Optimizer(rate=2e-3), objective=Objective(draws=3),
        data=Data(str(pictures), resolution=SIDE, validation=str(pictures)),
    )  # fmt: skip
    with opened(run) as model:
        assert model.prediction == "epsilon"
    course = taught(run)
    assert sum(course.losses[-10:]) < 0.7 * sum(course.losses[:10])
