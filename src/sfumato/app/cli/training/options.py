"""The options of the training commands: each sets one setting of a run, where it is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

from sfumato.app.cli.painting.setting import Headed
from sfumato.app.cli.painting.values import number, word
from sfumato.training.settings import Kind

COUNT = click.IntRange(1)
ANY_COUNT = click.IntRange(0)
SHARE = number(0, 1)
POSITIVE = number(0)

DIFFUSION: tuple[Kind, ...] = ("checkpoint", "lora", "embedding", "hypernetwork")
ALL: tuple[Kind, ...] = (*DIFFUSION, "vae")


@dataclass(frozen=True, slots=True)
class Option:
    """One option, and the setting that it gives a value."""

    flags: str
    setting: str
    """dotted name in the configuration; empty where the command itself reads it"""
    heading: str
    help: str
    kind: object = None
    """what click calls its type; None for a switch"""
    metavar: str | None = None
    kinds: tuple[Kind, ...] = ALL
    """commands that have it"""
    many: bool = False

    @property
    def name(self) -> str:
        """The name of the value among all that the command is given."""
        return self.flags.split()[-1].lstrip("-").replace("-", "_")

    def made(self) -> click.Option:
        """The option as click has it."""
        words = [*self.flags.split(), self.name]
        if self.kind is None:
            return Headed(words, heading=self.heading, help=self.help, is_flag=True, default=None)
        shown = "N" if isinstance(self.kind, click.IntRange) else str(self.kind.__name__)  # pyright: ignore
        return Headed(
            words, heading=self.heading, help=self.help, type=self.kind,
            metavar=self.metavar or shown, multiple=self.many, default=None,
        )  # fmt: skip


FILES: tuple[Option, ...] = (
    Option("-m --model", "base.file", "Files", "The checkpoint to start from: a file or a name.",
           str, "FILE|NAME"),
    Option("--models", "", "Files", "Where names are looked up. SFUMATO_MODELS adds more.", str,
           "DIR", many=True),
    Option("--vae", "base.vae", "Files", "A VAE in place of the checkpoint's own.", str,
           "FILE|NAME", DIFFUSION),
    Option("--weights", "base.weights", "Files", "live: the trained ones. ema: their average. "
           "[live]", word("live", "ema"), kinds=DIFFUSION),
    Option("-o --output", "output", "Files", "File to write; the run's folder lies beside it.",
           str, "FILE"),
    Option("--dtype", "save.dtype", "Files", "Precision of that file. [f16]",
           word("f32", "f16", "bf16")),
    Option("--edition", "save.editions", "Files", "state, pruned, ema or live. [ema]",
           word("state", "pruned", "ema", "live"), kinds=("checkpoint",), many=True),
    Option("--force", "", "Files", "Replace a file that another run or program wrote."),
)  # fmt: skip

PICTURES: tuple[Option, ...] = (
    Option("--trigger", "data.trigger", "Pictures", "Word that calls what is learned; put before "
           "every caption that lacks it.", str, "WORD"),
    Option("--resolution", "data.resolution", "Pictures", "Side of a square with the area of a "
           "picture. [the model's own]", COUNT),
    Option("--flip", "data.flip", "Pictures", "Mirror half of the draws."),
    Option("--caption-dropout", "data.caption_dropout", "Pictures", "Share of draws without a "
           "caption. [0]", SHARE, kinds=("checkpoint", "lora", "hypernetwork")),
    Option("--shuffle-tags", "data.shuffle_tags", "Pictures", "Another order of tags each time.",
           kinds=DIFFUSION),
    Option("--keep-tags", "data.keep_tags", "Pictures", "Tags at the front that stay there. [0]",
           ANY_COUNT, kinds=DIFFUSION),
    Option("--template", "data.template", "Pictures", "Lines with [name] and [filewords].", str,
           "FILE", DIFFUSION),
    Option("--regularisation", "data.regularisation", "Pictures", "Pictures of what must not be "
           "forgotten.", str, "DIR", DIFFUSION),
    Option("--validation", "data.validation", "Pictures", "Pictures to measure the loss on.", str,
           "DIR"),
    Option("--hold-out", "data.hold_out", "Pictures", "Pictures of the folder to measure it on: "
           "below 1 a share, else how many. [0]", POSITIVE),
)  # fmt: skip

COURSE: tuple[Option, ...] = (
    Option("-t --steps", "steps", "Course", "Steps. [1000]", COUNT),
    Option("-b --batch", "batch", "Course", "Pictures at once. [4]", COUNT),
    Option("--accumulate", "accumulate", "Course", "Batches per step. [1]", COUNT),
    Option("-r --rate", "optimizer.rate", "Course", "Learning rate. [the kind's usual one]",
           POSITIVE),
    Option("--text-rate", "optimizer.text_rate", "Course", "That of the text encoder. [0]",
           POSITIVE, kinds=("checkpoint", "lora")),
    Option("--optimizer", "optimizer.name", "Course", "How weights are moved. [adamw]",
           word("adamw", "adamw8bit", "adafactor", "prodigy")),
    Option("--course", "optimizer.course", "Course", "How the rate moves. [constant]",
           word("constant", "cosine", "linear", "plateau")),
    Option("--warmup", "optimizer.warmup", "Course", "Steps in which the rate rises. [0]",
           ANY_COUNT),
    Option("--ema", "ema.decay", "Course", "Keep an average of the weights; 0 keeps none.", SHARE),
    Option("--min-snr", "objective.min_snr", "Course", "Gamma of min-SNR weighting. [0: none]",
           POSITIVE, kinds=DIFFUSION),
    Option("-S --seed", "seed", "Course", "Decides every random number. [0]", ANY_COUNT),
)  # fmt: skip

SHAPES: tuple[Option, ...] = (
    Option("--rank", "lora.rank", "What is trained", "Size of the factors. [8]", COUNT,
           kinds=("lora",)),
    Option("--alpha", "lora.alpha", "What is trained", "The change is multiplied by alpha / rank. "
           "[the rank]", POSITIVE, kinds=("lora",)),
    Option("--algorithm", "lora.algorithm", "What is trained", "How the change is made of factors. "
           "[lora]", word("lora", "loha", "lokr"), kinds=("lora",)),
    Option("--conv-rank", "lora.conv_rank", "What is trained", "Rank of 3×3 convolutions. [0]",
           ANY_COUNT, kinds=("lora",)),
    Option("--dora", "lora.dora", "What is trained", "Learn lengths apart from directions.",
           kinds=("lora",)),
    Option("--name", "embedding.name", "What is trained", "The word. [the file's name]", str,
           "WORD", ("embedding",)),
    Option("--vectors", "embedding.vectors", "What is trained", "Tokens that it takes. [2]", COUNT,
           kinds=("embedding",)),
    Option("--start", "embedding.start", "What is trained", "Words that it starts from. [*]", str,
           "TEXT", ("embedding",)),
    Option("--part", "vae.part", "What is trained", "decoder keeps latents as they are. [decoder]",
           word("decoder", "whole"), kinds=("vae",)),
    Option("--crop", "vae.crop", "What is trained", "Side of random crops. [0: whole pictures]",
           ANY_COUNT, kinds=("vae",)),
)  # fmt: skip

WATCH: tuple[Option, ...] = (
    Option("--save-every", "save.every", "Saving and watching", "Below 1 a share of the run, else "
           "steps. [0.2]", POSITIVE),
    Option("--preview", "watch.previews", "Saving and watching", "Paint this whenever the run is "
           "saved.", str, "PROMPT", DIFFUSION, many=True),
)  # fmt: skip

MACHINE: tuple[Option, ...] = (
    Option("--device", "", "Machine", "auto, cpu, cuda, cuda:1, mps. [auto]", str, "DEVICE"),
    Option("--checkpointing", "checkpointing", "Machine", "Less memory, a third more time."),
    Option("--precision", "precision", "Machine", "In which training computes; bf16 and f16 are "
           "for GPUs. [f32]", word("f32", "bf16", "f16")),
    Option("--config", "", "Everything else", "A TOML file of settings; options override it.", str,
           "FILE"),
    Option("--set", "", "Everything else", "One setting, as in --set optimizer.clip=0.5.", str,
           "KEY=VALUE", many=True),
    Option("--dry-run", "", "Everything else", "Check model and pictures, say what would be done; "
           "train nothing."),
)  # fmt: skip

EVERY: tuple[Option, ...] = (*FILES, *PICTURES, *SHAPES, *COURSE, *WATCH, *MACHINE)
"""all options, in the order of the help pages"""

AGAIN = ("models", "device", "set", "dry_run")
"""names of those that `train resume` has too, beside --steps"""


def options_of(kind: Kind) -> list[Option]:
    """The options of one command."""
    return [option for option in EVERY if kind in option.kinds]


def settings_from(given: Mapping[str, Any]) -> dict[str, object]:
    """Dotted settings with the values that were given as options."""
    values = {option.setting: given.get(option.name) for option in EVERY if option.setting}
    return {name: value for name, value in values.items() if value not in (None, ())}
