"""What every kind of LoRA does to weights, compared with LyCORIS and PEFT on small layers."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from paintable import SD1, UNET_PREFIX, write
from sfumato.catalogue.adapters.flavours import glora_is_old
from sfumato.catalogue.adapters.suffixes import split
from sfumato.catalogue.spelling.networks import unet_modules
from sfumato.engine.adapters.patches import Patches, Use
from sfumato.engine.loading.load import load
from sfumato.operations.adapters.deltas.kinds import BY_NAME, change, scale
from sfumato.operations.adapters.lora import read_lora

LAYERS: Mapping[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(24, 48),
    "square": lambda: nn.Linear(24, 24, bias=False),
    "1×1": lambda: nn.Conv2d(24, 48, 1),
    "3×3": lambda: nn.Conv2d(24, 48, 3, padding=1),
}


def layer(name: str) -> nn.Module:
    torch.manual_seed(len(name))
    return LAYERS[name]().requires_grad_(False)


def slots(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors by slot, from the names that a trainer gives them."""
    found: dict[str, Tensor] = {}
    for key, tensor in state.items():
        taken = split(f"module.{key}")
        assert taken is not None, key
        found[taken[1].slot] = tensor.detach().float()
    return found


def kind_of(flavour: str, found: Mapping[str, Tensor]) -> str:
    old = flavour == "glora" and glora_is_old({slot: tuple(t.shape) for slot, t in found.items()})
    return "glora-old" if old else flavour


def randomised(module: nn.Module, *, spread: float = 0.2) -> nn.Module:
    """The module with random numbers in place of those that training starts from."""
    torch.manual_seed(7)
    for name, parameter in module.named_parameters():
        if not name.startswith("base") and parameter.dtype.is_floating_point:
            around = 1.0 if "dora" in name or "rescale" in name else 0.0
            parameter.data = parameter.data * 0 + around + spread * torch.randn_like(parameter)
    return module


def run(layer: nn.Module, weight: Tensor, x: Tensor) -> Tensor:
    bias: Tensor | None = layer.bias  # type: ignore[assignment]
    if isinstance(layer, nn.Conv2d):
        return functional.conv2d(x, weight, bias, padding=layer.padding)
    return functional.linear(x, weight, bias)


def picture(layer: nn.Module) -> Tensor:
    return torch.randn(2, 24, 5, 4) if isinstance(layer, nn.Conv2d) else torch.randn(3, 24)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("LyCORIS").setLevel(logging.ERROR)


LYCORIS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "LoCon": ("LoConModule", "lora", {}),
    "LoCon with CP": ("LoConModule", "lora", {"use_tucker": True}),
    "LoCon, rank-stabilised": ("LoConModule", "lora", {"rs_lora": True}),
    "LoHa": ("LohaModule", "loha", {}),
    "LoHa with CP": ("LohaModule", "loha", {"use_tucker": True}),
    "LoKr": ("LokrModule", "lokr", {"factor": 4}),
    "LoKr, both factors products": ("LokrModule", "lokr", {"factor": 8, "decompose_both": True}),
    "LoKr, whole": ("LokrModule", "lokr", {"factor": 4, "full_matrix": True}),
    "LoKr with CP": ("LokrModule", "lokr", {"factor": 4, "use_tucker": True}),
    "GLoRA": ("GLoRAModule", "glora", {}),
    "IA3 of outputs": ("IA3Module", "ia3", {}),
    "IA3 of inputs": ("IA3Module", "ia3", {"train_on_input": True}),
    "OFT": ("DiagOFTModule", "oft", {}),
    "OFT, constrained": ("DiagOFTModule", "oft", {"constraint": 0.01}),
}
"""kinds whose change grows in proportion to the strength"""

BENDING: dict[str, tuple[str, str, dict[str, Any]]] = {
    "OFT, rescaled": ("DiagOFTModule", "oft", {"rescaled": True}),
    "BOFT": ("ButterflyOFTModule", "boft", {"lora_dim": 6}),
    "BOFT, rescaled": (
        "ButterflyOFTModule",
        "boft",
        {"lora_dim": 12, "rescaled": True, "constraint": 0.02},
    ),
    "DoRA of rows": ("LoConModule", "lora", {"weight_decompose": True}),
    "DoRA of columns": ("LoConModule", "lora", {"weight_decompose": True, "wd_on_out": False}),
    "DoRA over LoHa": ("LohaModule", "loha", {"weight_decompose": True}),
    "DoRA over LoKr": ("LokrModule", "lokr", {"weight_decompose": True, "factor": 4}),
}
"""kinds that LyCORIS interpolates in ways of its own: compared at strength 1"""


