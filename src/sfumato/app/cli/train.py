"""`sfumato train`: pictures in, a model file of any kind out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from sfumato.app.cli.painting.setting import HeadedCommand
from sfumato.app.cli.training.asked import again, asked, check_output
from sfumato.app.cli.training.options import AGAIN, COUNT, EVERY, Option, options_of
from sfumato.app.cli.training.teach import teach
from sfumato.app.cli.writing import HELP, json_option
from sfumato.training.settings import Kind


@dataclass(frozen=True, slots=True)
class Page:
    """The help page of `train KIND`."""

    kind: Kind
    summary: str
    more: str
    example: str


PAGES: tuple[Page, ...] = (
    Page(
        "checkpoint",
        "Train a whole checkpoint further, or one from nothing.",
        "A configuration with [scratch] and its sizes starts from random weights. --edition says "
        "what is written: averaged weights alone, live ones, both, or the whole training state.",
        "checkpoint photos -m v1-5-pruned.safetensors -o mine.safetensors",
    ),
    Page(
        "lora",
        "Train a LoRA, a small file that teaches a checkpoint a subject or a style.",
        "Some ten to thirty pictures and a --trigger word are enough.",
        "lora photos -m v1-5-pruned.safetensors --trigger zwx -o zwx.safetensors",
    ),
    Page(
        "embedding",
        "Train an embedding, a new word for what a checkpoint can paint already.",
        "The word is the name of the file, unless --name gives another.",
        "embedding photos -m v1-5-pruned.safetensors --start dog -o rex.pt",
    ),
    Page(
        "hypernetwork",
        "Train a hypernetwork, small networks in front of every attention.",
        "Their structure is set as in --set hypernetwork.structure=[1,2,1].",
        "hypernetwork photos -m v1-5-pruned.safetensors -o ink.pt",
    ),
    Page(
        "vae",
        "Train an autoencoder, its decoder alone unless --part whole is given.",
        "The decoder alone leaves latents as they are, so that every UNet still fits.",
        "vae photos -m v1-5-pruned.safetensors -o sharper.safetensors",
    ),
)

COMMON = """PICTURES is a folder with captions beside the pictures (.txt, .caption, metadata.jsonl),
in their names or in one --trigger word. A run that was stopped or killed goes on when the same
command is given again. Docs: docs/train.md."""


class Kinds(click.Group):
    """The group of PAGES, in their order."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=Kinds, context_settings=HELP, epilog=f"Example: sfumato train {PAGES[1].example}")
def command() -> None:
    """Train a checkpoint, a LoRA, an embedding, a hypernetwork or a VAE.

    Runs are saved at intervals and go on bit for bit as if they had never stopped.
    """


def _trainer(page: Page) -> click.Command:
    """`train KIND`."""

    @click.command(
        page.kind,
        cls=HeadedCommand,
        context_settings=HELP,
        params=[option.made() for option in options_of(page.kind)],
        help=f"{page.summary}\n\n{page.more}\n\n{COMMON}",
        short_help=page.summary,
        epilog=f"Example: sfumato train {page.example}",
    )
    @click.argument("pictures", required=False)
    @json_option("Tell every event as a line of JSON.")
    def trainer(pictures: str | None, as_json: bool, **given: Any) -> None:  # noqa: ANN401
        run = asked(page.kind, pictures, given)
        check_output(run, force=bool(given["force"]))
        teach(run, given, as_json=as_json)

    return trainer


STEPS = Option("-t --steps", "", "Course", "More steps, or fewer. [as it was started]", COUNT)


@click.command(
    cls=HeadedCommand,
    context_settings=HELP,
    params=[STEPS.made(), *(option.made() for option in EVERY if option.name in AGAIN)],
    short_help="Go on with a run that was stopped, killed or finished.",
    epilog="Example: sfumato train resume zwx.run --steps 2000",
)
@click.argument("folder", metavar="FOLDER")
@json_option("Tell every event as a line of JSON.")
def resume(folder: str, as_json: bool, **given: Any) -> None:  # noqa: ANN401
    """Go on with the run that keeps its states in FOLDER, also for more steps after its end.

    Paths of pictures and models are those that the run was started with, seen from here; --set
    data.folder=… names another place for the same pictures.
    """
    teach(again(Path(folder), given), given, as_json=as_json)


for _page in PAGES:
    command.add_command(_trainer(_page))
command.add_command(resume)
