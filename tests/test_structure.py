"""The shape of the code: imports point one way, files and functions are short, and only one place opens a writer."""

from __future__ import annotations

import ast
import graphlib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "dlrun"
FILES = sorted(PACKAGE.rglob("*.py"))
LONGEST_FILE, LONGEST_FUNCTION = 350, 60


def name(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(file: Path) -> set[str]:
    """The modules of dlrun that a module imports when it is imported itself; not those within functions."""
    known, found = {name(other) for other in FILES}, set()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    nodes: list[ast.stmt] = list(tree.body)
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inside = f"{node.module}.{alias.name}"
                found.add(inside if inside in known else node.module)
    return {module for module in found if module in known and module not in ("dlrun", name(file))}


def test_no_circle_of_imports() -> None:
    graphlib.TopologicalSorter({name(file): imports(file) for file in FILES}).prepare()  # raises CycleError


@pytest.mark.parametrize(
    ("below", "above"),
    [
        ("task", ("training", "command", "build", "run", "config")),
        ("model", ("training", "task", "command", "build", "run", "callback")),
        ("dataset", ("training", "task", "command", "build", "run", "callback", "model")),
        ("attack", ("training", "task", "command", "build", "run")),
        ("training", ("command", "build", "run")),
        ("record", ("training", "task", "command", "build")),
        ("logger", ("training", "task", "command", "build", "record")),
        ("config", ("training.trainer", "task", "command.train", "build")),
    ],
)
def test_arrows_point_one_way(below: str, above: tuple[str, ...]) -> None:
    allowed = ("dlrun.config.section", "dlrun.errors")  # options stand beside what they configure
    for file in (PACKAGE / below).rglob("*.py"):
        for module in imports(file) - set(allowed):
            assert not any(module == f"dlrun.{one}" or module.startswith(f"dlrun.{one}.") for one in above), (
                f"{name(file)} imports {module}"
            )


def test_files_and_functions_are_short() -> None:
    long = []
    for file in FILES:
        text = file.read_text(encoding="utf-8")
        if text.count("\n") > LONGEST_FILE:
            long.append(f"{name(file)}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno + 1 > LONGEST_FUNCTION:
                long.append(f"{name(file)}.{node.name}: {(node.end_lineno or 0) - node.lineno + 1} lines")
    assert long == []


def test_the_package_has_few_loose_modules() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 11
