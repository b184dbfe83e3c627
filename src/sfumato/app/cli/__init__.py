"""The `sfumato` command: its sub-commands by name, each loaded only when it is called."""

from __future__ import annotations

import os
import sys

import click

from sfumato.app.cli.entries import Entries, Entry
from sfumato.errors import SfumatoError


def _inspect() -> click.Command:
    from sfumato.app.cli.inspect import command

    return command


def _convert() -> click.Command:
    from sfumato.app.cli.convert import command

    return command


def _prune() -> click.Command:
    from sfumato.app.cli.prune import command

    return command


def _ema() -> click.Command:
    from sfumato.app.cli.ema import command

    return command


def _diff() -> click.Command:
    from sfumato.app.cli.diff import command

    return command


def _merge() -> click.Command:
    from sfumato.app.cli.merge import command

    return command


def _repair() -> click.Command:
    from sfumato.app.cli.repair import command

    return command


def _metadata() -> click.Command:
    from sfumato.app.cli.metadata import command

    return command


def _recipe() -> click.Command:
    from sfumato.app.cli.recipe import recipe

    return recipe


def _lineage() -> click.Command:
    from sfumato.app.cli.recipe import lineage

    return lineage


def _split() -> click.Command:
    from sfumato.app.cli.split import split

    return split


def _join() -> click.Command:
    from sfumato.app.cli.split import join

    return join


def _catalog() -> click.Command:
    from sfumato.app.cli.catalog import command

    return command


def _picture() -> click.Command:
    from sfumato.app.cli.picture import command

    return command


def _generate() -> click.Command:
    from sfumato.app.cli.generate import command

    return command


def _grid() -> click.Command:
    from sfumato.app.cli.grid import command

    return command


def _train() -> click.Command:
    from sfumato.app.cli.train import command

    return command


def _starter() -> click.Command:
    from sfumato.app.cli.starter import command

    return command


def _lora() -> click.Command:
    from sfumato.app.cli.lora import command

    return command


def _bake() -> click.Command:
    from sfumato.app.cli.bake import bake

    return bake


def _unbake() -> click.Command:
    from sfumato.app.cli.bake import unbake

    return unbake


def _vae() -> click.Command:
    from sfumato.app.cli.vae import command

    return command


COMMANDS: tuple[Entry, ...] = (
    Entry("generate", "Paint pictures from a prompt.", _generate),
    Entry("grid", "Paint pictures side by side over one to three parameters.", _grid),
    Entry("train", "Train a checkpoint, LoRA, embedding, hypernetwork or VAE.", _train),
    Entry("inspect", "Say what files are, whether they are safe, what to do with them.", _inspect),
    Entry("convert", "Write a model in another container, dtype or spelling.", _convert),
    Entry("prune", "Drop what a model does not need.", _prune),
    Entry("ema", "Use, drop, extract or measure the averaged weights.", _ema),
    Entry("bake", "Write LoRAs, a VAE or both into a checkpoint.", _bake),
    Entry("unbake", "Take LoRAs out of a checkpoint again.", _unbake),
    Entry("vae", "Take the VAE out of a checkpoint, or replace it.", _vae),
    Entry("merge", "Make one model from several.", _merge),
    Entry("lora", "Look into LoRA files and make new ones.", _lora),
    Entry("diff", "Say what differs between models, and what one is mixed from.", _diff),
    Entry("recipe", "Say how a file was made, or make it again.", _recipe),
    Entry("lineage", "Show what a file was made from, and what that was made from.", _lineage),
    Entry("repair", "Mend position ids, prefixes and missing name parts.", _repair),
    Entry("metadata", "Show and change the text in a file's header.", _metadata),
    Entry("split", "Write the parts of a checkpoint to files of their own.", _split),
    Entry("join", "Put parts together into one checkpoint.", _join),
    Entry("picture", "Say what made a picture: prompt, settings, files.", _picture),
    Entry("starter", "List the small models that ship with the program; train one.", _starter),
    Entry("catalog", "Look published models up: who made them, which edition to take.", _catalog),
)  # fmt: skip
"""every sub-command, in the order of the help page"""


class Commands(Entries):
    """The group of COMMANDS."""

    def invoke(self, ctx: click.Context) -> object:
        """Run a sub-command; what it refuses is told as JSON too where JSON was asked for."""
        try:
            return super().invoke(ctx)
        except (SfumatoError, click.ClickException) as error:
            from sfumato.app.cli.writing import JSON_ASKED, emit_json

            if ctx.meta.get(JSON_ASKED):
                theirs = isinstance(error, click.ClickException)
                status = error.exit_code if theirs else error.exit_status
                sentence = error.format_message() if theirs else str(error)
                emit_json({"error": sentence, "status": status})
            raise


def _version(context: click.Context, _option: click.Parameter, asked: bool) -> None:
    if asked:
        from sfumato import __version__

        click.echo(f"sfumato {__version__}")
        context.exit()


@click.command(
    cls=Commands,
    entries=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: sfumato inspect anything-v3.ckpt",
)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_version,
    help="Show the version and exit.",
)  # fmt: skip
def group() -> None:
    """Know, keep, change, paint with and train Stable Diffusion model files; nothing is executed.

    Exit status: 0 done, 1 failed, 2 wrong usage, 3 refused as dangerous, 4 damaged or not a model.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with the status the error tree gives."""
    try:
        status = group.main(arguments, prog_name="sfumato", standalone_mode=False)
    except SfumatoError as error:
        click.echo(f"sfumato: {error}", err=True)
        status = error.exit_status
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("sfumato: interrupted", err=True)
        status = 130
    except BrokenPipeError:
        # The reader of our output went away (`| head`): not an error, and nothing more to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    sys.exit(status or 0)