def lycoris(name: str, own: nn.Module, arguments: Mapping[str, Any], strength: float) -> nn.Module:
    import lycoris.modules.boft as boft
    import lycoris.modules.diag_oft as oft
    import lycoris.modules.glora as glora
    import lycoris.modules.ia3 as ia3
    import lycoris.modules.locon as locon
    import lycoris.modules.loha as loha
    import lycoris.modules.lokr as lokr

    places = (boft, oft, glora, ia3, locon, loha, lokr)
    build = next(vars(place)[name] for place in places if name in vars(place))
    return randomised(
        build("module", own, strength, **{"lora_dim": 2, "alpha": 3.0, **arguments})
    ).eval()


@pytest.mark.parametrize("sort", LAYERS)
@pytest.mark.parametrize("name", [*LYCORIS, *BENDING])
def test_a_change_is_the_one_that_lycoris_trains(name: str, sort: str) -> None:
    module, flavour, arguments = (LYCORIS | BENDING)[name]
    strength = 0.7 if name in LYCORIS else 1.0
    own = layer(sort)
    theirs = lycoris(module, own, arguments, strength)
    found = slots(theirs.state_dict())
    kind = BY_NAME[kind_of(flavour, found)]
    weight: Tensor = own.weight  # type: ignore[assignment]
    ours = weight + strength * change(kind, found, weight, scale=scale(kind, found))
    x = picture(own)
    expected = theirs(x)
    assert not torch.allclose(expected, own(x), atol=1e-3)
    torch.testing.assert_close(run(own, ours, x), expected, atol=2e-5, rtol=2e-5)


def test_old_glora_is_new_glora_with_its_factors_swapped() -> None:
    own = layer("linear")
    found = slots(lycoris("GLoRAModule", own, {}, 1.0).state_dict())
    swapped = {"a1": "a2", "a2": "a1", "b1": "b2", "b2": "b1"}
    old = {swapped.get(slot, slot): tensor for slot, tensor in found.items()}
    assert kind_of("glora", old) == "glora-old" and kind_of("glora", found) == "glora"
    weight: Tensor = own.weight  # type: ignore[assignment]
    new = change(BY_NAME["glora"], found, weight)
    assert torch.equal(change(BY_NAME["glora-old"], old, weight), new)


def test_whole_differences_and_norms_are_those_of_lycoris() -> None:
    from lycoris.modules.full import FullModule
    from lycoris.modules.norms import NormModule

    own, norm = nn.Linear(24, 48), nn.LayerNorm(24)
    weight, bias = own.weight.detach().clone(), own.bias.detach().clone()
    full = FullModule("module", own, 1.0)
    full.apply_to()
    full.weight.data += 0.3
    full.bias.data -= 0.2
    found = slots(full.state_dict())
    torch.testing.assert_close(weight + change(BY_NAME["full"], found, weight), full.weight.data)
    torch.testing.assert_close(bias + found["diff_b"], full.bias.data)
    gain, _ = randomised(NormModule("module", norm, 1.0)).get_merged_weight(0.5)
    added = slots(randomised(NormModule("module", norm, 1.0)).state_dict())["w_norm"]
    torch.testing.assert_close(norm.weight + 0.5 * added, gain)


# PEFT, through the folders that it writes.

BLOCK = "down_blocks.0.attentions.0.transformer_blocks.0"
PATHS = {f"{BLOCK}.attn1.to_q", f"{BLOCK}.attn2.to_k", f"{BLOCK}.attn1.to_out.0"}
CONVS = {"down_blocks.0.resnets.0.conv1", "down_blocks.0.attentions.0.proj_in"}


