"""`config check --containers` refuses what would keep the containers from working, with file, key and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.command.containers import NEEDED, Storage, check_containers
from services.command.mistake import Mistake
from services.command.settings import Settings

ROOT = Path(__file__).parents[3]
DEMO = ROOT / "config" / "demo.toml"
S3 = ("AWS_S3_BUCKET", "AWS_S3_PREFIX", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@pytest.fixture(autouse=True)
def containers_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(f"{name.upper()}_FILE", raising=False)
    for name in ("API_HOST", "DASHBOARD_HOST"):
        monkeypatch.setenv(name, "0.0.0.0")
    monkeypatch.setenv("CLICKHOUSE_HOST", "clickhouse.invalid")
    monkeypatch.chdir(tmp_path)


def _problems(config: Path = DEMO, where: Storage = Storage.LOCAL) -> tuple[str, ...]:
    try:
        check_containers(config, where, lambda line: None)
    except Mistake as mistake:
        return mistake.problems
    return ()


def _set_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NEEDED:
        monkeypatch.setenv(name.upper(), f"secret of {name}")


def test_every_secret_is_asked_for_with_its_remedy() -> None:
    problems = _problems()
    assert [problem.split(" is empty")[0] for problem in problems] == [f"docker/.env: {n.upper()}" for n in NEEDED]
    assert all("run scripts/env-init" in problem for problem in problems)


def test_with_secrets_it_passes_and_shows_none(monkeypatch: pytest.MonkeyPatch) -> None:
    _set_secrets(monkeypatch)
    said: list[str] = []
    check_containers(DEMO, Storage.LOCAL, said.append)
    assert said[-1] == "all of it can stand"
    assert "local disk only" in said[-2]
    assert "secret of" not in "".join(said)


def test_a_secret_may_lie_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _set_secrets(monkeypatch)
    monkeypatch.delenv("API_TOKENS")
    (tmp_path / "tokens").write_text("one,two\n")
    monkeypatch.setenv("API_TOKENS_FILE", str(tmp_path / "tokens"))
    monkeypatch.setenv("DASHBOARD_PASSWORD_FILE", str(ROOT / "docker" / "no-secret"))
    assert _problems() == ()


def test_the_placeholder_wallet_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    _set_secrets(monkeypatch)
    config = ROOT / "config" / "config.toml"
    assert f"{config}: pools.normal.user: still the placeholder" in "\n".join(_problems(config))


def test_s3_without_a_bucket_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    _set_secrets(monkeypatch)
    problems = _problems(where=Storage.S3)
    assert [problem.split(" is empty")[0] for problem in problems] == [
        f"docker/.env: STORAGE is s3 but {name}" for name in S3
    ]
    for name in S3:
        monkeypatch.setenv(name, "bucket")
    assert _problems(where=Storage.S3) == ()


def test_what_a_service_refuses_is_told_with_the_file_it_stands_in(monkeypatch: pytest.MonkeyPatch) -> None:
    _set_secrets(monkeypatch)
    monkeypatch.setenv("POOL_FEE", "2")
    assert _problems()[0].startswith("docker/.env: POOL_FEE: ")
    monkeypatch.delenv("POOL_FEE")
    monkeypatch.setenv("API_JWT_SECRET", "short")
    (problem,) = _problems()
    assert "API_JWT_SECRET is shorter" in problem
