"""`sharehouse` as a person runs it: what it says, and with which exit code."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from services.command.data_folder import DataFolder, FolderLock
from services.command.main import app
from services.command.settings import Settings
from services.tests.free_port import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator


ROOT = Path(__file__).parents[3]
SUBCOMMANDS = (
    "up",
    "clickhouse",
    "proxy",
    "api",
    "dashboard",
    "miner",
    "demo-pool",
    "config check",
    "db migrate",
    "s3 check",
    "spool ship",
    "backup create",
    "backup restore",
    "shares audit",
    "shares export",
    "shares proof",
)
PORTS = (
    "PROXY_PORT",
    "PROXY_PORT_HIGH",
    "API_PORT",
    "DASHBOARD_PORT",
    "METRICS_PORT",
    "CLICKHOUSE_PORT",
    "DEMO_POOL_PORT",
)
POOL = '[pools.normal]\nhost = "127.0.0.1"\nport = 1\nuser = "wallet.{worker}"\npass = "hunter2"\n'


def sharehouse(
    *arguments: str, cwd: Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run it to its end in the folder `cwd`, with nothing of the tester's own settings."""
    return subprocess.run(
        [sys.executable, "-m", "services.command", *arguments],
        cwd=cwd,
        env=_environment(environment or {}),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def _environment(more: dict[str, str]) -> dict[str, str]:
    mine = {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}
    ports = dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True))
    return {**mine, **ports, "PYTHONPATH": str(ROOT), "COLUMNS": "100", **more}