def network(paths: set[str], weights: Callable[[str], Tensor | None]) -> nn.Module:
    """Layers under diffusers' names that hold the weights of our small checkpoint."""
    root = nn.Module()
    root.forward = lambda x: x  # type: ignore[method-assign]
    for module in unet_modules(SD1):
        if module.diffusers not in paths:
            continue
        weight = weights(UNET_PREFIX + module.weight)
        bias = weights(UNET_PREFIX + module.weight.removesuffix("weight") + "bias")
        assert weight is not None
        outputs, inputs, *kernel = weight.shape
        leaf = (
            nn.Conv2d(inputs, outputs, kernel[0], padding=kernel[0] // 2)
            if kernel
            else nn.Linear(inputs, outputs, bias=bias is not None)
        )
        leaf.weight.data = weight.detach().clone(memory_format=torch.contiguous_format)
        if bias is not None:
            leaf.bias.data = bias.detach().clone()
        *parents, last = module.diffusers.split(".")
        here = root
        for name in parents:
            if not hasattr(here, name):
                here.add_module(name, nn.Module())
            here = here.get_submodule(name)
        here.add_module(last, leaf)
    return root


PEFT: dict[str, tuple[str, set[str], dict[str, Any]]] = {
    "LoRA": ("LoraConfig", PATHS, {"lora_alpha": 3}),
    "LoRA of convolutions": ("LoraConfig", CONVS, {"lora_alpha": 3}),
    "rank-stabilised": ("LoraConfig", PATHS, {"lora_alpha": 3, "use_rslora": True}),
    "patterns": (
        "LoraConfig",
        PATHS,
        {"rank_pattern": {"to_q": 3}, "alpha_pattern": {"attn1.to_q": 5, "to_k": 1}},
    ),
    "biases": ("LoraConfig", {f"{BLOCK}.attn1.to_out.0"}, {"lora_alpha": 3, "lora_bias": True}),
    "DoRA": ("LoraConfig", PATHS, {"lora_alpha": 3, "use_dora": True}),
    "DoRA of convolutions": ("LoraConfig", CONVS, {"lora_alpha": 3, "use_dora": True}),
    "LoHa": ("LoHaConfig", PATHS | CONVS, {"alpha": 3}),
    "LoHa of kernels": ("LoHaConfig", CONVS, {"alpha": 3, "use_effective_conv2d": True}),
    "LoKr": ("LoKrConfig", PATHS | CONVS, {"alpha": 3}),
    "LoKr of kernels": ("LoKrConfig", CONVS, {"alpha": 3, "use_effective_conv2d": True}),
    "LoKr, both products": ("LoKrConfig", PATHS, {"alpha": 3, "decompose_both": True}),
    "OFT": ("OFTConfig", PATHS, {"oft_block_size": 8, "r": 0}),
    "OFT, inverted": (
        "OFTConfig",
        PATHS | CONVS,
        {"oft_block_size": 8, "r": 0, "use_cayley_neumann": False},
    ),
    "OFT, one block": ("OFTConfig", PATHS, {"oft_block_size": 8, "r": 0, "block_share": True}),
    "IA3": ("IA3Config", PATHS, {"feedforward_modules": []}),
    "IA3 of inputs": ("IA3Config", PATHS, {"feedforward_modules": ["to_k", "to_q"]}),
}


@pytest.mark.parametrize("name", PEFT)
def test_a_folder_of_peft_gives_the_weights_that_peft_merges(name: str, tmp_path: Path) -> None:
    import peft

    config, paths, arguments = PEFT[name]
    model = load(write(tmp_path / "model.safetensors"), device="cpu")
    torch.manual_seed(3)
    targets = sorted({path.rpartition(".")[2] if ".0" not in path[-2:] else path for path in paths})
    if config != "IA3Config":
        arguments = {"r": 2, **arguments}
    told = vars(peft)[config](target_modules=targets, **arguments)
    theirs = peft.get_peft_model(network(paths, model.parameter), told)
    for key, parameter in theirs.named_parameters():
        if parameter.requires_grad:
            around = 1.0 if "ia3_l" in key or "magnitude" in key else 0.0
            parameter.data = around + 0.1 * torch.randn_like(parameter)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it takes every bias for damage
        theirs.save_pretrained(tmp_path / "adapter")
    merged = theirs.merge_and_unload()
    with Patches(model) as patches:
        lora = read_lora(tmp_path / "adapter", model.target)
        (report,) = patches.set([Use(lora)])
        assert report.applied == report.total > 0 and not report.notes
        for module in unet_modules(SD1):
            if module.diffusers in paths:
                ours = model.parameter(UNET_PREFIX + module.weight)
                leaf = merged.get_submodule(module.diffusers)
                torch.testing.assert_close(ours, leaf.weight, atol=1e-5, rtol=1e-5)
                key = UNET_PREFIX + module.weight.removesuffix("weight") + "bias"
                torch.testing.assert_close(model.parameter(key), leaf.bias, atol=1e-5, rtol=1e-5)
        lora.close()
    model.close()
