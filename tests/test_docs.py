"""The documents mention everything there is, and lead nowhere that is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sfumato import errors
from sfumato.app.cli import COMMANDS
from sfumato.catalogue.adapters.flavours import FLAVOURS
from sfumato.catalogue.families import TITLES
from sfumato.containers.model_file import CONTAINERS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)


@pytest.mark.parametrize("command", [entry.name for entry in COMMANDS])
def test_every_command_is_described(command: str) -> None:
    assert f"sfumato {command}" in TEXT


@pytest.mark.parametrize("name", [n for n, v in vars(errors).items() if isinstance(v, type)])
def test_every_error_is_described(name: str) -> None:
    assert f"`{name}`" in TEXT


@pytest.mark.parametrize("name", [container.name for container in CONTAINERS])
def test_every_container_is_described(name: str) -> None:
    assert f"`{name}`" in TEXT


@pytest.mark.parametrize("family", TITLES)
def test_every_family_is_described(family: str) -> None:
    assert f"`{family}`" in TEXT


@pytest.mark.parametrize("flavour", sorted({f.name.partition("-")[0] for f in FLAVOURS} - {"set"}))
def test_every_flavour_of_lora_is_described(flavour: str) -> None:
    assert flavour in TEXT.lower()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("entry", COMMANDS, ids=lambda entry: entry.name)
def test_every_help_page_ends_with_an_example(entry: object) -> None:
    command = entry.load()  # pyright: ignore
    assert "Example" in (command.epilog or "")
