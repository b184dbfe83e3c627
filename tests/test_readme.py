"""The README is true: its commands print what it shows, its Python runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fill_readme import filled
from make_models import lighthouse, moonlight

pytestmark = pytest.mark.slow

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_commands_print_what_the_readme_shows() -> None:
    assert filled(README) == README


def test_the_python_lines_run_and_print_what_their_comments_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "demo").mkdir()
    lighthouse(tmp_path / "demo" / "lighthouse-training.ckpt")
    moonlight(tmp_path / "demo" / "moonlight.pt")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(code, {})
    printed = re.findall(r"^print\(.*\)\s+# (.*)$", code, re.MULTILINE)
    assert capsys.readouterr().out.splitlines() == printed
