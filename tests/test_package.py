"""What is given away: the wheel holds what it needs, and the repository nothing large."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LARGEST = 30_000_000
CORE = {"numpy", "pillow", "click", "rich", "blake3"}
"""what the core may need; each has its reason beside it in pyproject.toml"""

project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def package(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower()


def test_the_core_needs_five_packages_each_for_a_reason() -> None:
    assert {package(requirement) for requirement in project["dependencies"]} == CORE
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    core = text.split("\ndependencies = [", 1)[1].split("\n]", 1)[0].strip()
    assert all(re.search(r",\s+# \w+", line) for line in core.splitlines())


def test_the_wheel_holds_the_data_the_types_and_the_command(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="hatchling is not installed: the wheel was NOT checked")
    from hatchling.builders.wheel import WheelBuilder

    builder = WheelBuilder(str(ROOT))
    (wheel,) = builder.build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (entry_points,) = (archive.read(n) for n in names if n.endswith("entry_points.txt"))
    source = ROOT / "src"
    assert {"sfumato/py.typed", *data_files(source)} <= names
    assert {path.relative_to(source).as_posix() for path in source.rglob("*.py")} <= names
    assert b"sfumato = sfumato.__main__:main" in entry_points
    assert not {name for name in names if name.startswith(("tests", "benchmarks"))}
    assert any(name.endswith("licenses/LICENSE") for name in names)


def data_files(source: Path) -> set[str]:
    found = {path.relative_to(source).as_posix() for path in source.rglob("data/*.json")}
    assert found >= {f"sfumato/catalogue/data/{name}.json" for name in ("files", "lines")}
    starter = source / "sfumato/starter"
    shipped = {p.relative_to(source).as_posix() for p in starter.rglob("*") if p.is_file()}
    return found | {name for name in shipped if "__pycache__" not in name}


def test_no_file_of_the_repository_is_large() -> None:
    if not shutil.which("git") or not (ROOT / ".git").exists():
        pytest.skip("this is no git repository: the sizes of its files were NOT checked")
    words = ["git", "-C", str(ROOT), "ls-files", "-z"]
    listed = subprocess.run(words, capture_output=True, check=True, text=True).stdout
    paths = [ROOT / name for name in listed.split("\0") if name]
    large = [path.name for path in paths if path.is_file() and path.stat().st_size > LARGEST]
    assert paths and not large
