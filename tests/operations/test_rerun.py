"""A file made again from its recipe has the same bytes; its lineage is told in order."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mergeable import write
from paintable import write as paintable
from sfumato.containers.open import open_model
from sfumato.containers.save import save
from sfumato.errors import Refused
from sfumato.operations.convert import convert
from sfumato.operations.ema import ema
from sfumato.operations.join import join
from sfumato.operations.lineage import UNSURE, lineage
from sfumato.operations.merging.merge import merge
from sfumato.operations.merging.registry import METHODS
from sfumato.operations.metadata import metadata
from sfumato.operations.prune import prune
from sfumato.operations.recipe import KEY, parse
from sfumato.operations.repair import repair
from sfumato.operations.rerun import REPEATS, recipe_of, rerun
from sfumato.operations.split import split
from small_models import IDS, sd1
from toys import random_tensors

Make = Callable[[Path, Path], object]


def _joined(source: Path, target: Path) -> None:
    parts = source.parent / "parts"
    split(source, parts)
    join([parts / "vae.safetensors", parts / "unet.safetensors"], target)


def _repaired(source: Path, target: Path) -> None:
    ids = random_tensors({IDS: (1, 77)})
    save(source, {**sd1(ema=True), **ids}, force=True)
    repair(source, target, fixes=["position-ids"])


MAKES: dict[str, Make] = {
    "convert": lambda a, b: convert(a, b, dtype="f16"),
    "prune": lambda a, b: prune(a, b, drop=["ema"], dtype="bf16"),
    "ema": lambda a, b: ema(a, b, action="extract"),
    "repair": _repaired,
    "metadata": lambda a, b: metadata(a, b, put={"title": "a = b"}, remove=["about"]),
    "join": _joined,
    "merge": lambda a, b: merge([a, a], b, alpha=0.3, dtype="f16", ema="use"),
}


@pytest.mark.parametrize("operation", MAKES)
def test_a_rerun_gives_the_same_bytes_whatever_the_inputs_are_called_now(
    operation: str, tmp_path: Path
) -> None:
    source, target = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save(source, sd1(ema=True), {"about": "dusk"})
    MAKES[operation](source, target)
    shelf = tmp_path / "shelf" / "deep"
    shelf.mkdir(parents=True)
    source.rename(shelf / "renamed.bin")
    done = rerun(target, tmp_path / "c.safetensors", models=[tmp_path / "shelf"])
    assert done.same and recipe_of(target).operation == operation
    assert (tmp_path / "c.safetensors").read_bytes() == target.read_bytes()


def test_every_operation_that_is_made_again_here_or_beside_its_tests_is_known() -> None:
    known = {repeat.operation for repeat in REPEATS}
    assert known >= {*MAKES, "split", "bake", "unbake", "lora_extract", "lora_merge"}


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_method_gives_the_same_bytes_again(method: object, tmp_path: Path) -> None:
    found = method.name  # pyright: ignore
    paths = write(tmp_path, "a", "b", "c")[: max(2, method.least)]  # pyright: ignore
    merge(paths, tmp_path / "m.safetensors", method=found, dtype="f16")
    assert rerun(tmp_path / "m.safetensors", tmp_path / "n.safetensors").same


def test_merges_of_files_of_one_name_are_not_mistaken_for_each_other(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        write(tmp_path / name, name)[0].rename(tmp_path / name / "model.safetensors")
    paths = [tmp_path / name / "model.safetensors" for name in "ab"]
    merge(paths, tmp_path / "m.safetensors", alpha=0.3)
    assert rerun(tmp_path / "m.safetensors", tmp_path / "n.safetensors", models=[tmp_path]).same


def test_a_folder_is_found_again_file_by_file(tmp_path: Path) -> None:
    paintable(tmp_path / "a.safetensors")
    convert(tmp_path / "a.safetensors", tmp_path / "folder")
    convert(tmp_path / "folder", tmp_path / "b.safetensors")
    (tmp_path / "folder").rename(tmp_path / "elsewhere")
    assert rerun(tmp_path / "b.safetensors", tmp_path / "c.safetensors").same


def test_a_pickle_is_made_again_too(tmp_path: Path) -> None:
    a, b = write(tmp_path, "a", "b")
    merge([a, b], tmp_path / "m.ckpt", alpha=0.3)
    assert rerun(tmp_path / "m.ckpt", tmp_path / "n.ckpt").same


@pytest.mark.parametrize("part", ["vae", "unet"])
def test_one_part_of_a_split_is_made_again_alone(part: str, tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", sd1())
    split(tmp_path / "a.safetensors", tmp_path / "parts")
    done = rerun(
        tmp_path / "parts" / f"{part}.safetensors", tmp_path / "v.safetensors", models=[tmp_path]
    )
    assert done.same


def test_inputs_that_are_gone_are_named(tmp_path: Path) -> None:
    a, b = write(tmp_path, "a", "b")
    merge([a, b], tmp_path / "m.safetensors")
    b.unlink()
    with pytest.raises(Refused, match=r"1 of 2 inputs not found in .*: b\.safetensors"):
        rerun(tmp_path / "m.safetensors", tmp_path / "n.safetensors")


def test_another_file_of_the_same_name_and_size_is_not_taken(tmp_path: Path) -> None:
    a, b = write(tmp_path, "a", "b")
    merge([a, b], tmp_path / "m.safetensors")
    shutil.copy(a, b)
    with pytest.raises(Refused, match="not found"):
        rerun(tmp_path / "m.safetensors", tmp_path / "n.safetensors")


def test_a_file_without_a_recipe_is_refused(tmp_path: Path) -> None:
    (a,) = write(tmp_path, "a")
    with pytest.raises(Refused, match="carries no recipe"):
        rerun(a, tmp_path / "n.safetensors")


@pytest.mark.parametrize("name", ["../a.safetensors", "..", "a/../../b", "/etc/passwd"])
def test_a_strangers_recipe_does_not_lead_out_of_its_folder(name: str, tmp_path: Path) -> None:
    (a,) = write(tmp_path, "a")
    convert(a, tmp_path / "b.safetensors")
    with open_model(tmp_path / "b.safetensors") as model:
        text = model.metadata[KEY].replace('"a.safetensors"', f'"{name}"')
        save(tmp_path / "c.safetensors", dict(model), {KEY: text})
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(Refused, match="is no name of a file"):
        rerun(tmp_path / "c.safetensors", tmp_path / "d.safetensors")
    assert before == {path: path.read_bytes() for path in tmp_path.iterdir()}


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    a, b = write(tmp_path, "a", "b")
    merge([a, b], tmp_path / "m.safetensors")
    assert rerun(tmp_path / "m.safetensors", tmp_path / "n.safetensors", dry_run=True).same is None
    assert not (tmp_path / "n.safetensors").exists()


def test_a_lineage_names_every_ancestor_in_its_place(tmp_path: Path) -> None:
    a, b = write(tmp_path, "a", "b")
    convert(b, tmp_path / "b16.safetensors", dtype="f16")
    merge([a, tmp_path / "b16.safetensors"], tmp_path / "m.safetensors", alpha=0.3)
    prune(tmp_path / "m.safetensors", tmp_path / "n.safetensors")
    first, second, third, fourth, fifth = lineage(tmp_path / "n.safetensors").lines()
    assert first.startswith("n.safetensors: prune")
    assert "m.safetensors" in second and "weighted-sum(A, B, alpha 0.3)" in second
    assert "├─ a.safetensors" in third and ": " not in third
    assert "└─ b16.safetensors" in fourth and "convert (dtype f16" in fourth
    assert "└─ b.safetensors" in fifth


def test_an_old_recipe_that_does_not_say_whose_it_is_is_told_as_such(tmp_path: Path) -> None:
    a, b = write(tmp_path, "a", "b")
    convert(b, tmp_path / "b16.safetensors", dtype="f16")
    merge([a, tmp_path / "b16.safetensors"], tmp_path / "m.safetensors")
    with open_model(tmp_path / "m.safetensors") as model:
        text = model.metadata[KEY].replace(',"of":1', "")
        assert parse(text).earlier[0].of is None
        save(tmp_path / "n.safetensors", dict(model), {KEY: text})
    assert [p.name for p in lineage(tmp_path / "n.safetensors").parents] == [
        "a.safetensors", "b16.safetensors", UNSURE,
    ]  # fmt: skip
