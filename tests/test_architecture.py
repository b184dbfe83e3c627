"""The picture of the house, kept true: arrows, cycles, limits, and what may never be written."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "sfumato"
FILES = sorted(PACKAGE.rglob("*.py"))

BELOW: dict[str, set[str]] = {
    "errors": {"containers"},  # the journal, as a type only: the test of circles sees to that
    "containers": {"errors"},
    "catalogue": {"errors", "containers"},
    "operations": {"errors", "containers", "catalogue"},
    "starter": set(),
    "library": {"errors", "containers", "catalogue", "starter"},
    "engine": {"errors", "containers", "catalogue", "operations", "library", "starter"},
    "training": {"errors", "containers", "catalogue", "operations", "library", "engine"},
}
"""room → the rooms it may import; `app` may import all, and nobody imports `app`"""

FORBIDDEN_FILES = {"utils", "helpers", "common", "misc", "base", "core"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "print"}
FORBIDDEN_MODULES = {"pickle", "_pickle", "pickletools", "marshal", "importlib", "shelve", "dill"}
FORBIDDEN_TEXT = ("torch.load(", "pickle.load", "Unpickler(", "np.load(", "numpy.load(")

ids = [path.relative_to(PACKAGE).as_posix() for path in FILES]
every_file = pytest.mark.parametrize("path", FILES, ids=ids)


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@every_file
def test_a_room_imports_only_the_rooms_below_it(path: Path) -> None:
    if room(path) not in BELOW:
        return
    allowed = BELOW[room(path)] | {room(path)}
    inner = [name.split(".") for name in imports(parsed(path)) if name.startswith("sfumato")]
    upward = [".".join(name) for name in inner if len(name) < 2 or name[1] not in allowed]
    assert not upward


def graph() -> dict[str, set[str]]:
    """Module → modules it imports when it is imported (inside functions and types left out)."""
    names = {".".join(("sfumato", *p.relative_to(PACKAGE).with_suffix("").parts)): p for p in FILES}
    names = {name.removesuffix(".__init__"): path for name, path in names.items()}
    edges: dict[str, set[str]] = {}
    for name, path in names.items():
        found: set[str] = set()
        for node in parsed(path).body:
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module)
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
        edges[name] = (found & names.keys()) - {name}
    return edges


def test_no_module_imports_itself_in_a_circle() -> None:
    edges, done = graph(), set[str]()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " → ".join((*trail, name))
        if name not in done:
            for below in edges[name]:
                visit(below, (*trail, name))
            done.add(name)

    for name in edges:
        visit(name, ())


@every_file
def test_nothing_that_could_execute_a_file_is_written(path: Path) -> None:
    tree = parsed(path)
    assert not {name.split(".")[0] for name in imports(tree)} & FORBIDDEN_MODULES
    assert not [text for text in FORBIDDEN_TEXT if text in path.read_text(encoding="utf-8")]
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    named = [call for call in calls if isinstance(call.func, ast.Name)]
    assert not {call.func.id for call in named if isinstance(call.func, ast.Name)} & FORBIDDEN_CALLS
    for call in named:
        if isinstance(call.func, ast.Name) and call.func.id in ("getattr", "setattr"):
            assert isinstance(call.args[1], ast.Constant), f"line {call.lineno}"


@every_file
def test_no_broad_except_hides_an_error(path: Path) -> None:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ExceptHandler):
            named = node.type.id if isinstance(node.type, ast.Name) else ""
            reraises = any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
            assert node.type is not None and (named != "Exception"), f"line {node.lineno}"
            assert named != "BaseException" or reraises, f"line {node.lineno}"


@every_file
def test_files_and_functions_stay_small_enough_to_read(path: Path) -> None:
    assert path.stem not in FORBIDDEN_FILES
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 500
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= 60, f"{node.name} has {length} lines"
            positional = [a for a in node.args.args if a.arg not in ("self", "cls")]
            assert len(positional) <= 6, f"{node.name} takes {len(positional)} in order"


@every_file
def test_a_module_opens_by_saying_what_it_is(path: Path) -> None:
    text = ast.get_docstring(parsed(path))
    assert text and text.splitlines()[0].endswith((".", ":")), "needs a one-sentence docstring"


@pytest.mark.parametrize(
    "action",
    [
        "import sfumato",
        "import sfumato.containers.open, sfumato.containers.save",
        "import sfumato.catalogue.cards.inspect, sfumato.catalogue.identify",
        "import sfumato.operations.convert",
        "import sfumato.operations.comparing.explain, sfumato.operations.comparing.fingerprints",
        "from sfumato.app.cli import main; main(['--help'])",
        "from sfumato.app.cli import main; main(['inspect', '--help'])",
        "from sfumato.app.cli import main; main(['generate', '--help'])",
        "from sfumato.app.cli import main; main(['grid', '--help'])",
        "import sfumato.engine.grid.axes, sfumato.engine.grid.plan, sfumato.engine.grid.run",
    ],
)
def test_quick_questions_do_not_import_torch(action: str) -> None:
    code = f"try: {action}\nexcept SystemExit: pass\nimport sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_asking_for_help_imports_neither_numpy_nor_pillow() -> None:
    code = (
        "from sfumato.app.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
        "import sys; assert not {'numpy', 'PIL', 'rich'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
