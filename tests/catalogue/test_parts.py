"""Every tensor of a file belongs to exactly one part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from unread import CLIP, UNET, averages, golden, marker, sd1, sd2, sdxl, unread

from sfumato.catalogue.identify import identify
from sfumato.catalogue.regions import BUFFERS
from sfumato.catalogue.survey import group
from sfumato.catalogue.trees.control import CONTROL_SD1, control_shapes
from sfumato.catalogue.trees.unet import SD1, SD2, unet_shapes
from sfumato.catalogue.verdict import Part
from sfumato.containers.dtype import F8_E4M3, F32
from sfumato.containers.tensor import Origin, Tensors


def parts(model: Tensors) -> dict[str, Part]:
    found = identify(model).parts
    names = [name for part in found for name in part.names]
    assert sorted(names) == sorted(model)
    return {part.role: part for part in found}


def test_the_sums_of_a_published_checkpoint_are_the_known_ones(shared: Path) -> None:
    found = parts(golden(shared, "sd1"))
    assert found["unet"].parameters == 859_520_964
    assert (found["vae"].tensors, found["vae"].nbytes) == (248, 334_615_452)
    assert (found["text_encoder"].tensors, found["text_encoder"].expected) == (197, 197)
    assert (found["ema"].tensors, found["ema"].expected, found["ema"].missing) == (688, 688, ())
    assert found["buffers"].tensors == 12
    assert dict(found["text_encoder"].dtypes) == {"F32": 196, "I64": 1}


def test_averages_that_are_missing_are_named_as_they_would_be_in_the_file() -> None:
    copy = averages()
    gone = "model_ema.diffusion_modelout2weight"
    del copy[gone]
    assert parts(sd1() | copy)["ema"].missing == (gone,)


def test_training_leftovers_have_parts_of_their_own() -> None:
    training = {
        "optimizer_states.0.state.5.exp_avg": (8,),
        "callbacks.checkpoint.best": (),
        "loss.discriminator.main.0.weight": (64, 3, 4, 4),
        "first_stage_model.loss.logvar": (),
        "lr_schedulers.0.last": (1,),
        **dict.fromkeys(BUFFERS, (1000,)),
    }
    found = parts(sd1() | unread(training))
    assert found["optimizer"].tensors == 1 and found["training"].parameters >= 1
    assert found["buffers"].tensors == len(BUFFERS) and "unknown" not in found


def test_markers_are_a_part_and_not_left_over() -> None:
    found = parts(sdxl() | {"v_pred": marker(), "ztsnr": marker()})
    assert found["markers"].tensors == 2 and "unknown" not in found


def test_depth_and_unclip_models_list_their_extra_networks() -> None:
    depth = {f"depth_model.model.layer{i}.weight": (4,) for i in range(368)}
    found = parts(sd2(replace(SD2, inputs=5)) | unread(depth))
    assert (found["depth"].tensors, found["depth"].expected) == (368, 368)
    clip = {"embedder.model.ln_final.weight": (1024,), "noise_augmentor.data_std": (1024,)}
    assert parts(sd2(replace(SD2, labels=2048, class_labels=True)) | unread(clip))["vision"]


def test_a_stray_key_of_waifu_diffusion_belongs_to_its_text_encoder() -> None:
    stray = "cond_stage_model.model.transformer.text_model.embeddings.position_ids"
    found = parts(sd2(replace(SD2, inputs=9)) | unread({stray: (1, 77)}))
    assert stray in found["text_encoder"].names and "unknown" not in found


def test_lcm_adds_one_tensor_to_the_unet() -> None:
    extra = {UNET + "time_embed.cond_proj.weight": (320, 256)}
    found = parts(sd1() | unread(extra))
    assert found["unet"].tensors == 687 and found["unet"].complete


def test_scales_of_quantised_weights_are_not_left_over() -> None:
    scales = {f"{UNET}middle_block.0.in_layers.2.scale_weight": (), "scaled_fp8": (2,)}
    found = parts(sd1() | unread(scales))
    assert found["quantisation"].tensors == 1 and "unknown" not in found


def test_weights_with_scales_are_said_to_be_fp8() -> None:
    weights = unread(unet_shapes(SD1), UNET, F8_E4M3)
    scales = unread({f"{UNET}middle_block.0.in_layers.2.scale_weight": (), "scaled_fp8": (0,)})
    evidence = identify(sd1() | weights | scales).evidence
    assert "weights are fp8 with scales (scaled_fp8)" in evidence
    assert not any("fp8" in clause for clause in identify(sd1()).evidence)


def test_quantised_blocks_are_named_rather_than_what_they_are_read_as() -> None:
    blocks = Origin("data", 9, encoding="Q8_0")
    model = {
        name: replace(tensor, dtype=F32, origin=blocks if len(tensor.shape) == 2 else None)
        for name, tensor in unread(unet_shapes(SD1)).items()
    }
    verdict = identify(model)
    unet = verdict.parts[0]
    assert set(unet.dtypes) == {"Q8_0", "F32"} and sum(unet.dtypes.values()) == unet.tensors
    assert unet.nbytes == 4 * unet.parameters
    assert verdict.edition == "single set, Q8_0"
    count = unet.dtypes["Q8_0"]
    assert f"weights are stored in quantised blocks: Q8_0 ({count} tensors)" in verdict.evidence


def test_position_ids_of_another_shape_are_said_to_be_so() -> None:
    ids = CLIP + "text_model.embeddings.position_ids"
    assert parts(sd1() | unread({ids: (77,)}))["text_encoder"].reshaped


def test_a_controlnet_inside_a_checkpoint_is_a_part_of_it() -> None:
    verdict = identify(sd1() | unread(control_shapes(CONTROL_SD1), "control_model."))
    assert verdict.kind == "checkpoint"
    (control,) = (part for part in verdict.parts if part.role == "control")
    assert (control.tensors, control.complete) == (340, True)


def test_averages_whose_names_kept_their_dots_are_averages_too() -> None:
    dotted = unread(unet_shapes(SD1), "model_ema.diffusion_model.")
    assert parts(sd1() | dotted)["ema"].complete
    assert identify(dotted).edition == "EMA only, fp16"


@pytest.mark.parametrize("turn", range(3))
def test_names_are_grouped_by_the_longest_prefix_in_whatever_order(turn: int) -> None:
    names = ["a.x", "a.b.x", "a.b.c.x", "a.y", "a.b.y", "ab.x", "", "a.b", "a.b.c.y", "b.x"]
    names = [*names[turn:], *names[:turn]][:: turn % 2 * 2 - 1]
    groups = group(names, ("a.", "a.b.", "a.b.c.", "gone."))
    for prefix, members in groups.items():
        assert all(name.startswith(prefix) for name in members)
        inside = [p for p in groups if p != prefix and p.startswith(prefix)]
        assert not any(name.startswith(p) for p in inside for name in members)
    assert sorted(n for members in groups.values() for n in members) == sorted(names)
