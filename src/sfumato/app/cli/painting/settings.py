"""The options of the painting commands, in the order of their help pages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import click

from sfumato.app.cli.painting.setting import Setting
from sfumato.app.cli.painting.values import number, pair, radii, word
from sfumato.engine.asking.changes import (
    add_styles,
    denoise,
    guidance,
    hires,
    init,
    inpaint,
    own,
    size,
    tuning,
    variation,
)
from sfumato.engine.request import UNIPC_ORDERS, Emphasis, Masked, Padding, Request, Resize, Rng

COUNT = click.IntRange(1, 10_000)
STEPS = click.IntRange(1, 1000)
SHARE = number(0, 1)
POSITIVE = number(0)
SEED = click.IntRange(-1, 2**64 - 1)
ANY = number()


def words(of: object) -> Callable[[str], str]:
    """The values of a Literal type."""
    return word(*map(str, get_args(of)))


def _seed_resize(request: Request, value: tuple[int, int]) -> Request:
    return replace(request, variation=replace(request.variation, resize_from=value))


FILES: tuple[Setting, ...] = (
    Setting("-m --model", "Files", "The checkpoint: a file, a diffusers folder, a name, "
            "or a sum: \"0.7*A + 0.3*B\".", str,
            own("model"), metavar="FILE|NAME"),
    Setting("--models", "Files", "Where names are looked up, laid out as AUTOMATIC1111, Forge or "
            "ComfyUI do, or anyhow. SFUMATO_MODELS adds more.", str, metavar="DIR", many=True),
    Setting("--vae", "Files", "auto: the one beside the checkpoint, else in it. none: the one in "
            "it. [auto]", str, own("vae"), metavar="auto|none|NAME"),
    Setting("-l --lora", "Files", "As <lora:NAME:WEIGHT> at the end of the prompt.", str,
            metavar="NAME[:WEIGHT]", many=True),
    Setting("--hypernetwork", "Files", "As <hypernet:NAME:MULT> at the end of the prompt.", str,
            metavar="NAME[:MULT]", many=True),
    Setting("-e --embedding", "Files", "An embedding from anywhere, called by its file's name. "
            "Those in --models are known anyway.", str, metavar="FILE", many=True),
    Setting("--refiner", "Files", "A second checkpoint for the last steps.", str, own("refiner"),
            metavar="FILE|NAME"),
    Setting("--refiner-switch", "Files", "Where it takes over, as a share of the way. [0.8]",
            SHARE, own("refiner_switch")),
    Setting("--refiner-by-steps/--refiner-by-noise", "Files", "What that share is one of. [noise]",
            put=own("refiner_by_steps")),
    Setting("--weights", "Files", "live: the trained ones. ema: their average. [live]",
            word("live", "ema"), own("weights")),
)  # fmt: skip

PROMPT: tuple[Setting, ...] = (
    Setting("-n --negative", "Prompt", "What the picture should not show.", str, own("negative"),
            metavar="TEXT"),
    Setting("--styles", "Prompt", "A styles.csv as AUTOMATIC1111 keeps it.", str, metavar="FILE",
            many=True),
    Setting("--style", "Prompt", "A style of that file.", str,
            lambda r, value: add_styles(r, tuple(value)), metavar="NAME", many=True),
    Setting("--clip-skip", "Prompt", "Which of the last layers of CLIP is read. [1]",
            click.IntRange(1, 12), own("clip_skip")),
    Setting("--sdxl-clip-skip/--no-sdxl-clip-skip", "Prompt",
            "Let --clip-skip act on SDXL's first text encoder.", put=own("skip_sdxl")),
    Setting("--emphasis", "Prompt", "How (words:1.2) are weighed. [Original]", words(Emphasis),
            own("emphasis")),
    Setting("--comments/--no-comments", "Prompt", "Cut from # to the end of the line. [yes]",
            put=own("comments")),
    Setting("--comma-backtrack", "Prompt", "Tokens back to a comma where 75 are full. [20]",
            click.IntRange(0, 75), own("comma_backtrack")),
    Setting("--old-schedules/--new-schedules", "Prompt", "Read [a:b:0.5] as before A1111 1.6.",
            put=own("old_schedules")),
    Setting("--pad", "Prompt", "Bring prompt and negative prompt to one length. [none]",
            words(Padding), own("pad")),
)  # fmt: skip

SAMPLING: tuple[Setting, ...] = (
    Setting("-t --steps", "Sampling", "Steps. [20]", STEPS, own("steps")),
    Setting("-s --sampler", "Sampling", "Sampler, under AUTOMATIC1111's names. [DPM++ 2M]", str,
            own("sampler"), metavar="NAME"),
    Setting("--schedule", "Sampling", "Noise schedule. [Automatic: the sampler's own]", str,
            own("schedule"), metavar="NAME"),
    Setting("-c --cfg", "Sampling", "How strongly the prompt is followed. [7]", ANY,
            guidance("scale")),
    Setting("--image-cfg", "Sampling", "The same for the picture, in InstructPix2Pix. [1.5]", ANY,
            guidance("image_scale")),
    Setting("--cfg-rescale", "Sampling", "Share of CFG rescale. [0]", SHARE, guidance("rescale")),
    Setting("--ngms", "Sampling", "Below this sigma every other call leaves the negative prompt "
            "out. [0]", POSITIVE, guidance("skip_below")),
    Setting("--ngms-all/--ngms-some", "Sampling", "… every call.", put=guidance("skip_all")),
    Setting("--skip-early", "Sampling", "Share of the first calls that leave it out. [0]", SHARE,
            guidance("skip_early")),
    Setting("--eta", "Sampling", "Share of fresh noise. [the sampler's own]", POSITIVE,
            tuning("eta")),
    Setting("--churn", "Sampling", "Noise added before each step. [0]", POSITIVE,
            tuning("churn")),
    Setting("--churn-min", "Sampling", "… only above this sigma. [0]", POSITIVE,
            tuning("churn_min")),
    Setting("--churn-max", "Sampling", "… only below this sigma.", POSITIVE, tuning("churn_max")),
    Setting("--noise", "Sampling", "Factor of all noise added on the way. [1]", POSITIVE,
            tuning("noise")),
    Setting("--sigma-min", "Sampling", "Lowest sigma. [the model's]", POSITIVE,
            tuning("sigma_min")),
    Setting("--sigma-max", "Sampling", "Highest sigma. [the model's]", POSITIVE,
            tuning("sigma_max")),
    Setting("--rho", "Sampling", "Bend of Karras and Polyexponential. [their own]", POSITIVE,
            tuning("rho")),
    Setting("--beta-alpha", "Sampling", "Alpha of the schedule Beta. [0.6]", POSITIVE,
            tuning("beta_alpha")),
    Setting("--beta-beta", "Sampling", "Beta of the schedule Beta. [0.6]", POSITIVE,
            tuning("beta_beta")),
    Setting("--unipc-order", "Sampling", "Order of UniPC. [3]",
            click.IntRange(1, UNIPC_ORDERS), tuning("unipc_order")),
    Setting("--unipc-variant", "Sampling", "Variant of UniPC. [bh1]",
            word("bh1", "bh2", "vary_coeff"), tuning("unipc_variant")),
    Setting("--unipc-skip", "Sampling", "Steps of UniPC. [time_uniform]",
            word("time_uniform", "time_quadratic", "logSNR"), tuning("unipc_skip")),
    Setting("--unipc-lower-last/--unipc-full-last", "Sampling", "Lower order at UniPC's end. "
            "[lower]", put=tuning("unipc_lower_order_final")),
    Setting("--discard-penultimate/--keep-penultimate", "Sampling",
            "Leave the last but one sigma out.", put=tuning("discard_penultimate")),
    Setting("--sgm-noise/--plain-noise", "Sampling", "Start as SGM does.",
            put=tuning("sgm_noise")),
    Setting("--quantize/--continuous", "Sampling", "Round timesteps to whole ones.",
            put=tuning("quantize")),
    Setting("--old-karras/--new-karras", "Sampling", "Karras from 0.1 to 10.",
            put=tuning("old_karras")),
    Setting("--zero-snr/--no-zero-snr", "Sampling", "Force zero terminal SNR.",
            put=own("zero_snr")),
    Setting("--half-alphas/--full-alphas", "Sampling", "Alphas as before A1111 1.7.",
            put=own("half_alphas")),
)  # fmt: skip

NOISE: tuple[Setting, ...] = (
    Setting("-S --seed", "Noise", "Seed; -1 draws one. [-1]", SEED, own("seed")),
    Setting("--rng", "Noise", "NV: as on Nvidia cards. CPU: torch's. GPU: the device's own. [NV]",
            words(Rng), own("rng")),
    Setting("--ensd", "Noise", "Added to the seed of noise drawn on the way. [0]",
            click.IntRange(-(2**63), 2**63), own("ensd")),
    Setting("--variation-seed", "Noise", "Seed of noise that is mixed in. [-1]", SEED,
            variation("seed")),
    Setting("--variation-strength", "Noise", "How much of it. [0]", SHARE,
            variation("strength")),
    Setting("--seed-resize-from", "Noise", "Size at which the seed's noise is drawn.", pair(),
            _seed_resize),
)  # fmt: skip

PICTURE: tuple[Setting, ...] = (
    Setting("-z --size", "Picture", "Width and height. [the model's own]", pair(), size),
    Setting("-b --batch", "Picture", "Pictures painted at once. [1]", COUNT, own("batch")),
    Setting("-N --count", "Picture", "Batches. [1]", COUNT, own("count")),
    Setting("--tiling/--no-tiling", "Picture", "Seamless textures.", put=own("tiling")),
    Setting("--crop", "Picture", "Top and left of SDXL's crop. [0x0]", pair(zero=True),
            own("sdxl_crop"), metavar="TxL"),
)  # fmt: skip

HIRES: tuple[Setting, ...] = (
    Setting("--hires", "Second pass", "Paint again at this many times the size.",
            number(0.1, 8), hires("scale"), metavar="SCALE", needs="hires"),
    Setting("--hires-size", "Second pass", "… at this size; one 0 follows the other.",
            pair(zero=True), hires("size"), needs="hires"),
    Setting("--hires-steps", "Second pass", "Its steps. [0: as many as the first]",
            click.IntRange(0, 1000), hires("steps"), needs="hires"),
    Setting("--hires-denoise", "Second pass", "How much of it is new. [0.75]", SHARE,
            hires("denoise"), needs="hires"),
    Setting("--hires-upscaler", "Second pass", "What enlarges. [Latent]", str, hires("upscaler"),
            metavar="NAME", needs="hires"),
    Setting("--hires-sampler", "Second pass", "Its sampler. [the first's]", str,
            hires("sampler"), metavar="NAME", needs="hires"),
    Setting("--hires-schedule", "Second pass", "Its schedule. [the first's]", str,
            hires("schedule"), metavar="NAME", needs="hires"),
    Setting("--hires-prompt", "Second pass", "Its prompt. [the first's]", str, hires("prompt"),
            metavar="TEXT", needs="hires"),
    Setting("--hires-negative", "Second pass", "Its negative prompt. [the first's]", str,
            hires("negative"), metavar="TEXT", needs="hires"),
    Setting("--hires-refiner", "Second pass", "The pass that a refiner takes part in. [second]",
            word("first", "second", "both"), hires("refiner"), needs="hires"),
)  # fmt: skip

START: tuple[Setting, ...] = (
    Setting("-i --init", "Starting from a picture", "The picture.", str, metavar="PICTURE"),
    Setting("--denoise", "Starting from a picture", "How much is new. [0.75]", SHARE, denoise,
            needs="init or hires"),
    Setting("--resize", "Starting from a picture", "How it is brought to size. [stretch]",
            words(Resize), init("resize"), needs="init"),
    Setting("--noise-multiplier", "Starting from a picture", "Factor of the first noise. [1]",
            POSITIVE, init("noise"), needs="init"),
    Setting("--extra-noise", "Starting from a picture", "Noise added to it. [0]", POSITIVE,
            init("extra_noise"), needs="init"),
    Setting("--exact-steps/--fewer-steps", "Starting from a picture",
            "Run all steps, whatever --denoise.", put=init("exact_steps"), needs="init"),
    Setting("--color-correction/--no-color-correction", "Starting from a picture",
            "Keep the picture's colours.", put=init("color_correction"), needs="init"),
    Setting("--mask", "Starting from a picture", "White is painted anew.", str, metavar="PICTURE",
            needs="init"),
    Setting("--mask-blur", "Starting from a picture", "Blur of its edge. [4]", radii,
            inpaint("blur"), needs="mask"),
    Setting("--mask-invert/--mask-as-is", "Starting from a picture", "Black is painted instead.",
            put=inpaint("invert"), needs="mask"),
    Setting("--mask-fill", "Starting from a picture", "What it starts from. [original]",
            words(Masked), inpaint("fill"), needs="mask"),
    Setting("--whole-picture/--only-masked", "Starting from a picture",
            "Paint the masked region alone, at full size. [whole]", put=inpaint("whole"),
            needs="mask"),
    Setting("--mask-padding", "Starting from a picture", "Pixels around the region. [32]",
            click.IntRange(0, 4096), inpaint("padding"), needs="mask"),
    Setting("--mask-round/--mask-grey", "Starting from a picture", "Keep grey masks grey.",
            put=inpaint("round"), needs="mask"),
    Setting("--mask-weight", "Starting from a picture", "Strength of an inpainting model's view "
            "of the picture. [1]", SHARE, inpaint("weight"), needs="mask"),
    Setting("--overlay/--no-overlay", "Starting from a picture",
            "Lay the original over what is outside. [yes]", put=inpaint("overlay"), needs="mask"),
)  # fmt: skip

MACHINE: tuple[Setting, ...] = (
    Setting("--device", "Machine", "auto, cpu, cuda, cuda:1, mps. [auto]", str, metavar="DEVICE"),
    Setting("--dtype", "Machine", "fp32, fp16 or bf16. [fp32 on the CPU, else fp16]", str,
            metavar="TYPE"),
    Setting("--offload/--no-offload", "Machine", "Keep parts that rest out of the GPU's memory."),
    Setting("--compile/--no-compile", "Machine", "Compile the UNet: slow to start, then faster."),
)  # fmt: skip

REQUEST: tuple[Setting, ...] = (
    *FILES, *PROMPT, *SAMPLING, *NOISE, *PICTURE, *HIRES, *START, *MACHINE,
)  # fmt: skip
"""what every painting command takes, beside what becomes of the pictures"""
