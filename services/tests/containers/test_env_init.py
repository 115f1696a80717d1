"""`scripts/env-init` makes what is missing, touches nothing that is set, and tells no secret."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[3]
EXAMPLE = (ROOT / "docker" / ".env.example").read_text()
MADE = ("CLICKHOUSE_PASSWORD", "API_TOKENS", "REWARDS_POST_TOKEN", "DASHBOARD_PASSWORD", "GRAFANA_PASSWORD")


def _init(file: Path, *more: str) -> str:
    command = [str(ROOT / "scripts" / "env-init"), "--file", str(file), *more]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout


def _values(file: Path) -> dict[str, str]:
    return dict(re.findall(r"^([A-Z0-9_]+)=(.*)$", file.read_text(), re.MULTILINE))


def test_what_is_empty_becomes_random_and_the_rest_stays(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(EXAMPLE.replace("DASHBOARD_PASSWORD=", "DASHBOARD_PASSWORD=mine", 1))
    told = _init(file)
    values = _values(file)
    assert values["DASHBOARD_PASSWORD"] == "mine"
    made = {values[name] for name in MADE if name != "DASHBOARD_PASSWORD"}
    assert len(made) == len(MADE) - 1
    assert all(len(secret) >= 40 for secret in made)
    assert not any(secret in told for secret in made)
    assert re.fullmatch(r"sharehouse/[0-9a-f]{12}", values["AWS_S3_PREFIX"])
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.read_text()
    _init(file)
    assert file.read_text() == before


def test_secrets_as_files_that_only_containers_reach(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(EXAMPLE)
    _init(file, "--files")
    values = _values(file)
    folder = tmp_path / "secrets"
    assert folder.stat().st_mode & 0o777 == 0o700
    for name in MADE:
        assert values[name] == ""
        secret = tmp_path / values[f"{name}_FILE"]
        assert len(secret.read_text().strip()) >= 40
        assert secret.stat().st_mode & 0o777 == 0o444
