"""The documents mention everything there is, and lead nowhere that is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sfumato import errors
from sfumato.app.cli import COMMANDS, generate, grid
from sfumato.app.cli.painting import settings
from sfumato.app.cli.painting.setting import Setting
from sfumato.catalogue.adapters.flavours import FLAVOURS
from sfumato.catalogue.families import TITLES
from sfumato.containers.model_file import CONTAINERS
from sfumato.engine.grid.parameters import PARAMETERS
from sfumato.engine.sampling.registry import SAMPLERS
from sfumato.engine.sampling.schedules import AUTOMATIC, SCHEDULES

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)

GENERATE, GRID = ((ROOT / "docs" / f"{n}.md").read_text("utf-8") for n in ("generate", "grid"))


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


@pytest.mark.parametrize("name", [AUTOMATIC, *(s.name for s in (*SAMPLERS, *SCHEDULES))])
def test_every_sampler_and_schedule_is_described(name: str) -> None:
    assert f"\n| {name} |" in GENERATE


@pytest.mark.parametrize("setting", [*settings.REQUEST, *generate.OUTPUT], ids=lambda s: s.name)
def test_every_option_of_painting_is_described(setting: Setting) -> None:
    assert re.search(rf"{setting.flags.split('/')[0].split()[-1]}\b", GENERATE)


@pytest.mark.parametrize("setting", [*grid.AXES, *grid.OUTPUT], ids=lambda s: s.name)
def test_every_option_of_grids_is_described(setting: Setting) -> None:
    assert any(flag in GENERATE + GRID for flag in re.split("[ /]", setting.flags))


@pytest.mark.parametrize("name", [parameter.name for parameter in PARAMETERS])
def test_every_axis_is_described(name: str) -> None:
    assert f"| `{name}` |" in GRID


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("entry", COMMANDS, ids=lambda entry: entry.name)
def test_every_help_page_ends_with_an_example(entry: object) -> None:
    command = entry.load()  # pyright: ignore
    assert "Example" in (command.epilog or "")
