"""One option of a painting command, the heading it stands under, and what it changes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Any

import click

from sfumato.engine.asking.changes import Put


@dataclass(frozen=True, slots=True)
class Setting:
    """An option; where it is not given it changes nothing, so that a picture can be repeated."""

    flags: str
    """as click takes them: "-o --output" """
    heading: str
    help: str
    kind: object = None
    """what click calls its type; None for a switch"""
    put: Put | None = None
    """how it changes the request; None where the command itself reads it"""
    metavar: str | None = None
    many: bool = False
    """may be given more than once"""
    needs: str = ""
    """the part of the request that it is of: hires | init | mask"""

    @property
    def name(self) -> str:
        """The name of the value among all that the command is given."""
        first = self.flags.split("/")[0].split()[-1]
        return first.lstrip("-").replace("-", "_")

    def option(self) -> click.Option:
        """The option as click has it."""
        words = [*self.flags.split(), self.name]
        if self.kind is None:
            return Headed(words, heading=self.heading, help=self.help, is_flag=True, default=None)
        return Headed(
            words,
            heading=self.heading,
            help=self.help,
            type=self.kind,
            metavar=self.metavar or self._shown(),
            multiple=self.many,
            default=None,
        )

    def _shown(self) -> str | None:
        """What stands for the value on the help page; None for click's own word."""
        if isinstance(self.kind, click.IntRange):
            return "N"
        name = str(getattr(self.kind, "__name__", ""))
        return name if "|" in name or name == "WxH" else None


class Headed(click.Option):
    """An option that knows under which heading of the help page it stands."""

    def __init__(self, words: list[str], *, heading: str, **rest: Any) -> None:  # noqa: ANN401
        """As click.Option, with a heading."""
        super().__init__(words, **rest)
        self.heading = heading


class HeadedCommand(click.Command):
    """A command whose help page groups the options under headings, in the order of the table."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write every group."""

        def heading(parameter: click.Parameter) -> str:
            return parameter.heading if isinstance(parameter, Headed) else "More"

        options = [p for p in self.get_params(ctx) if isinstance(p, click.Option)]
        for name, group in groupby(options, heading):
            records = [r for r in (option.get_help_record(ctx) for option in group) if r]
            with formatter.section(name):
                formatter.write_dl(records)
