"""What a LoRA file says of itself: kohya's `ss_` keys, modelspec, and its trigger word."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from sfumato.engine.model import Model
from sfumato.training.data.lesson import Lesson
from sfumato.training.kinds.part import Taught
from sfumato.training.output import modelspec
from sfumato.training.settings import LoraShape, Precision, Run
from sfumato.training.trainee import Trained

BASES = {
    ("sd1", "epsilon"): "sd_v1", ("sd1", "v"): "sd_v1",
    ("sd2", "epsilon"): "sd_v2", ("sd2", "v"): "sd_v2_v",
    ("sdxl", "epsilon"): "sdxl_base_v1-0", ("sdxl", "v"): "sdxl_base_v1-0",
}  # fmt: skip
"""family, prediction → kohya's name of the model that was trained on"""


def lora_metadata(
    run: Run, model: Model, trained: Trained, name: str, taught: Taught
) -> dict[str, str]:
    """Text for the header of a LoRA file.

    A1111 hides LoRAs whose `ss_base_model_version` or `ss_v2` does not fit the loaded model.
    """
    base = BASES.get((model.family, model.prediction), model.family)
    facts = {
        "ss_output_name": name,
        "ss_base_model_version": base,
        "ss_v2": str(model.family == "sd2"),
        "ss_zero_terminal_snr": str(taught.zero_snr),
        "ss_sd_model_name": model.path.name,
        **_network(run.lora),
        **_course(run, trained),
        **_pictures(run, taught.lesson),
    }
    spec = modelspec(run, model, name, "lora", taught.lesson.resolution)
    return {**facts, **spec}


def _network(shape: LoraShape) -> dict[str, str]:
    """What the LoRA consists of, as its trainers name it."""
    plain = shape.algorithm == "lora" and not shape.dora
    arguments: dict[str, str] = {} if plain else {"algo": shape.algorithm}
    if shape.conv_rank:
        arguments |= {"conv_dim": str(shape.conv_rank)}
        arguments |= {"conv_alpha": str(shape.alpha or float(shape.conv_rank))}
    if shape.algorithm == "lokr":
        arguments |= {"factor": str(shape.factor)}
    if shape.dora:
        arguments |= {"dora_wd": "True", "wd_on_output": "True"}
    shares = {"rank_dropout": shape.rank_dropout, "module_dropout": shape.module_dropout}
    arguments |= {name: str(share) for name, share in shares.items() if share}
    return {
        "ss_network_module": "networks.lora" if plain else "lycoris.kohya",
        "ss_network_dim": str(shape.rank),
        "ss_network_alpha": str(shape.alpha or float(shape.rank)),
        "ss_network_dropout": str(shape.dropout or None),
        "ss_network_args": json.dumps(arguments),
    }


def _course(run: Run, trained: Trained) -> dict[str, str]:
    """How it was trained."""
    optimizer, objective = run.optimizer, run.objective
    return {
        "ss_learning_rate": str(optimizer.rate),
        "ss_unet_lr": str(optimizer.rate),
        "ss_text_encoder_lr": str(optimizer.text_rate or None),
        "ss_optimizer": optimizer.name,
        "ss_lr_scheduler": optimizer.course,
        "ss_lr_warmup_steps": str(optimizer.warmup),
        "ss_max_grad_norm": str(optimizer.clip),
        "ss_max_train_steps": str(run.steps),
        "ss_steps": str(trained.step),
        "ss_epoch": str(trained.epoch),
        "ss_batch_size_per_device": str(run.batch),
        "ss_total_batch_size": str(run.batch * run.accumulate),
        "ss_gradient_accumulation_steps": str(run.accumulate),
        "ss_gradient_checkpointing": str(run.checkpointing),
        "ss_seed": str(run.seed),
        "ss_clip_skip": "None",
        "ss_mixed_precision": MIXED[run.precision],
        "ss_noise_offset": str(objective.noise_offset or None),
        "ss_min_snr_gamma": str(objective.min_snr or None),
        "ss_prior_loss_weight": str(objective.prior_weight),
    }


def _pictures(run: Run, lesson: Lesson) -> dict[str, str]:
    """What it was trained on; A1111 offers the words of `ss_tag_frequency` as triggers."""
    data = run.data
    taught = [item for item in lesson.items if not item.regularisation]
    tags = Counter(
        tag.strip() for item in taught for tag in item.captions[0].split(",") if tag.strip()
    )
    folder = Path(data.folder).name
    return {
        "ss_num_train_images": str(sum(item.repeats for item in taught) * data.repeats),
        "ss_num_reg_images": str(len(lesson.items) - len(taught)),
        "ss_num_batches_per_epoch": str(lesson.order.batches),
        "ss_resolution": f"({lesson.resolution}, {lesson.resolution})",
        "ss_enable_bucket": str(data.buckets),
        "ss_flip_aug": str(data.flip),
        "ss_random_crop": str(data.crop == "random"),
        "ss_shuffle_caption": str(data.shuffle_tags),
        "ss_keep_tokens": str(data.keep_tags),
        "ss_caption_dropout_rate": str(data.caption_dropout),
        "ss_caption_tag_dropout_rate": str(data.tag_dropout),
        "ss_dataset_dirs": json.dumps(
            {folder: {"n_repeats": data.repeats, "img_count": len(taught)}}
        ),
        "ss_tag_frequency": json.dumps({folder: dict(tags.most_common(MOST_TAGS))}),
    }


MIXED: Mapping[Precision, str] = {"f32": "no", "bf16": "bf16", "f16": "fp16"}
"""what kohya's trainer calls the precision that a run computes in"""

MOST_TAGS = 1000
"""tags whose counts are kept"""
