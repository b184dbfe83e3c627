"""A model where a command asks for a file: its path, or the name of one that ships."""

from __future__ import annotations

import os

import click

from sfumato.starter.wares import shipped


class ModelName(click.ParamType):
    """Text as it is, but for the name of a starter file where nothing lies under that name.

    What follows a colon stays: `inkline:0.8` is the file with a weight behind it.
    """

    name = "model"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The path in place of a starter file's name."""
        name, colon, rest = value.partition(":")
        if os.path.lexists(value) or os.path.lexists(name):
            return value
        paths = {ware.name: ware.path for ware in shipped() if ware.kind != "pictures"}
        return f"{paths[name]}{colon}{rest}" if name in paths else value


MODEL = ModelName()
