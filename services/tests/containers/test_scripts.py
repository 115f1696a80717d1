"""The small scripts that docker-compose.yml hands to containers, run for real."""

from __future__ import annotations

import http.server
import os
import socket
import socketserver
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from services.command.storage import Bucket

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCKER = Path(__file__).parents[3] / "docker"


class _Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/good" else 503)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    """Of a server that answers /good with 200, and everything else with 503."""
    # Not HTTPServer, which asks the name service for its own name.
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Answers)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def _code(*command: str, **environment: str) -> int:
    return subprocess.run(
        command, env={"PATH": os.environ["PATH"], **environment}, stderr=subprocess.DEVNULL, timeout=90, check=False
    ).returncode


def test_both_health_checks_tell_200_from_the_rest(port: int) -> None:
    healthy = (sys.executable, "-IS", str(DOCKER / "image" / "healthy"), "http")
    answers = ("bash", str(DOCKER / "answers"))
    for command in (healthy, answers):
        assert _code(*command, str(port), "/good") == 0
        assert _code(*command, str(port), "/bad") == 1
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        for command in (healthy, answers):
            assert _code(*command, str(nobody.getsockname()[1]), "/good") == 1


def test_sockets_are_found_by_their_ports(port: int) -> None:
    healthy = (sys.executable, "-IS", str(DOCKER / "image" / "healthy"))
    assert _code(*healthy, "listens", str(port)) == 0
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        other = str(nobody.getsockname()[1])
        assert _code(*healthy, "listens", other) == 1
        with socket.create_connection(("127.0.0.1", port)):
            assert _code(*healthy, "connected", "POOL", POOL=str(port)) == 0
            assert _code(*healthy, "connected", "POOL", POOL=other) == 1


def _environment_of_clickhouse(tmp_path: Path, **environment: str) -> dict[str, str]:
    """What docker/clickhouse/start hands to the server."""
    server = tmp_path / "clickhouse-server"
    server.write_text("#!/bin/sh\nenv\n")
    server.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    printed = subprocess.check_output(
        ["bash", str(DOCKER / "clickhouse" / "start")], env={"PATH": path, **environment}, text=True, timeout=90
    )
    return dict(line.split("=", 1) for line in printed.splitlines())


@pytest.mark.parametrize("slash", ["", "/"])
def test_clickhouse_gets_the_place_and_the_secrets(slash: str, port: int, tmp_path: Path) -> None:
    endpoint = f"http://127.0.0.1:{port}"
    (tmp_path / "password").write_text("from a file\n")
    got = _environment_of_clickhouse(
        tmp_path,
        STORAGE="s3",
        AWS_S3_BUCKET="shares",
        AWS_S3_PREFIX="sharehouse/1",
        AWS_S3_ENDPOINT=endpoint + slash,
        AWS_REGION="us-east-1",
        CLICKHOUSE_PASSWORD_FILE=str(tmp_path / "password"),
        AWS_SECRET_ACCESS_KEY="from a variable",
        AWS_SECRET_ACCESS_KEY_FILE=str(DOCKER / "no-secret"),
    )
    assert got["STORAGE_S3_ENDPOINT"] == Bucket("shares", "sharehouse/1", "us-east-1", endpoint, "", "").url
    assert got["CLICKHOUSE_PASSWORD"] == "from a file"
    assert got["AWS_SECRET_ACCESS_KEY"] == "from a variable"


def test_clickhouse_without_s3(tmp_path: Path) -> None:
    got = _environment_of_clickhouse(tmp_path, STORAGE="local", CLICKHOUSE_PASSWORD="p")
    assert "STORAGE_S3_ENDPOINT" not in got
    assert got["CLICKHOUSE_PASSWORD"] == "p"


@pytest.mark.parametrize(("variable", "password"), [("", "from a file"), ("from a variable", "from a variable")])
def test_grafana_gets_its_password(variable: str, password: str, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("from a file\n")
    environment = {"GF_SECURITY_ADMIN_PASSWORD": variable, "GRAFANA_PASSWORD_FILE": str(tmp_path / "password")}
    start = ["bash", str(DOCKER / "grafana" / "start"), "printenv", "GF_SECURITY_ADMIN_PASSWORD"]
    environment["PATH"] = os.environ["PATH"]
    assert subprocess.check_output(start, env=environment, text=True, timeout=90) == f"{password}\n"
