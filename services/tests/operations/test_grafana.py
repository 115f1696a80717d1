"""docker/grafana: a dashboard whose panels ask for what a proxy really answers, and lie beside each other."""

from __future__ import annotations

import json
from itertools import combinations
from typing import Any

import yaml

from services.tests.operations.conftest import ROOT, metrics_named
from services.tests.operations.test_prometheus import ALERTS, labels_in

FOLDER = ROOT / "docker" / "grafana"
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "dashboards" / "sharehouse.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]


def _queries() -> list[str]:
    return [target["expr"] for panel in PANELS for target in panel.get("targets", ())]


def test_every_query_names_what_there_is(series: set[str], label_names: frozenset[str]) -> None:
    assert len(_queries()) > 20
    for query in _queries():
        assert metrics_named(query), query
        assert metrics_named(query) <= series, query
        assert labels_in(query) <= {*label_names, "le"}, query
        assert query.count("(") == query.count(")"), query
        assert query.count("{") == query.count("}"), query


def test_what_alerts_look_at_is_on_it() -> None:
    shown = metrics_named(" ".join(_queries()))
    assert {metric for alert in ALERTS.values() for metric in metrics_named(alert["expr"])} <= shown


def test_panels_are_told_apart_and_do_not_overlap() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    for one, other in combinations((panel["gridPos"] for panel in PANELS), 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above
    for panel in PANELS:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        assert panel["type"] == "row" or panel["description"]


def test_every_variable_is_asked_of_the_chosen_source(series: set[str]) -> None:
    source, *others = DASHBOARD["templating"]["list"]
    assert (source["name"], source["type"]) == ("source", "datasource")
    for variable in others:
        assert variable["datasource"]["uid"] == "${source}"
        assert metrics_named(variable["definition"]) <= series
    assert all(panel["datasource"]["uid"] == "${source}" for panel in PANELS if panel["type"] != "row")


def test_provisioning_finds_source_and_dashboard() -> None:
    (source,) = yaml.safe_load((FOLDER / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    assert source["type"] == "prometheus"
    assert source["uid"] == DASHBOARD["templating"]["list"][0]["current"]["value"]
    (provider,) = yaml.safe_load((FOLDER / "provisioning/dashboards/sharehouse.yml").read_text())["providers"]
    assert provider["type"] == "file"
    assert DASHBOARD["uid"] == "sharehouse"
