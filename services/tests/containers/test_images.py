"""Each image holds what its services import; what is missing there would show only once a container starts."""

from __future__ import annotations

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
STAGES = re.split(r"^FROM ", (ROOT / "docker" / "Dockerfile").read_text(), flags=re.MULTILINE)
TARGETS = {match[1]: stage for stage in STAGES if (match := re.match(r"runtime AS ([a-z-]+)\n", stage))}
DISTRIBUTIONS = packages_distributions()
# Of the warehouse, the clickhouse image runs the engine's part, the demo pool none, the others all but the engine.
# `tools` has every room, and imports the options of each.
ROOMS = {
    target: ["stratum", *re.findall(r"/app/services/([a-z]+) ", stage)]
    for target, stage in TARGETS.items()
    if target != "tools"
}
# Imported where it is there, done without where it is not.
OPTIONAL = {"llvmlite", "lz4", "msgspec"}


@pytest.mark.parametrize("target", ROOMS)
def test_what_is_imported_is_installed(target: str) -> None:
    lock = (ROOT / "requirements" / "images" / f"{target}.txt").read_text()
    held = set(re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE))
    imported = {
        module: {name.lower().replace("_", "-").replace(".", "-") for name in DISTRIBUTIONS.get(module, [module])}
        for path in _files(target)
        for module in _imported(ast.parse(path.read_text()))
    }
    assert len(imported) > 0
    assert {module for module, names in imported.items() if not names & held and module not in OPTIONAL} == set()


def _files(target: str) -> Iterator[Path]:
    for room in ROOMS[target]:
        yield from (ROOT / "services" / room).rglob("*.py")
    warehouse = ROOT / "services" / "warehouse"
    if target == "clickhouse":
        yield from (warehouse / "embedded").rglob("*.py")
    elif target != "demo-pool":
        yield from warehouse.glob("*.py")


def _imported(tree: ast.AST) -> Iterator[str]:
    """Third-party modules that run-time code imports, at its head or within a function."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        for name in names:
            top = name.split(".")[0]
            if top not in sys.stdlib_module_names and top not in ("services", "compression"):
                yield top
        yield from _imported(node)
