"""A model where a command asks for a file: its path, or the name of one that ships."""

from __future__ import annotations

import os

from sfumato.starter.wares import shipped


def named_model(text: str) -> str:
    """A starter file's path in place of its name, where nothing lies under that name.

    What follows a colon stays: `inkline:0.8` is the file with a weight behind it.
    """
    name, colon, rest = text.partition(":")
    if os.path.lexists(text) or os.path.lexists(name):
        return text
    paths = {ware.name: ware.path for ware in shipped() if ware.kind != "pictures"}
    return f"{paths[name]}{colon}{rest}" if name in paths else text
