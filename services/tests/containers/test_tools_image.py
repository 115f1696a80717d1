"""The image `tools` has what its commands import, with every setting of docker/.env that makes them import more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
KEY = """-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
-----END PUBLIC KEY-----
"""


def _run(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "issuer.pem.pub").write_text(KEY)
    settings = {
        "API_HOST": "0.0.0.0",
        "API_TOKENS": "token-of-a-validator-that-is-long-enough",
        "API_JWT_SECRET": "secret-that-signs-tokens-and-is-long-enough",
        "API_JWT_PUBLIC_KEY": str(tmp_path / "issuer.pem.pub"),
        "REWARDS_POST_TOKEN": "token-of-an-administrator-that-is-long-enough",
        "DASHBOARD_HOST": "0.0.0.0",
        "DASHBOARD_PASSWORD": "password-of-the-dashboard",
        "CLICKHOUSE_HOST": "127.0.0.1",
        "CLICKHOUSE_PORT": "1",
        "CLICKHOUSE_PASSWORD": "password-of-clickhouse",
    }
    command = [sys.executable, "-m", "services.tests.containers.narrowed", "tools", *arguments]
    environment = {"PATH": os.environ["PATH"], "COLUMNS": "120", **settings}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=50, check=False)


def test_the_check_needs_nothing_else(tmp_path: Path) -> None:
    done = _run(tmp_path, "config", "check", "--containers", "local", "--config", "config/demo.toml")
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["all of it can stand"]), done.stderr


@pytest.mark.parametrize("arguments", [("backup", "create"), ("shares", "audit", "--from", "2020-01-01")], ids=" ".join)
def test_what_asks_clickhouse_needs_nothing_else(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = _run(tmp_path, *arguments)
    assert "does not answer" in done.stderr
    assert "No module named" not in done.stderr
