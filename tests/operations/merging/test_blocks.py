"""Weights by block reach every tensor, each exactly once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mergeable import arrays, write
from sfumato.catalogue.families import UNETS
from sfumato.catalogue.trees.unet import UNet, unet_shapes
from sfumato.errors import UsageError
from sfumato.operations.merging.blocks import BASE, VAE, Blocks, blocks_of, weighing
from sfumato.operations.merging.merge import merge
from sfumato.operations.merging.presets import PRESETS, Preset
from small_models import UNET, VAE_PREFIX

PUBLISHED = {component.title: component.sizes for component in UNETS}
SD1, SDXL = Blocks(12, 12), Blocks(9, 9)


def names_of(unet: UNet) -> list[str]:
    text = "cond_stage_model.transformer.text_model.final_layer_norm.weight"
    return [*(UNET + name for name in unet_shapes(unet)), f"{VAE_PREFIX}quant_conv.bias", text]


@pytest.mark.parametrize("unet", PUBLISHED.values(), ids=PUBLISHED)
def test_every_tensor_is_in_exactly_one_block_and_no_block_is_empty(unet: UNet) -> None:
    names = names_of(unet)
    blocks = blocks_of(names)
    used = {blocks.of(name) for name in names}
    middle = any(".middle_block." in name for name in names)
    assert used == set(blocks.names) - (set() if middle else {"M00"})


def test_the_published_sizes_have_the_blocks_that_lists_are_made_for() -> None:
    assert blocks_of(names_of(PUBLISHED["SD1 UNet"])) == SD1
    assert blocks_of(names_of(PUBLISHED["SDXL UNet"])) == SDXL


@pytest.mark.parametrize("blocks", [SD1, SDXL, Blocks(4, 4)])
@pytest.mark.parametrize("extra", [0, 1, 2])
def test_a_list_gives_every_block_its_own_weight(blocks: Blocks, extra: int) -> None:
    values = [float(number + 1) for number in range(len(blocks.unet) + extra)]
    weigh = weighing(values, blocks, default=9.0)
    first = "model.diffusion_model.input_blocks.0.0.weight"
    assert weigh(first) == (1.0 if extra == 0 else 2.0)
    assert weigh("model.diffusion_model.out.2.bias") == float(len(blocks.unet) + (extra > 0))
    assert weigh("cond_stage_model.x") == (0.0 if extra == 0 else 1.0)
    assert weigh(f"{VAE_PREFIX}x") == {0: 0.0, 1: 1.0, 2: float(len(values))}[extra]


def test_a_list_for_sd1_is_cut_for_sdxl_as_supermerger_does() -> None:
    values = [float(number) for number in range(26)]
    weigh = weighing(values, SDXL, default=9.0)
    unet = "model.diffusion_model."
    assert [weigh(f"{unet}input_blocks.{n}.0.x") for n in range(9)] == values[1:10]
    assert weigh(f"{unet}middle_block.0.x") == 13.0
    assert [weigh(f"{unet}output_blocks.{n}.0.x") for n in range(9)] == values[14:23]
    assert (weigh("conditioner.x"), weigh(f"{VAE_PREFIX}x")) == (0.0, 0.0)


@pytest.mark.parametrize("count", [0, 2, 24, 28, 100])
def test_a_list_of_another_length_is_refused(count: int) -> None:
    with pytest.raises(UsageError, match="weights for 25 blocks"):
        weighing([0.5] * count, SD1, default=0.0)


def test_the_last_name_that_fits_wins() -> None:
    weigh = weighing("*=0.1,IN=0.2,IN04-IN06=0.3,in05=0.4,re:attn2=0.9,BASE=0.6", SD1, default=0.0)
    unet = "model.diffusion_model."
    assert weigh(f"{unet}output_blocks.3.0.x") == 0.1
    assert weigh(f"{unet}input_blocks.3.0.x") == 0.2
    assert weigh(f"{unet}input_blocks.4.0.x") == 0.3
    assert weigh(f"{unet}input_blocks.5.0.x") == 0.4
    assert weigh(f"{unet}input_blocks.5.1.attn2.x") == 0.9
    assert weigh("cond_stage_model.x") == 0.6


def test_what_no_name_fits_keeps_the_default() -> None:
    assert weighing({"OUT": 1.0}, SD1, default=0.5)("cond_stage_model.x") == 0.5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("IN12=0.5", "IN00-IN11"),
        ("gradv", "grad-v"),
        ("grad-v:a..b", "is no preset"),
        ("0.5,x", "is no weight"),
        ("nan", "is no weight"),
        ("re:(=0.5", "no regular expression"),
    ],
)
def test_what_names_no_block_is_refused_with_what_there_is(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        weighing(text, SD1, default=0.0)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
@pytest.mark.parametrize("blocks", [SD1, SDXL])
def test_presets_stay_within_their_range_and_leave_the_rest_alone(
    preset: Preset, blocks: Blocks
) -> None:
    weigh = weighing(f"{preset.name}:0.2..0.8", blocks, default=0.5)
    unet = "model.diffusion_model."
    values = [weigh(f"{unet}input_blocks.{n}.0.x") for n in range(blocks.down)]
    assert all(0.2 <= value <= 0.8 for value in values)
    assert (weigh("cond_stage_model.x"), weigh(f"{VAE_PREFIX}x")) == (0.0, 0.0)


def test_grad_v_has_its_least_in_the_middle() -> None:
    weigh = weighing("grad-v", SD1, default=0.0)
    unet = "model.diffusion_model."
    assert weigh(f"{unet}input_blocks.0.0.x") == weigh(f"{unet}out.2.x") == 1.0
    assert weigh(f"{unet}middle_block.0.x") == 0.0


def test_each_block_is_merged_with_its_own_weight(tmp_path: Path) -> None:
    a, b = write(tmp_path, "a", "b")
    merge([a, b], tmp_path / "m.safetensors", alpha={"*": 0.0, "OUT": 1.0, BASE: 0.25, VAE: 1.0})
    found, x, y = (arrays(path) for path in (tmp_path / "m.safetensors", a, b))
    for name in (n for n in x if n.startswith(UNET)):
        up = ".output_blocks." in name or name.startswith(f"{UNET}out.")
        assert np.allclose(found[name], (y if up else x)[name], atol=1e-6), name
    text = next(name for name in x if name.endswith("final_layer_norm.weight"))
    assert np.allclose(found[text], 0.75 * x[text] + 0.25 * y[text], atol=1e-6)
