"""LoRA files that were extracted, resized, translated: read and computed by other programs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lora_toys import apart, deltas, write_lora
from paintable import SD1, UNET_PREFIX, write
from sfumato.catalogue.spelling.networks import Module, unet_modules
from sfumato.containers.open import open_model
from sfumato.operations.adapters.opened import target_of_file
from sfumato.operations.into_torch import read_into
from sfumato.operations.lora.factor import factorise
from sfumato.operations.lora.merging import merge
from sfumato.operations.lora.translate import translate

LINEAR = ("attn1.to_q", "attn2.to_k", "ff.net.2")
CONVS = ("resnets.0.conv1", "proj_in")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("models") / "sd1.safetensors")


@pytest.fixture(autouse=True)
def quiet() -> None:
    logging.getLogger("LyCORIS").setLevel(logging.ERROR)


def chosen(only: tuple[str, ...]) -> list[Module]:
    return [m for m in unet_modules(SD1) if any(part in m.diffusers for part in only)]


def network(model: Path, only: tuple[str, ...]) -> nn.Module:
    """Layers under diffusers' names with a model's weights."""
    root = nn.Module()
    with open_model(model) as file:
        target = target_of_file(file)
        for module in chosen(only):
            own = target.tensors[UNET_PREFIX + module.weight]
            outputs, inputs, *kernel = own.shape
            leaf = (
                nn.Conv2d(inputs, outputs, kernel[0], padding=kernel[0] // 2, bias=False)
                if kernel else nn.Linear(inputs, outputs, bias=False)
            )  # fmt: skip
            read_into(leaf.weight, own)
            *parents, last = module.diffusers.split(".")
            here = root
            for name in parents:
                if not hasattr(here, name):
                    here.add_module(name, nn.Module())
                here = here.get_submodule(name)
            here.add_module(last, leaf.requires_grad_(False))
    return root


def weights(network: nn.Module, only: tuple[str, ...]) -> dict[str, Tensor]:
    return {
        UNET_PREFIX + module.weight: network.get_submodule(module.diffusers).weight.detach().clone()  # type: ignore[union-attr, operator]
        for module in chosen(only)
    }


def added(after: Mapping[str, Tensor], before: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: weight - before[key] for key, weight in after.items()}


@pytest.mark.parametrize("only", [LINEAR, CONVS])
def test_peft_computes_what_a_translated_lora_says(
    model: Path, tmp_path: Path, only: tuple[str, ...]
) -> None:
    import peft

    own = write_lora(tmp_path / "own.safetensors", model, only=only)
    translate(own, tmp_path / "peft.safetensors", spelling="peft", model=model)
    state = load_file(tmp_path / "peft.safetensors")
    unet = {k.removeprefix("unet."): v for k, v in state.items() if k.startswith("unet.")}
    theirs = network(model, only)
    before = weights(theirs, only)
    told = peft.LoraConfig(
        r=4, lora_alpha=4, target_modules=sorted({m.diffusers for m in chosen(only)})
    )
    theirs.forward = lambda x: x  # type: ignore[method-assign]
    adapted = peft.get_peft_model(theirs, told)
    named = {f"base_model.model.{key}": value for key, value in unet.items()}
    found: Any = peft.set_peft_model_state_dict(adapted, named)
    assert not found.unexpected_keys
    merged = adapted.merge_and_unload()
    ours = {key: d for key, d in deltas(own, model).items() if key.startswith(UNET_PREFIX)}
    assert apart(ours, added(weights(merged, only), before)) < 1e-4


@pytest.mark.parametrize("kind", ["lora", "cp", "loha", "full"])
def test_lycoris_computes_what_a_translated_lora_says(
    model: Path, tmp_path: Path, kind: str
) -> None:
    from lycoris import create_lycoris_from_weights

    only = ("resnets.0.conv1",) if kind == "cp" else LINEAR + CONVS
    own = write_lora(tmp_path / "own.safetensors", model, kind, only=only)
    translate(own, tmp_path / "lycoris.safetensors", spelling="lycoris", model=model)
    state = load_file(tmp_path / "lycoris.safetensors")
    theirs = network(model, only)
    before = weights(theirs, only)
    wrapper, _ = create_lycoris_from_weights(1.0, None, theirs, weights_sd=state)
    wrapper.merge_to(1.0)
    ours = {key: d for key, d in deltas(own, model).items() if key.startswith(UNET_PREFIX)}
    # LyCORIS' own merging may multiply LoHa by its scale twice; alpha 2 of rank 4 is 1/2.
    factor = 0.5 if kind == "loha" else 1.0
    found = added(weights(theirs, only), before)
    best = min(apart(ours, found), apart({k: factor * d for k, d in ours.items()}, found))
    assert best < 1e-4


def test_plain_lora_of_loha_is_what_lycoris_computes(model: Path, tmp_path: Path) -> None:
    from lycoris import create_lycoris_from_weights

    own = write_lora(tmp_path / "own.safetensors", model, "loha", only=LINEAR)
    translate(own, tmp_path / "plain.safetensors", spelling="lycoris", rank=64, model=model)
    theirs = network(model, LINEAR)
    before = weights(theirs, LINEAR)
    state = load_file(tmp_path / "plain.safetensors")
    wrapper, _ = create_lycoris_from_weights(1.0, None, theirs, weights_sd=state)
    wrapper.merge_to(1.0)
    ours = {key: d for key, d in deltas(own, model).items() if key.startswith(UNET_PREFIX)}
    assert apart(ours, added(weights(theirs, LINEAR), before)) < 1e-4


def test_diffusers_reads_kohyas_names_as_it_reads_the_translation(
    model: Path, tmp_path: Path
) -> None:
    from diffusers import StableDiffusionPipeline

    only = ("attn1.to_q", "attn2.to_out.0", "q_proj", "proj_in")
    own = write_lora(tmp_path / "own.safetensors", model, only=only)
    translate(own, tmp_path / "peft.safetensors", spelling="diffusers", model=model)
    state, alphas = StableDiffusionPipeline.lora_state_dict(load_file(own))
    again, none = StableDiffusionPipeline.lora_state_dict(load_file(tmp_path / "peft.safetensors"))
    assert not none and set(again) == set(load_file(tmp_path / "peft.safetensors"))
    assert {float(alpha) for alpha in alphas.values()} == {2.0}
    for key in state:  # alpha 2 of rank 4
        if ".up." in key or ".lora_B." in key:
            state[key] = state[key] * 0.5
    save_file({k: v.contiguous() for k, v in state.items()}, tmp_path / "theirs.safetensors")
    theirs = deltas(tmp_path / "theirs.safetensors", model)
    assert apart(deltas(tmp_path / "peft.safetensors", model), theirs) < 1e-6


@pytest.mark.parametrize("shape", [(24, 40), (16, 8, 3, 3)])
def test_an_exact_extraction_is_that_of_lycoris(shape: tuple[int, ...]) -> None:
    from lycoris.utils import extract_conv, extract_linear

    torch.manual_seed(0)
    change = torch.randn(shape)
    take = extract_conv if len(shape) == 4 else extract_linear
    (down, up, *_), _ = take(change.clone(), mode="fixed", mode_param=4)
    ours_up, ours_down = factorise(change.flatten(1), 4, exact=True).halves(4)
    theirs = up.detach().flatten(1) @ down.detach().flatten(1)
    torch.testing.assert_close(ours_up @ ours_down, theirs, atol=1e-5, rtol=1e-4)


def test_a_merge_is_what_peft_adds_up(model: Path, tmp_path: Path) -> None:
    """PEFT's `add_weighted_adapter` by concatenation, beside ours by either way."""
    import peft

    one = write_lora(tmp_path / "one.safetensors", model, only=LINEAR)
    theirs = network(model, LINEAR)
    theirs.forward = lambda x: x  # type: ignore[method-assign]
    targets = sorted({m.diffusers for m in chosen(LINEAR)})
    told = peft.LoraConfig(r=4, lora_alpha=4, target_modules=targets)
    translate(one, tmp_path / "peft.safetensors", spelling="peft", model=model)
    unet = load_file(tmp_path / "peft.safetensors")
    named = {
        k.replace("unet.", "base_model.model.", 1): v for k, v in unet.items() if k[:5] == "unet."
    }
    adapted = peft.get_peft_model(theirs, told, adapter_name="first")
    adapted.add_adapter("second", told)
    for name in ("first", "second"):
        peft.set_peft_model_state_dict(adapted, named, adapter_name=name)
    adapted.add_weighted_adapter(["first", "second"], [0.7, 0.2], "both", combination_type="cat")
    adapted.set_adapter("both")
    before = weights(network(model, LINEAR), LINEAR)
    after = added(weights(adapted.merge_and_unload(), LINEAR), before)
    for concat in (True, False):
        target = tmp_path / f"both{concat}.safetensors"
        merge([(one, 0.7), (one, 0.2)], target, concat=concat, model=model)
        ours = {k: d for k, d in deltas(target, model).items() if k.startswith(UNET_PREFIX)}
        assert apart(ours, after) < 1e-4