@contextlib.contextmanager
def started(
    *arguments: str, cwd: Path, environment: dict[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    """Run it beside the test; gives the process and its stderr, and leaves nothing running."""
    with subprocess.Popen(
        [sys.executable, "-m", "services.command", *arguments],
        cwd=cwd,
        env=_environment(environment or {}),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        try:
            yield process, process.stderr
        finally:
            process.kill()


def _config(tmp_path: Path, text: str = POOL) -> str:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return str(path)


def test_without_a_word_it_explains_itself(tmp_path: Path) -> None:
    done = sharehouse("--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "sharehouse up --demo" in done.stdout


@pytest.mark.parametrize("subcommand", SUBCOMMANDS)
def test_help_explains_with_an_example(subcommand: str) -> None:
    done = CliRunner(env={"COLUMNS": "100", "TERM": "dumb"}).invoke(app, [*subcommand.split(), "--help"])
    assert done.exit_code == 0
    assert re.search(r"Examples?: ", done.stdout)
    assert "--config" in done.stdout
    assert "--data" in done.stdout


def test_config_check_tells_values_and_origins_but_no_secret(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("CLICKHOUSE_PASSWORD=hunter3\nAPI_TOKEN=slip\n")
    environment = {"API_PORT": "18888", "API_TOKENS": "hunter4,hunter5"}
    done = sharehouse("config", "check", "--config", _config(tmp_path), cwd=tmp_path, environment=environment)
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line}
    assert lines["API_PORT"] == ["18888", "environment"]
    assert lines["CLICKHOUSE_PASSWORD"] == ["********", ".env"]
    assert lines["API_TOKENS"] == ["********", "(2)", "environment"]
    assert lines["COIN"] == ["btc", "default"]
    assert {name.upper() for name in Settings.model_fields} <= set(lines)
    assert "note: .env sets API_TOKEN, which is no setting" in done.stdout
    assert "hunter" not in done.stdout + done.stderr


def test_every_mistake_is_one_line(tmp_path: Path) -> None:
    config = _config(tmp_path, POOL.replace("wallet", "your_wallet").replace("port = 1", 'port = "x"'))
    done = sharehouse("config", "check", "--config", config, cwd=tmp_path)
    assert done.returncode == 2
    assert [line.split(": ")[2] for line in done.stderr.splitlines()] == ["pools.normal.port", "pools.normal.user"]
    assert "hunter2" not in done.stderr


@pytest.mark.parametrize("arguments", [("up",), ("proxy",)])
def test_the_placeholder_wallet_is_refused_with_the_keys_to_edit(arguments: tuple[str, ...], tmp_path: Path) -> None:
    shipped = str(ROOT / "config" / "config.toml")
    done = sharehouse(*arguments, "--config", shipped, "--data", str(tmp_path / "data"), cwd=tmp_path)
    assert done.returncode == 2
    assert f"{shipped}: pools.normal.user: still the placeholder 'your_wallet.taohash'" in done.stderr
    assert "pools.high_diff.user" in done.stderr
    assert not (tmp_path / "data").exists()


def test_up_names_each_port_that_is_in_use(tmp_path: Path) -> None:
    with contextlib.ExitStack() as held:
        taken = {name: held.enter_context(socket.create_server(("127.0.0.1", 0))) for name in PORTS}
        ports = {name: str(listening.getsockname()[1]) for name, listening in taken.items()}
        done = sharehouse("up", "--demo", "--data", str(tmp_path / "d"), cwd=tmp_path, environment=ports)
    assert done.returncode == 2
    told = {line.split()[-1]: line for line in done.stderr.splitlines()}
    assert set(told) == set(PORTS)
    assert all(f"port {ports[name]} on " in line for name, line in told.items())
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == [], "a refused run leaves nothing"


def test_up_on_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    with FolderLock(DataFolder(tmp_path)):
        done = sharehouse("up", "--demo", "--data", str(tmp_path), cwd=tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["up.lock"]
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "in use by another `sharehouse up`" in done.stderr


def test_up_refuses_a_folder_that_it_cannot_write(tmp_path: Path) -> None:
    done = sharehouse("up", "--demo", "--data", "/proc/sharehouse", cwd=tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "cannot be written" in done.stderr
    assert "--data DIR" in done.stderr


@pytest.mark.parametrize("place", ["d", "d/clickhouse"])
@pytest.mark.parametrize("command", [("up", "--demo"), ("config", "check"), ("clickhouse",)])
def test_a_file_in_place_of_a_folder_is_told_in_a_line(tmp_path: Path, place: str, command: tuple[str, ...]) -> None:
    file = tmp_path / place
    file.parent.mkdir(exist_ok=True)
    file.touch()
    config = () if command[0] == "up" else ("--config", _config(tmp_path))
    done = sharehouse(*command, *config, "--data", str(tmp_path / "d"), cwd=tmp_path)
    assert done.returncode == 2
    told = f"sharehouse: {file} is a file, not a folder; move it away, or name another data folder with --data DIR\n"
    assert done.stderr == told


def test_up_refuses_a_config_beside_the_demo(tmp_path: Path) -> None:
    done = sharehouse("up", "--demo", "--config", _config(tmp_path), cwd=tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


def test_a_bad_variable_is_named(tmp_path: Path) -> None:
    done = sharehouse("up", "--demo", cwd=tmp_path, environment={"API_PORT": "no"})
    assert done.returncode == 2
    assert done.stderr == "sharehouse: environment: API_PORT: must be a whole number, not 'no'\n"


def test_db_migrate_without_clickhouse_says_where_it_looked(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    done = sharehouse("db", "migrate", cwd=tmp_path, environment={"CLICKHOUSE_PORT": str(port)})
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert f"ClickHouse at 127.0.0.1:{port} does not answer" in done.stderr
    assert "CLICKHOUSE_PORT" in done.stderr


def test_s3_check_without_a_bucket(tmp_path: Path) -> None:
    done = sharehouse("s3", "check", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "AWS_S3_BUCKET is not set" in done.stderr


def test_a_service_alone_ends_with_a_signal(tmp_path: Path) -> None:
    with started("demo-pool", "--data", str(tmp_path), cwd=tmp_path) as (process, lines):
        assert "demo_pool_listening" in lines.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_a_service_alone_refuses_a_port_in_use_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = sharehouse("api", cwd=tmp_path, environment={"API_PORT": port, "API_TOKENS": "hunter2"})
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("sharehouse: the API cannot listen")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("service", ["clickhouse", "api", "dashboard", "miner"])
def test_a_service_that_needs_no_pool_starts_on_the_shipped_file(service: str, tmp_path: Path) -> None:
    listening = {"clickhouse": "clickhouse_ready", "api": "listening", "dashboard": "listening", "miner": "Connecting"}
    environment = {"API_TOKENS": "hunter2", "MINING_POOL_HOST": "127.0.0.1", "MINING_POOL_PORT": "1"}
    arguments = (service, "--config", str(ROOT / "config" / "config.toml"), "--data", str(tmp_path))
    with started(*arguments, cwd=tmp_path, environment=environment) as (process, lines):
        read: list[str] = []
        while not read or (read[-1] and listening[service] not in read[-1]):
            read.append(lines.readline())
        assert read[-1], f"{service} ended before it was up"
        assert any("short_token" in line for line in read) == (service == "api")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_shares_of_a_demo_and_real_ones_are_kept_apart(tmp_path: Path) -> None:
    (tmp_path / "real" / "clickhouse").mkdir(parents=True)
    done = sharehouse("up", "--demo", "--data", "real", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "holds shares that are not a demo's" in done.stderr
    (tmp_path / "toy" / "demo").mkdir(parents=True)
    (tmp_path / "toy" / "demo" / "config.toml").touch()
    done = sharehouse("up", "--data", "toy", "--config", _config(tmp_path), cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "add --demo" in done.stderr


def test_the_miners_lines_are_those_of_its_document(tmp_path: Path) -> None:
    environment = {"MINING_POOL_HOST": "127.0.0.1", "MINING_POOL_PORT": "1"}
    with started("miner", "--data", str(tmp_path), cwd=tmp_path, environment=environment) as (process, lines):
        read: list[str] = []
        while not read or "Connecting to Stratum pool" not in read[-1]:
            read.append(lines.readline())
            assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} \[[A-Z]+\] [A-Z].*\n", read[-1])
        assert "MINING_ADDRESS is not set: mining for 1A1z" in read[0]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_what_a_service_writes_is_its_users_alone(tmp_path: Path) -> None:
    with started("demo-pool", "--data", str(tmp_path / "data"), cwd=tmp_path) as (process, lines):
        assert "demo_pool_listening" in lines.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    written = [tmp_path / "data", *(tmp_path / "data").rglob("*")]
    assert len(written) > 1
    assert not [path for path in written if path.stat().st_mode & 0o077]
