"""docker/prometheus: every alert asks for what a proxy really answers, and the documentation says what to do."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from services.tests.operations.conftest import ROOT, metrics_named

FOLDER = ROOT / "docker" / "prometheus"
SEVERITIES = {"critical", "warning", "info"}


def _alerts() -> list[dict[str, Any]]:
    rules = yaml.safe_load((FOLDER / "rules.yml").read_text())
    return [rule for group in rules["groups"] for rule in group["rules"]]


ALERTS = {alert["alert"]: alert for alert in _alerts()}


def labels_in(expression: str) -> set[str]:
    """The labels that an expression selects, groups or matches by."""
    selected = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", expression)
    grouped = re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", expression)
    return {*selected, *(label.strip() for group in grouped for label in group.split(","))}


def test_each_alert_has_its_own_name() -> None:
    assert len(ALERTS) == len(_alerts()) > 10


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert(name: str, series: set[str], label_names: frozenset[str], operations: str) -> None:
    alert = ALERTS[name]
    expression = alert["expr"]
    assert name.startswith("Sharehouse")
    assert set(alert) <= {"alert", "expr", "for", "labels", "annotations"}
    assert metrics_named(expression) <= series
    assert metrics_named(expression) or expression.startswith("up{")
    assert labels_in(expression) <= {*label_names, "le"}
    assert expression.count("(") == expression.count(")")
    assert re.fullmatch(r"\d+[smh]", alert.get("for", "1m"))
    severity = alert["labels"]["severity"]
    assert severity in SEVERITIES
    said = operations[operations.index(f"\n### {name}\n") :].split("\n")[2]
    assert said.lower().startswith(severity)
    assert alert["annotations"]["runbook"] == f"docs/OPERATIONS.md#{name.lower()}"
    assert "{{ $labels.instance }}" in alert["annotations"]["summary"]


def test_no_alert_is_explained_that_is_not_there(operations: str) -> None:
    assert set(re.findall(r"^### (Sharehouse\w+)$", operations, re.MULTILINE)) == set(ALERTS)


def test_the_configuration_reads_the_rules_and_names_the_job_that_they_expect(operations: str) -> None:
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    (block,) = re.findall(r"```yaml\n(.*?)```", operations, re.DOTALL)
    for one in (config, yaml.safe_load(block)):
        assert one["rule_files"] == ["rules.yml"]
        (job,) = one["scrape_configs"]
        assert job["job_name"] == "sharehouse"
