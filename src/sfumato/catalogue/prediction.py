"""What a denoiser was trained to predict: noise, velocity, flow; and where that is known from."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from math import sqrt
from typing import Literal

from sfumato.catalogue.configs import settings
from sfumato.catalogue.verdict import Prediction
from sfumato.containers.dtype import BF16, F16, F32
from sfumato.containers.model_file import Leaf
from sfumato.containers.tensor import Tensor, Tensors
from sfumato.errors import SfumatoError

Type = Literal["epsilon", "v", "flow", "edm", "unknown"]

SCHEDULER = "scheduler/scheduler_config.json"

SPREAD_KEY = "output_blocks.11.1.transformer_blocks.0.norm1.bias"
SPREAD_DIFFUSERS = "up_blocks.3.attentions.2.transformer_blocks.0.norm1.bias"
SPREAD = 0.09
"""standard deviation of that bias above which an SD2 UNet predicts v (ComfyUI's rule)"""

LARGEST = 4096
"""elements of that bias that are read at most; it has 320"""

STEPS: dict[int, Type] = {875000: "epsilon", 220000: "epsilon", 110000: "v"}
"""training steps of the published SD2 checkpoints (diffusers, InvokeAI)"""

WORDS: dict[str, Type] = {
    "epsilon": "epsilon",
    "eps": "epsilon",
    "v": "v",
    "v_prediction": "v",
    "v-prediction": "v",
    "flow": "flow",
    "flow_prediction": "flow",
}
"""what metadata calls them"""


def predict(
    family: str,
    variant: str,
    prefix: str | None,
    *,
    model: Tensors,
    metadata: Mapping[str, str],
    extras: Mapping[str, Leaf],
) -> Prediction:
    """What the denoiser at `prefix` predicts, from the first source that says so.

    prefix: None for a denoiser of no published size, whose numbers tell nothing.
    """
    zero = _zero_snr(model, metadata)
    found = _from_metadata(metadata) or _from_markers(model) or _from_family(family, variant)
    if found is None and family == "sd2":
        found = _from_steps(extras)
        if found is None and prefix is not None:
            found = _from_spread(prefix, model)
    if found is None:
        return Prediction("epsilon", USUAL, zero, assumed=True)
    return Prediction(found[0], found[1], zero, assumed=found[1] == UNTOLD)


Found = tuple[Type, str] | None

USUAL = "nothing says otherwise, and models of this family usually do"
UNTOLD = "the tensor that would tell is not there; the 512-pixel base predicts noise"


def _from_metadata(metadata: Mapping[str, str]) -> Found:
    said = metadata.get("modelspec.prediction_type", "")
    if said.lower() in WORDS:
        return WORDS[said.lower()], "the metadata say so (modelspec.prediction_type)"
    said = settings(metadata, SCHEDULER).get("prediction_type")
    if isinstance(said, str) and said in WORDS:
        return WORDS[said], "scheduler_config.json says so"
    return None


def _from_markers(model: Tensors) -> Found:
    if "edm_vpred.sigma_max" in model:
        return "edm", "the tensor edm_vpred.sigma_max marks v-prediction in EDM's terms (CosXL)"
    if "edm_mean" in model and "edm_std" in model:
        return "edm", "the tensors edm_mean and edm_std mark EDM (Playground 2.5)"
    if "v_pred" in model:
        return "v", "the tensor v_pred marks it"
    return None


FAMILIES: Mapping[tuple[str, str], tuple[Type, str]] = {
    ("sd3", ""): ("flow", "SD3 models are rectified flows"),
    ("flux", ""): ("flow", "Flux models are rectified flows"),
    ("flux2", ""): ("flow", "Flux models are rectified flows"),
    ("svd", ""): ("edm", "Stable Video Diffusion predicts v in EDM's terms"),
    ("sd2", "unclip-l"): ("v", "SD 2.1 unCLIP models predict v"),
    ("sd2", "unclip-h"): ("v", "SD 2.1 unCLIP models predict v"),
    ("sd2", "upscaler-x4"): ("v", "the x4 upscaler predicts v"),
    ("sd2", "turbo"): ("epsilon", "SD-Turbo predicts noise"),
    ("sd2", "inpainting"): ("epsilon", "SD 2 inpainting models predict noise"),
    ("sd2", "depth"): ("epsilon", "SD 2 depth models predict noise"),
    ("sdxl-refiner", ""): ("epsilon", "the SDXL refiner predicts noise"),
}
"""family, variant → what all of them predict; an empty variant stands for any"""


def _from_family(family: str, variant: str) -> Found:
    return FAMILIES.get((family, variant)) or (
        FAMILIES.get((family, "")) if family != "sd2" else None
    )


def _from_steps(extras: Mapping[str, Leaf]) -> Found:
    step = extras.get("global_step")
    if isinstance(step, int) and step in STEPS:
        return STEPS[step], f"it stopped at step {step}, as the published checkpoint did"
    return None


def _from_spread(prefix: str, model: Tensors) -> Found:
    """Read one small tensor whose numbers lie further apart in models that predict v."""
    for key in (SPREAD_KEY, SPREAD_DIFFUSERS):
        tensor = model.get(prefix + key)
        spread = None if tensor is None else _spread(tensor)
        if spread is not None:
            kind: Type = "v" if spread > SPREAD else "epsilon"
            sign = ">" if spread > SPREAD else "≤"
            reason = f"the numbers of {prefix}{key} were read: spread {spread:.3f} {sign} {SPREAD}"
            return kind, reason
    return "epsilon", UNTOLD


def _spread(tensor: Tensor) -> float | None:
    """Sample standard deviation, as torch computes it; None where it cannot be read."""
    unpack = UNPACK.get(tensor.dtype.name)
    if unpack is None or not 1 < tensor.size <= LARGEST:
        return None
    try:
        raw = bytes(tensor.read())
    except SfumatoError:
        return None
    if len(raw) != tensor.nbytes:
        return None
    values = unpack(raw)
    mean = sum(values) / len(values)
    return sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))


def _halves(raw: bytes) -> tuple[float, ...]:
    return struct.unpack(f"<{len(raw) // 2}e", raw)


def _singles(raw: bytes) -> tuple[float, ...]:
    return struct.unpack(f"<{len(raw) // 4}f", raw)


def _brains(raw: bytes) -> tuple[float, ...]:
    """BF16 is the upper half of F32."""
    return _singles(b"".join(b"\0\0" + raw[i : i + 2] for i in range(0, len(raw), 2)))


UNPACK: Mapping[str, Callable[[bytes], tuple[float, ...]]] = {
    F16.name: _halves,
    BF16.name: _brains,
    F32.name: _singles,
}
"""how the few numbers are read without numpy"""


def _zero_snr(model: Tensors, metadata: Mapping[str, str]) -> bool:
    """True where the schedule was rescaled so that the last step is pure noise."""
    told = metadata.get("ss_zero_terminal_snr", "").lower() == "true"
    return (
        told
        or "ztsnr" in model
        or settings(metadata, SCHEDULER).get("rescale_betas_zero_snr") is True
    )
