from __future__ import annotations

from typing import TYPE_CHECKING

from services.command.credentials import keep, make
from services.command.data_folder import DataFolder
from services.command.preparation import prepare
from services.command.up import announcement

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from services.command import plan

SECRETS = {"CLICKHOUSE_PASSWORD": "hunter2", "API_TOKENS": "hunter3,hunter4", "REWARDS_POST_TOKEN": "hunter5"}


def _plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **environment: str) -> plan.Plan:
    monkeypatch.chdir(tmp_path)
    for name, value in {**SECRETS, **environment}.items():
        monkeypatch.setenv(name, value)
    return prepare(tmp_path / "none.toml", DataFolder(tmp_path), with_demo=True).planned()


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
    holders = [name for name, service in services.items() if "CLICKHOUSE_PASSWORD" in service.environment]
    assert holders == ["clickhouse", "proxy", "api", "dashboard", "miner"]
    # The API reads tokens where they lie, so that it notices when they change there.
    assert not any("API_TOKENS" in service.environment for service in services.values())


def test_the_demo_mines_through_the_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = _plan(tmp_path, monkeypatch, PROXY_PORT="4001", MINING_POOL_HOST="elsewhere.test")
    environment = planned.services[-1].environment
    assert (environment["MINING_POOL_HOST"], environment["MINING_POOL_PORT"]) == ("127.0.0.1", "4001")


def test_a_chosen_log_format_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {s.environment["LOG_FORMAT"] for s in _plan(tmp_path, monkeypatch).services} == {"text"}
    planned = _plan(tmp_path, monkeypatch, LOG_FORMAT="json")
    assert {s.environment["LOG_FORMAT"] for s in planned.services} == {"json"}


def test_a_dashboard_for_everyone_gets_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    services = {service.name: service for service in _plan(tmp_path, monkeypatch, DASHBOARD_HOST="0.0.0.0").services}
    assert len(services["dashboard"].environment["DASHBOARD_PASSWORD"]) > 20


def test_only_secrets_in_force_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was made earlier and is set elsewhere now would let nobody in."""
    keep(tmp_path / "secrets", make(["api_tokens", "dashboard_password"]))
    planned = _plan(tmp_path, monkeypatch)
    (told,) = [line for line in announcement(planned, 1.0).splitlines() if line.startswith("  secrets")]
    assert told.endswith("/secrets/: dashboard_password")
