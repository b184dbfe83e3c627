"""Shape trees have the keys, the shapes and the sums of the published networks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from unread import CLIP, UNET, VAE, golden

from sfumato.catalogue.trees.control import CONTROL_SD1, control_shapes
from sfumato.catalogue.trees.shapes import Shapes, flatten, linear, parameters, sequence
from sfumato.catalogue.trees.text import clip_l, openclip_g, openclip_h
from sfumato.catalogue.trees.unet import REFINER, SD1, SD2, SDXL, unet, unet_shapes
from sfumato.catalogue.trees.vae import vae

COUNTS = [
    ("SD1", unet_shapes(SD1), 686, 859_520_964),
    ("SD1 inpainting", unet_shapes(replace(SD1, inputs=9)), 686, 859_535_364),
    ("SD1 ip2p", unet_shapes(replace(SD1, inputs=8)), 686, 859_532_484),
    ("SD2", unet_shapes(SD2), 686, 865_910_724),
    ("SD2 inpainting", unet_shapes(replace(SD2, inputs=9)), 686, 865_925_124),
    ("SD2 depth", unet_shapes(replace(SD2, inputs=5)), 686, 865_913_604),
    ("SDXL", unet_shapes(SDXL), 1680, 2_567_463_684),
    ("refiner", unet_shapes(REFINER), 1220, 2_259_526_660),
    ("VAE", vae(), 248, 83_653_863),
    ("CLIP-L", clip_l(), 196, 123_060_480),
    ("CLIP-H", openclip_h(), 294, 354_032_641),
    ("CLIP-bigG", openclip_g(), 390, 694_659_841),
    ("ControlNet", control_shapes(CONTROL_SD1), 340, 361_279_120),
]


@pytest.mark.parametrize(("tree", "keys", "numbers"), [c[1:] for c in COUNTS], ids=lambda _: "")
def test_a_tree_has_as_many_keys_and_parameters_as_the_published_network(
    tree: Shapes, keys: int, numbers: int
) -> None:
    assert (len(tree), parameters(tree)) == (keys, numbers)


SD1_PARTS = [("diffuser", UNET, unet_shapes(SD1)), ("vae", VAE, vae()), ("clip_l", CLIP, clip_l())]
SDXL_PARTS = [
    ("diffuser", UNET, unet_shapes(SDXL)),
    ("vae", VAE, vae()),
    ("clip_l", "conditioner.embedders.0.transformer.", clip_l()),
    ("clip_g", "conditioner.embedders.1.model.", openclip_g()),
]
BESIDE = {"v_pred", "ztsnr", "edm_vpred.sigma_max", "edm_vpred.sigma_min"}


@pytest.mark.parametrize(
    ("name", "part", "prefix", "tree"),
    [("sd1", *row) for row in SD1_PARTS] + [("sdxl", *row) for row in SDXL_PARTS],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_key_and_shape_is_the_one_another_tool_lists(
    shared: Path, name: str, part: str, prefix: str, tree: Shapes
) -> None:
    listed = {key: tensor.shape for key, tensor in golden(shared, name, [part]).items()}
    ours = {prefix + key: shape for key, shape in tree.items()}
    assert not ours.items() - listed.items()
    assert {k for k in listed.keys() - ours.keys() if "position_ids" not in k} <= BESIDE


def test_a_sequence_numbers_its_children_and_skips_layers_without_weights() -> None:
    tree = sequence(linear(2, 3), None, linear(3, 1, bias=False))
    assert flatten(tree) == {"0.weight": (3, 2), "0.bias": (3,), "2.weight": (1, 3)}


def test_the_upsampler_takes_the_next_free_number() -> None:
    tree = unet((32, 64), (1, 0), 1, 16)
    assert "output_blocks.2.1.conv.weight" in tree
    assert "output_blocks.5.2.conv.weight" in unet((32, 64, 64), (0, 1, 1), 1, 16)
