"""`sharehouse config check` refuses what the services refuse, all at once, and nothing else."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

from services.command.check import check
from services.command.data_folder import DataFolder
from services.command.demo import write_config
from services.command.mistake import Mistake
from services.command.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

POOL = '[pools.normal]\nhost = "pool.test"\nport = 3333\nuser = "wallet"\npass = "x"\n'


@pytest.fixture(autouse=True)
def bare_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)
    # No name service answers in a test.
    monkeypatch.setattr(socket, "getaddrinfo", _no_such_name)


_getaddrinfo = socket.getaddrinfo


def _no_such_name(host: Any, *others: Any, **more: Any) -> list[Any]:
    if host == "pool.test":
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return _getaddrinfo(host, *others, **more)


def _problems(tmp_path: Path, config: str = POOL) -> tuple[str, ...]:
    (tmp_path / "c.toml").write_text(config)
    try:
        check(tmp_path / "c.toml", tmp_path / "data", lambda line: None)
    except Mistake as mistake:
        return mistake.problems
    finally:
        assert not (tmp_path / "data").exists(), "looking writes nothing"
    return ()


def test_what_can_stand_passes(tmp_path: Path) -> None:
    assert _problems(tmp_path) == ()


def test_what_may_not_be_meant_is_told_and_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKENS", "0123456789abcdef,0123456789abcde")
    monkeypatch.setenv("DASHBOARD_TOKENS", "0123456789abcdef")
    (tmp_path / "c.toml").write_text(POOL + 'fallbacks = [{ host = "10.0.0.1", port = 1, user = "w", pass = "x" }]\n')
    told: list[str] = []
    check(tmp_path / "c.toml", tmp_path / "data", told.append)
    assert [line for line in told if line.startswith("warning: ")] == [
        "warning: pools.normal.host: pool.test does not resolve now: Name or service not known",
        (
            "warning: API_TOKENS holds a token of fewer than 16 characters, too short to withstand guessing;"
            " scripts/generate_token.py makes good ones"
        ),
    ]
    assert told[-1] == "all of it can stand"
    assert "0123456789abcde" not in "".join(told)


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"API_PORT": "5000"}, "API_PORT and DASHBOARD_PORT are both 5000"),
        ({"METRICS_PORT": "3331"}, "PROXY_PORT and METRICS_PORT are both 3331"),
        ({"API_JWT_SECRET": "short"}, "API_JWT_SECRET is shorter than 32 bytes"),
        ({"CLICKHOUSE_HOST": "0.0.0.0"}, "CLICKHOUSE_HOST is 0.0.0.0: other machines could reach ClickHouse without"),
        ({"DASHBOARD_HOST": "0.0.0.0"}, "DASHBOARD_HOST is 0.0.0.0, which others can reach"),
        ({"AWS_S3_BUCKET": "bucket", "AWS_ACCESS_KEY_ID": "a"}, "AWS_SECRET_ACCESS_KEY is not"),
    ],
)
def test_what_a_service_refuses_is_refused(
    environment: dict[str, str], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    (problem,) = _problems(tmp_path)
    assert reason in problem


def test_another_machines_clickhouse_is_only_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLICKHOUSE_HOST", "192.0.2.1")
    assert _problems(tmp_path) == ()


def test_everything_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_JWT_SECRET", "short")
    monkeypatch.setenv("API_PORT", "5000")
    file = tmp_path / "c.toml"
    told = _problems(
        tmp_path,
        'wallet = 1\n[settings]\nfoo = 1\n[limits]\nconections = 1\n[pools.normal]\nhost = "pool.test"\nport = 0\n'
        'user = "your_wallet"\npass = "x"\n',
    )
    assert [problem.split(": ")[:2] for problem in told[:5]] == [
        [str(file), "wallet"],
        [str(file), "settings.foo"],
        [str(file), "pools.normal.port"],
        [str(file), "pools.normal.user"],
        [str(file), "limits.conections"],
    ]
    assert "API_JWT_SECRET" in told[5]
    assert "both 5000" in told[6]
    assert len(told) == 7


def test_a_bad_value_hides_no_bad_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROXY_PORT", "x")
    table = POOL.replace("normal", "other").replace("3333", '"y"') + "listen = 3331\n"
    assert [problem.split(": ")[1] for problem in _problems(tmp_path, table)] == ["PROXY_PORT", "pools.other.port"]


def test_a_demos_folder_is_told_with_its_own_pools(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data" / "demo")
    folder.create()
    write_config(folder, 13333)
    said: list[str] = []
    check(None, folder.path, said.append)
    assert "is the data folder of a demo" in said[0]
    assert any(line.startswith("pool normal: ") and "127.0.0.1:13333" in line for line in said)
