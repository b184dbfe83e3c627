"""LoRAs for models of no published size: known by the names of their modules."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from unread import unread

from sfumato.catalogue.identify import identify
from sfumato.catalogue.spelling.networks import Module, unet_modules
from sfumato.catalogue.spelling.texts import clip_modules, openclip_modules
from sfumato.catalogue.trees.text import Text
from sfumato.catalogue.trees.unet import sizes
from sfumato.catalogue.verdict import Verdict
from sfumato.containers.tensor import Tensor

SMALL = sizes((64, 128, 256), (1, 1, 0), 1, 96, blocks=1)
DEEP = sizes((64, 128, 256, 256), (1, 1, 1, 0), 1, 96, blocks=3)
SDXL_LIKE = sizes((64, 128), (0, 3), 3, 160, labels=256, linear_projection=True)
CLIP, OPENCLIP = Text(96, 3, 192), Text(64, 5, 128, projection=64)

Layers = Iterable[tuple[str, Module]]


def layers(prefix: str, modules: Iterable[Module], *, ldm: bool = False) -> Layers:
    for module in modules:
        if len(module.shape) > 1 and "embed" not in module.ldm:
            path = module.ldm if ldm else module.diffusers
            yield prefix + path.replace(".", "_"), module


def lora(*parts: Layers, rank: int = 4) -> dict[str, Tensor]:
    shapes: dict[str, tuple[int, ...]] = {}
    for part in parts:
        for name, module in part:
            ones = (1,) * (len(module.shape) - 2)
            shapes[f"{name}.lora_down.weight"] = (rank, *module.shape[1:])
            shapes[f"{name}.lora_up.weight"] = (module.shape[0], rank, *ones)
            shapes[f"{name}.alpha"] = ()
    return unread(shapes)


def verdict(model: dict[str, Tensor], base: str = "") -> Verdict:
    return identify(model, metadata={"ss_base_model_version": base} if base else {})


@pytest.mark.parametrize("unet", [SMALL, DEEP])
def test_every_module_of_a_custom_size_is_known(unet: object) -> None:
    model = lora(
        layers("lora_unet_", unet_modules(unet)),  # pyright: ignore[reportArgumentType]
        layers("lora_te_", clip_modules(CLIP)),
    )
    found = verdict(model, "sd_v1")
    assert (found.kind, found.family, found.confidence) == ("lora", "sd1", "likely")
    assert found.title == "SD 1.x LoRA (LoCon), rank 4, custom size"
    assert found.adapter is not None
    assert found.adapter.known == found.adapter.modules == len(model) // 3
    assert found.adapter.possible == 0
    assert found.adapter.targets == ("unet", "text_encoder")
    assert not found.left_over
    assert any("for a model of custom size" in line for line in found.evidence)


def test_two_text_encoders_are_sdxls_whatever_the_metadata_leave_out() -> None:
    model = lora(
        layers("lora_unet_", unet_modules(SDXL_LIKE), ldm=True),
        layers("lora_te1_", clip_modules(CLIP)),
        layers("lora_te2_", openclip_modules(OPENCLIP)),
    )
    found = verdict(model)
    assert (found.family, found.confidence) == ("sdxl", "likely")


def test_without_metadata_names_alone_do_not_tell_the_family() -> None:
    found = verdict(lora(layers("lora_unet_", unet_modules(SMALL))))
    assert found.confidence == "guess"
    assert {"sd1", "sd2"} <= set(found.family.split("/"))


def test_one_strange_module_keeps_a_file_unknown() -> None:
    name = "lora_unet_left_blocks_0_strange"
    strange = unread({f"{name}.lora_down.weight": (4, 64), f"{name}.lora_up.weight": (64, 4)})
    found = verdict(lora(layers("lora_unet_", unet_modules(SMALL))) | strange)
    assert "custom" not in found.title


def test_published_sizes_are_never_called_custom() -> None:
    from sfumato.catalogue.trees.text import CLIP_L
    from sfumato.catalogue.trees.unet import SD1

    model = lora(layers("lora_unet_", unet_modules(SD1)), layers("lora_te_", clip_modules(CLIP_L)))
    found = verdict(model)
    assert (found.family, found.confidence) == ("sd1", "certain")
    assert "custom" not in found.title
