"""Weights go from a file into a network once, whole and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ledger import Ledger
from sfumato.catalogue.trees.text import Text, clip_shapes
from sfumato.catalogue.trees.unet import sizes, unet_shapes
from sfumato.containers.arrays import array, tensor_from
from sfumato.containers.dtype import BF16, F4, F8_E4M3, F8_E5M2, F16, F32, F64, DType
from sfumato.containers.open import open_model
from sfumato.containers.save import save
from sfumato.containers.tensor import Buffer, Tensor
from sfumato.engine.networks.build import build
from sfumato.engine.networks.fill import fill
from sfumato.errors import Damaged, Unsupported
from sfumato.operations.into_torch import read_into
from toys import random_tensor, random_tensors

CPU = torch.device("cpu")
UNET = sizes((16, 32), (1, 0), 1, 24, blocks=1)
SHAPES = unet_shapes(UNET)
TEXT = Text(32, 1, 64, vocabulary=50)


def test_every_weight_is_the_files_own() -> None:
    tensors, network = random_tensors(SHAPES), build(UNET)
    fill(network, tensors, device=CPU, dtype=torch.float32)
    for name, weight in network.state_dict().items():
        assert np.array_equal(weight.numpy(), array(tensors[name]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("stored", [F64, F32, F16, BF16, F8_E4M3, F8_E5M2], ids=str)
def test_weights_are_cast_once_and_rounded_as_torch_does(stored: DType, dtype: torch.dtype) -> None:
    tensor = random_tensor((40, 3, 3, 3), stored)
    if stored == F64:
        tensor = tensor_from(np.random.default_rng(0).standard_normal((40, 3, 3, 3)))
    expected = torch.from_numpy(array(tensor).copy()).to(dtype)
    for layout in (torch.contiguous_format, torch.channels_last):
        weight = torch.empty(40, 3, 3, 3, dtype=dtype).to(memory_format=layout)
        read_into(weight, tensor)
        assert torch.equal(weight, expected)


def test_reading_into_a_weight_restores_it_bit_for_bit_in_its_own_memory() -> None:
    tensors, network = random_tensors(SHAPES, F16), build(UNET)
    fill(network, tensors, device=CPU, dtype=torch.float32)
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(torch.randn_like(weight))
    for name, weight in network.named_parameters():
        place = weight.data_ptr()
        read_into(weight, tensors[name])
        assert torch.equal(weight, before[name]) and weight.data_ptr() == place


@pytest.mark.parametrize("cuts", [1, 7, 1000])
def test_pieces_may_end_anywhere_between_elements(cuts: int) -> None:
    whole = random_tensor((6, 5, 3, 3), F16)
    data = bytes(whole.read())

    def pieces() -> Iterator[Buffer]:
        for start in range(0, len(data), 2 * cuts):
            yield data[start : start + 2 * cuts]

    for layout in (torch.contiguous_format, torch.channels_last):
        weight = torch.empty(6, 5, 3, 3).to(memory_format=layout)
        read_into(weight, replace(whole, pieces=pieces))
        assert np.array_equal(weight.numpy(), array(whole))


@pytest.mark.parametrize("container", ["model.safetensors", "model.ckpt"])
def test_a_file_of_any_container_fills_a_network(tmp_path: Path, container: str) -> None:
    tensors, network = random_tensors(SHAPES, F16), build(UNET)
    save(tmp_path / container, tensors)
    with open_model(tmp_path / container) as file:
        fill(network, file, device=CPU, dtype=torch.float32)
    assert np.array_equal(
        network.state_dict()["out.2.weight"].numpy(), array(tensors["out.2.weight"])
    )


@pytest.mark.parametrize("stored", [F16, F32], ids=str)
def test_filling_never_holds_two_copies(stored: DType) -> None:
    shapes = {f"{i}.weight": (256, 256, 3, 3) for i in range(8)}
    drawn = random_tensor((256, 256, 3, 3), stored)
    network = torch.nn.Sequential(
        *(torch.nn.Conv2d(256, 256, 3, bias=False, device="meta") for _ in range(8))
    )
    with Ledger() as ledger:
        fill(network, dict.fromkeys(shapes, drawn), device=CPU, dtype=torch.float32)
        weights = sum(weight.nbytes for weight in network.parameters())
    assert weights <= ledger.most <= weights + drawn.nbytes + 4 * 256 * 9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"out.2.bias": None}, "out.2.bias is missing"),
        ({"out.2.bias": random_tensor((5,))}, r"out.2.bias is \[5\], expected \[4\]"),
        (
            {"out.2.bias": None, "out.2.biass": random_tensor((4,))},
            "out.2.bias is missing; the nearest name is out.2.biass",
        ),
        ({"a\x1bb": random_tensor((4,))}, r"a\\x1bb belongs to no layer"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_changed(
    change: dict[str, Tensor | None], message: str
) -> None:
    tensors = {n: t for n, t in {**random_tensors(SHAPES), **change}.items() if t is not None}
    network = build(UNET)
    with pytest.raises(Damaged, match=f"^odd.ckpt: {message}"):
        fill(network, tensors, device=CPU, dtype=torch.float32, source="odd.ckpt")
    assert all(weight.is_meta for weight in network.parameters())


def test_position_ids_are_left_out_knowingly() -> None:
    tensors = random_tensors(clip_shapes(TEXT))
    tensors["text_model.embeddings.position_ids"] = tensor_from(np.arange(77)[None])
    network = build(TEXT)
    fill(network, tensors, device=CPU, dtype=torch.float32)
    assert not any(weight.is_meta for weight in network.parameters())


def test_a_tensor_that_ends_early_or_has_no_numbers_is_refused() -> None:
    short = Tensor(F32, (4,), lambda: bytes(12))
    with pytest.raises(Damaged, match="ends after 3 of 4"):
        read_into(torch.empty(4), short)
    with pytest.raises(Unsupported, match="of type F4"):
        read_into(torch.empty(4), Tensor(F4, (4,), lambda: bytes(2)))
    with pytest.raises(Damaged, match=r"is \[4\], not \[5\]"):
        read_into(torch.empty(5), short)
