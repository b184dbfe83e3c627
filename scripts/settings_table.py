"""Writes the tables of a training run's settings into docs/train.md, from the code's own words.

    python scripts/settings_table.py [--check]

What stands between `<!-- settings -->` and `<!-- end of settings -->` is replaced. With --check
nothing is written, and the exit status says whether it was up to date.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "sfumato" / "training" / "settings.py"
PAGE = ROOT / "docs" / "train.md"
BEGIN, END = "<!-- settings -->", "<!-- end of settings -->"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, as the code has it."""

    table: str
    name: str
    default: str
    text: str
    """its docstring; empty where it has none"""


def settings() -> Iterator[tuple[str, str, list[Setting]]]:
    """Each table of a run, what it is, and its settings; first those that stand in no table."""
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    run = classes["Run"]
    inner = {
        node.target.id: kind
        for node in run.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        for kind in classes
        if kind in ast.unparse(node.annotation).split(" | ")
    }
    own = [each for each in _fields(run, "") if each.name not in inner]
    yield "", ast.get_docstring(run) or "", own
    for table, kind in inner.items():
        yield table, ast.get_docstring(classes[kind]) or "", list(_fields(classes[kind], table))


def _fields(node: ast.ClassDef, table: str) -> Iterator[Setting]:
    following = [*node.body[1:], ast.Pass()]
    for field, after in zip(node.body, following, strict=True):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        text = ""
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            text = str(after.value.value)
        default = _toml(field.value) if field.value is not None else ""
        yield Setting(table, field.target.id, default, text)


def _toml(value: ast.expr) -> str:
    """A default as TOML spells it."""
    try:
        plain = ast.literal_eval(value)
    except ValueError:
        return ""
    if isinstance(plain, tuple):
        return f"[{', '.join(map(_spelled, plain))}]"
    return _spelled(plain)


def _spelled(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else repr(value)


def tables() -> str:
    """Markdown of all settings."""
    lines: list[str] = []
    for table, about, rows in settings():
        lines += [f"### `[{table}]`" if table else "### The run itself", "", about, ""]
        lines += ["| setting | default | |", "|---|---|---|"]
        for row in rows:
            default = f"`{row.default}`" if row.default else "must be given"
            lines.append(f"| `{row.name}` | {default} | {row.text.replace('|', chr(92) + '|')} |")
        lines.append("")
    return "\n".join(lines)


def filled(page: str) -> str:
    """The page with the tables as they are now."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{tables()}\n{END}{after}"


def main(arguments: list[str]) -> int:
    """Fill or check the page."""
    page = PAGE.read_text(encoding="utf-8")
    if "--check" in arguments:
        return int(filled(page) != page)
    PAGE.write_text(filled(page), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
