"""Groups of commands written out as tables, in which a command is loaded only when it is called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import click


@dataclass(frozen=True, slots=True)
class Entry:
    """One command: what the help page says of it, and how to get it."""

    name: str
    summary: str
    load: Callable[[], click.Command]


class Entries(click.Group):
    """A group over a table; asking for help loads none of its commands."""

    def __init__(self, *, entries: tuple[Entry, ...], **settings: object) -> None:
        super().__init__(**settings)  # pyright: ignore[reportArgumentType]
        self.entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [entry.name for entry in self.entries]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return next((entry.load() for entry in self.entries if entry.name == cmd_name), None)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            # click names the options that are near to an unknown one, and not the commands.
            from difflib import get_close_matches

            near = get_close_matches(args[0], self.list_commands(ctx), 1)
            if not near or near[0] in error.message:
                raise
            sentence = f"{error.message} Did you mean '{near[0]}'?"
            raise click.UsageError(sentence, ctx=ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(entry.name, entry.summary) for entry in self.entries])
