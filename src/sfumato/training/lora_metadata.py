"""What a LoRA file says of itself: kohya's `ss_` keys, modelspec, and its trigger word."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from sfumato.engine.model import Model
from sfumato.training.settings import Run
from sfumato.training.trainee import Trained

BASES = {"sd1": "sd_v1", "sd2": "sd_v2", "sdxl": "sdxl_base_v1-0"}
SPECS = {
    "sd1": "stable-diffusion-v1", "sd2": "stable-diffusion-v2-768-v",
    "sdxl": "stable-diffusion-xl-v1-base",
}  # fmt: skip
MODULES = {"lora": "networks.lora", "loha": "lycoris.kohya", "lokr": "lycoris.kohya"}


def lora_metadata(run: Run, model: Model, trained: Trained, name: str) -> dict[str, str]:
    """Text for the header of a LoRA file.

    A1111 hides LoRAs whose `ss_base_model_version` or `ss_v2` does not fit the loaded model.
    """
    shape = run.lora
    base = BASES.get(model.family, model.family)
    arguments = {"algo": shape.algorithm} if shape.algorithm != "lora" else {}
    arguments |= {"conv_dim": str(shape.conv_rank)} if shape.conv_rank else {}
    arguments |= {"dora_wd": "True"} if shape.dora else {}
    facts = {
        "ss_output_name": name,
        "ss_base_model_version": base,
        "ss_v2": str(model.family == "sd2"),
        "ss_sd_model_name": model.path.name,
        "ss_network_module": MODULES[shape.algorithm],
        "ss_network_dim": str(shape.rank),
        "ss_network_alpha": str(shape.alpha or shape.rank),
        "ss_network_args": json.dumps(arguments),
        "ss_learning_rate": str(run.optimizer.rate),
        "ss_unet_lr": str(run.optimizer.rate),
        "ss_text_encoder_lr": str(run.optimizer.text_rate),
        "ss_optimizer": run.optimizer.name,
        "ss_lr_scheduler": run.optimizer.course,
        "ss_max_train_steps": str(run.steps),
        "ss_steps": str(trained.step),
        "ss_epoch": str(trained.epoch),
        "ss_total_batch_size": str(run.batch * run.accumulate),
        "ss_seed": str(run.seed),
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": f"{SPECS.get(model.family, model.family)}/lora",
        "modelspec.title": run.title or name,
        "modelspec.date": datetime.now(UTC).replace(microsecond=0, tzinfo=None).isoformat(),
        "modelspec.prediction_type": model.prediction,
    }
    if run.data.trigger:
        facts["modelspec.trigger_phrase"] = run.data.trigger
        tags = {Path(run.data.folder).name: dict(Counter({run.data.trigger: 1}))}
        facts["ss_tag_frequency"] = json.dumps(tags)
    return facts
