"""docs/OPERATIONS.md tells of everything that an operator can see or set, and of nothing that is not there."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from typing import TYPE_CHECKING

from services.command.settings import Settings
from services.proxy.options import Limits
from services.tests.operations.conftest import ROOT, UNPREFIXED, metrics_named

if TYPE_CHECKING:
    from collections.abc import Iterator

LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "exception": "error"}
ELSEWHERE = {"SPOOL", "DATA"}
"""Words in capitals that stand for a folder."""


def test_every_metric_is_explained_and_no_other(operations: str, families: dict[str, str]) -> None:
    ours = {name for name in families if not name.startswith("process_")}
    assert len(ours) > 30
    assert metrics_named(_tables(operations)) == ours


def test_every_metric_has_the_prefix_and_its_unit_or_kind(families: dict[str, str]) -> None:
    for name, kind in families.items():
        assert name.startswith(("sharehouse_", "process_")) or name == UNPREFIXED, name
        assert name.endswith("_total") == (kind == "counter"), name
        if kind == "histogram":
            assert name.endswith("_seconds"), name


def test_no_metric_is_named_that_is_not_there(operations: str, families: dict[str, str], series: set[str]) -> None:
    assert metrics_named(operations) <= series | set(families)


def test_the_labels_of_every_metric_are_told(
    operations: str, families: dict[str, str], labels_of: dict[str, frozenset[str]]
) -> None:
    for name in families:
        if not name.startswith("process_"):
            told = {tuple(found.split(", ")) if found else () for found in _labels_told(operations, name)}
            (labels,) = told
            assert frozenset(labels) == labels_of.get(name, frozenset()), name


def _labels_told(operations: str, name: str) -> list[str]:
    return re.findall(rf"`{name}(?:\{{([^}}]*)\}})?`", _tables(operations))


def _tables(operations: str) -> str:
    return "\n".join(line for line in operations.splitlines() if re.match(r"\| `(sharehouse|shares)_", line))


def test_every_limit_and_setting_is_explained_somewhere() -> None:
    limits, example = (ROOT / "docs" / "LIMITS.md").read_text(), (ROOT / ".env.example").read_text()
    config = (ROOT / "config" / "config.toml").read_text()
    for limit in fields(Limits):
        assert f"| `{limit.name}` |" in limits
        assert f"# {limit.name} = " in config
    for setting in Settings.model_fields:
        assert re.search(rf"^(# )?{setting.upper()}=", example, re.MULTILINE), setting


def test_settings_that_it_names_are_there(operations: str) -> None:
    named = set(re.findall(r"(?<![\w`/])([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)\b", operations))
    assert named - ELSEWHERE <= {name.upper() for name in Settings.model_fields}


def test_every_event_of_the_log_is_explained_and_no_other(operations: str) -> None:
    logs = operations[operations.index("\n## Logs") :].split("\n## ")[1]
    rows = [line.split("|")[1:3] for line in logs.splitlines() if line.startswith("| `")]
    told = {event: set(levels.strip().split(", ")) for names, levels in rows for event in re.findall(r"`(\w+)`", names)}
    logged: dict[str, set[str]] = {}
    for event, level in _events():
        logged.setdefault(event, set()).add(level)
    assert len(logged) > 80
    assert set(logged) - set(told) == set()
    assert set(told) - set(logged) == set()
    for event, levels in logged.items():
        assert levels <= told[event], f"{event} is logged at {levels}"


def _events() -> Iterator[tuple[str, str]]:
    """What services log, each with its level. The miner speaks in sentences, which need no explanation."""
    for path in (ROOT / "services").rglob("*.py"):
        if path.relative_to(ROOT / "services").parts[0] in ("tests", "bench"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not node.args:
                continue
            logger, method, event = node.func.value, node.func.attr, node.args[0]
            if isinstance(logger, ast.Name) and logger.id == "log" and method in LEVELS:
                yield from ((text, LEVELS[method]) for text in _names(event))
            elif method == "_warn":
                yield from ((text, "error") for text in _names(event))


def _names(event: ast.expr) -> Iterator[str]:
    """One event's name, or the two of a choice."""
    for node in ast.walk(event):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"\w+", node.value):
            yield node.value
