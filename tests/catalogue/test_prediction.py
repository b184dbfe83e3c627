"""What a denoiser predicts comes from the first source that says so."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from unread import UNET, marker, sd1, sd2, sdxl, unread

from sfumato.catalogue.identify import identify
from sfumato.catalogue.trees.unet import SD2, unet_shapes
from sfumato.catalogue.verdict import Prediction
from sfumato.containers.arrays import tensor_from
from sfumato.containers.dtype import BF16, F16, F32, DType
from sfumato.containers.tensor import Buffer, Tensor
from sfumato.errors import Damaged

DECIDER = UNET + "output_blocks.11.1.transformer_blocks.0.norm1.bias"


def predicted(model: dict[str, Tensor], **beside: dict[str, str]) -> Prediction:
    prediction = identify(model, **beside).prediction  # pyright: ignore[reportArgumentType]
    assert prediction is not None and prediction.reason
    return prediction


def spread(sigma: float, dtype: DType = F32) -> dict[str, Tensor]:
    values = np.random.default_rng(0).normal(0, sigma, 320).astype("<f4")
    return {DECIDER: tensor_from(values, dtype)}


@pytest.mark.parametrize("dtype", [F32, F16, BF16], ids=str)
def test_one_small_tensor_tells_the_two_sorts_of_sd2_apart(dtype: DType) -> None:
    assert predicted(sd2() | spread(0.2, dtype)).type == "v"
    told = predicted(sd2() | spread(0.02, dtype))
    assert told.type == "epsilon" and "were read" in told.reason
    assert identify(sd2() | spread(0.2)).variant == "v-prediction"


def test_only_plain_sd2_has_to_be_read() -> None:
    for model in (sd1(), sdxl(), sd2(replace(SD2, inputs=9)), sd2(replace(SD2, inputs=5))):
        assert predicted(model).type == "epsilon"


def test_metadata_come_before_markers_and_markers_before_numbers() -> None:
    said = {"modelspec.prediction_type": "v"}
    assert predicted(sd2() | spread(0.01), metadata=said).type == "v"
    epsilon = {"modelspec.prediction_type": "epsilon"}
    assert predicted(sdxl() | {"v_pred": marker()}, metadata=epsilon).type == "epsilon"
    assert predicted(sd2() | spread(0.01) | {"v_pred": marker()}).type == "v"


def test_markers_of_sdxl_are_understood() -> None:
    told = predicted(sdxl() | {"v_pred": marker(), "ztsnr": marker()})
    assert (told.type, told.zero_terminal_snr) == ("v", True)
    assert predicted(sdxl() | {"edm_vpred.sigma_max": marker()}).type == "edm"
    assert predicted(sdxl() | {"edm_mean": marker(), "edm_std": marker()}).type == "edm"
    assert predicted(sdxl()).zero_terminal_snr is False


def test_a_folders_scheduler_says_what_its_unet_predicts() -> None:
    said = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
    metadata = {"scheduler/scheduler_config.json": json.dumps(said)}
    told = predicted(sd1(), metadata=metadata)
    assert (told.type, told.zero_terminal_snr) == ("v", True)


def test_the_step_of_a_published_checkpoint_is_known() -> None:
    verdict = identify(sd2(), extras={"global_step": 875000})
    assert verdict.prediction is not None and verdict.prediction.type == "epsilon"


def test_a_decider_that_cannot_be_read_leaves_the_default() -> None:
    def broken() -> Buffer:
        raise Damaged("x.ckpt", "ends too early")

    model = sd2() | {DECIDER: Tensor(F32, (320,), broken)}
    assert predicted(model).type == "epsilon"
    huge = sd2() | unread({DECIDER: (1 << 40,)}, dtype=F32)
    assert predicted(huge).type == "epsilon"
    bare = unread(unet_shapes(SD2))
    del bare[DECIDER.removeprefix(UNET)]
    assert "not there" in predicted(bare).reason


def test_nothing_is_read_of_an_sd2_layout_of_another_size() -> None:
    tiny = replace(SD2, widths=(32, 64, 64, 64), context=24)
    assert predicted(sd2(tiny)).type == "epsilon"


def test_unclip_and_the_upscaler_predict_v() -> None:
    unclip = sd2(replace(SD2, labels=2048, class_labels=True))
    assert predicted(unclip).type == "v" and identify(unclip).variant == "unclip-h"
