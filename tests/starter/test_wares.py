"""What ships: it is all there, it is what it says, and its names go wherever a model is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from sfumato.catalogue.cards.inspect import inspect
from sfumato.containers.open import open_model
from sfumato.library.find import Shelf
from sfumato.starter.wares import MODELS, PICTURES, WARES, Ware, shipped
from sfumato.training.data.folder import find_pictures

ROOM = 60_000_000
"""bytes that all of it may take"""

MODEL_WARES = [ware for ware in WARES if ware.kind != "pictures"]
every_model = pytest.mark.parametrize("ware", MODEL_WARES, ids=lambda ware: ware.name)


def shelf() -> Shelf:
    return Shelf.from_environment()


def test_everything_listed_is_there_and_fits_into_the_room() -> None:
    assert list(shipped()) == list(WARES)
    assert sum(ware.size for ware in WARES) <= ROOM


def test_nothing_lies_there_that_is_not_listed() -> None:
    models = {path for path in MODELS.rglob("*") if path.is_file()}
    assert models == {ware.path for ware in MODEL_WARES}
    assert {path.name for path in PICTURES.iterdir()} == {
        ware.name for ware in WARES if ware.kind == "pictures"
    }


@every_model
def test_a_file_is_of_the_kind_that_the_list_says_and_clean(ware: Ware) -> None:
    card = inspect(ware.path)
    assert card.identity.kind == ware.kind
    assert card.verdict == "clean"


@every_model
def test_a_file_says_who_made_it_from_what_and_on_what_terms(ware: Ware) -> None:
    with open_model(ware.path) as model:
        said = {**model.metadata, **{key: str(value) for key, value in model.extras.items()}}
    assert said["modelspec.author"] == "The Sfumato authors"
    for word in ("Apache-2.0", "MIT", "Google", "Microsoft"):
        assert word in said["modelspec.license"]
    assert f'kind = "{ware.kind}"' in said["sfumato.run"]


@every_model
def test_a_name_is_found_wherever_a_model_is_named(ware: Ware) -> None:
    assert ware.kind != "pictures"
    found = shelf().resolve(ware.kind, ware.name, paths=False)
    assert (found.path, found.note) == (ware.path, "")


def test_a_file_of_the_users_goes_before_a_starter_file_of_its_name(tmp_path: Path) -> None:
    mine = tmp_path / "loras" / "inkline.safetensors"
    mine.parent.mkdir()
    mine.write_bytes(next(w for w in WARES if w.name == "inkline").path.read_bytes())
    found = Shelf.from_environment([tmp_path]).resolve("lora", "inkline")
    assert found.path == mine
    assert "goes before" in found.note


def test_starter_files_are_not_the_users_own(tmp_path: Path) -> None:
    assert [entry.name for entry in shelf().own("checkpoint")] == []
    assert {entry.name for entry in shelf().all("checkpoint")} == {"starter", "starter-noto"}


@pytest.mark.parametrize("ware", [w for w in WARES if w.kind == "pictures"], ids=lambda w: w.name)
def test_pictures_come_with_captions(ware: Ware) -> None:
    items = find_pictures(ware.path).items
    assert len(items) == len(list(ware.path.glob("*.png")))
    assert all(item.captions and item.captions[0] for item in items)
