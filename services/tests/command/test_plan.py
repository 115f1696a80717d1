from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from services.command import configuration, demo, plan
from services.command.mistake import Mistake

if TYPE_CHECKING:
    from pathlib import Path

SECRETS = {"CLICKHOUSE_PASSWORD": "hunter2", "API_TOKENS": "hunter3,hunter4", "REWARDS_POST_TOKEN": "hunter5"}


def _plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **environment: str) -> plan.Plan:
    monkeypatch.chdir(tmp_path)
    for name, value in {**SECRETS, **environment}.items():
        monkeypatch.setenv(name, value)
    found = configuration.load(data=tmp_path)
    config = demo.write_config(found.data, found.settings.demo_pool_port)
    return plan.make(configuration.load(config, tmp_path, need_config=True), with_demo=True)


def test_whoever_needs_another_starts_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = _plan(tmp_path, monkeypatch)
    assert {service.name: service.after for service in planned.services} == {
        "clickhouse": (),
        "demo-pool": (),
        "proxy": ("clickhouse", "demo-pool"),
        "api": ("clickhouse",),
        "dashboard": ("clickhouse",),
        "miner": ("proxy",),
    }
    names = [service.name for service in planned.services]
    assert all(names.index(name) < names.index(service.name) for service in planned.services for name in service.after)
    assert [pool.name for pool in planned.pools] == ["normal", "high_diff"]
    assert {(pool.host, pool.port) for pool in planned.pools} == {("127.0.0.1", 13333)}


def test_secrets_go_by_the_environment_and_only_to_who_needs_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = {service.name: service for service in _plan(tmp_path, monkeypatch).services}
    assert "hunter" not in repr(services)
    assert services["api"].environment["API_TOKENS"] == "hunter3,hunter4"
    holders = [name for name, service in services.items() if "CLICKHOUSE_PASSWORD" in service.environment]
    assert holders == ["clickhouse", "proxy", "api", "dashboard", "miner"]
    assert [name for name, service in services.items() if "API_TOKENS" in service.environment] == ["api"]


def test_the_demo_mines_through_the_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = _plan(tmp_path, monkeypatch, PROXY_PORT="4001", MINING_POOL_HOST="elsewhere.test")
    environment = planned.services[-1].environment
    assert (environment["MINING_POOL_HOST"], environment["MINING_POOL_PORT"]) == ("127.0.0.1", "4001")


def test_a_chosen_log_format_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {s.environment["LOG_FORMAT"] for s in _plan(tmp_path, monkeypatch).services} == {"text"}
    planned = _plan(tmp_path, monkeypatch, LOG_FORMAT="json")
    assert {s.environment["LOG_FORMAT"] for s in planned.services} == {"json"}


def test_a_dashboard_for_everyone_needs_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Mistake, match="DASHBOARD_PASSWORD"):
        _plan(tmp_path, monkeypatch, DASHBOARD_HOST="0.0.0.0")
