from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from services.command.layers import Layer, load, unknown_names
from services.command.mistake import Mistake
from services.command.settings import Settings, is_secret

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def _dotenv(tmp_path: Path, text: str) -> Path:
    path = tmp_path / ".env"
    path.write_text(text)
    return path


def test_environment_over_dotenv_over_config_over_made_over_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dotenv = _dotenv(tmp_path, "API_PORT=2\nDASHBOARD_PORT=2\n")
    config = Layer("config.toml", {"api_port": 3, "dashboard_port": 3, "metrics_port": 3, "clickhouse_user": "three"})
    made = Layer("secrets", {"clickhouse_password": "four"})
    monkeypatch.setenv("API_PORT", "1")
    loaded = load(config, made, dotenv=dotenv)
    settings = loaded.settings
    assert (settings.api_port, settings.dashboard_port, settings.metrics_port) == (1, 2, 3)
    assert settings.clickhouse_password.get_secret_value() == "four"
    origins = [loaded.origins[n] for n in ("api_port", "dashboard_port", "metrics_port", "clickhouse_password", "coin")]
    assert origins == ["environment", str(dotenv), "config.toml", "secrets", "default"]


def test_an_empty_variable_is_an_unset_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKENS", "")
    monkeypatch.setenv("AWS_S3_BUCKET", "")
    loaded = load(dotenv=_dotenv(tmp_path, "CLICKHOUSE_PASSWORD=\n"))
    assert loaded.settings.api_tokens == ()
    assert loaded.settings.aws_s3_bucket is None
    assert set(loaded.origins.values()) == {"default"}


def test_lists_are_split_at_commas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKENS", "one, two,,three ")
    monkeypatch.setenv("TRUSTED_PROXIES", "10.0.0.0/8,::1")
    settings = load(dotenv=tmp_path / ".env").settings
    assert [token.get_secret_value() for token in settings.api_tokens] == ["one", "two", "three"]
    assert settings.trusted_proxies == ("10.0.0.0/8", "::1")


def test_an_ipv6_address_may_stand_in_brackets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROXY_HOST", "[::1]")
    assert load(dotenv=tmp_path / ".env").settings.proxy_host == "::1"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PROXY_PORT", "0"),
        ("API_PORT", "65536"),
        ("DASHBOARD_PORT", "http"),
        ("API_HOST", "http://here"),
        ("PROXY_HOST", "two hosts"),
        ("COIN", "doge"),
        ("SHARE_VALUE_BASIS", "both"),
        ("STORAGE_HOT_DAYS", "0"),
        ("POOL_FEE", "1.5"),
        ("POOL_FEE", "nan"),
        ("MINIMUM_PAYOUT_THRESHOLD", "-1"),
        ("MINIMUM_PAYOUT_THRESHOLD", "inf"),
        ("TRUSTED_PROXIES", "10.0.0.0/8,everyone"),
        ("CLICKHOUSE_DATABASE", "a`; DROP TABLE shares"),
        ("AWS_S3_BUCKET", "Not A Bucket"),
        ("AWS_S3_PREFIX", "/starts/with/a/slash"),
        ("AWS_S3_ENDPOINT", "127.0.0.1:8333"),
        ("LOG_FORMAT", "xml"),
        ("MINING_ADDRESS", "two\nlines"),
        ("SPOOL_MAX_BYTES", "1"),
    ],
)
def test_a_value_that_cannot_stand_is_named_with_its_place(
    name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(Mistake) as mistake:
        load(dotenv=tmp_path / ".env")
    (problem,) = mistake.value.problems
    assert problem.startswith(f"environment: {name}: must ")
    assert problem.endswith(f", not {value!r}")


def test_no_refusal_speaks_of_the_library_that_found_it(tmp_path: Path) -> None:
    odd: tuple[object, ...] = (
        "x",
        "",
        7,
        1.5,
        float("nan"),
        True,
        [],
        ["a", 1],
        {},
        None,
        -1,
        10**30,
        "a b",
        "w" * 5000,
    )
    for name in Settings.model_fields:
        for value in odd:
            try:
                load(Layer("c.toml", {name: value}, {name: f"settings.{name}"}), dotenv=tmp_path / ".env")
            except Mistake as mistake:
                (problem,) = mistake.problems
                assert problem.startswith(f"c.toml: settings.{name}: must "), problem
                assert not re.search("[Ii]nput|valid|pars|[Ss]tring|cannot stand", problem), problem
                assert len(problem) < 300


def test_every_bad_value_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_PORT", "x")
    dotenv = _dotenv(tmp_path, "COIN=y\n")
    with pytest.raises(Mistake) as mistake:
        load(Layer("config.toml", {"log_level": "z"}, {"log_level": "settings.log_level"}), dotenv=dotenv)
    assert mistake.value.problems == (
        "environment: API_PORT: must be a whole number, not 'x'",
        f"{dotenv}: COIN: must be 'btc' or 'bch', not 'y'",
        "config.toml: settings.log_level: must be 'debug', 'info', 'warning' or 'error', not 'z'",
    )


def test_a_bad_secret_is_named_but_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLICKHOUSE_PASSWORD", "hunter2\nhunter3")
    monkeypatch.setenv("API_TOKENS", "hunter4\x07")
    with pytest.raises(Mistake) as mistake:
        load(dotenv=tmp_path / ".env")
    assert [problem.split(": ")[1] for problem in mistake.value.problems] == ["API_TOKENS", "CLICKHOUSE_PASSWORD"]
    assert "hunter" not in str(mistake.value)


def test_secrets_are_masked_and_everything_else_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = [name for name in Settings.model_fields if is_secret(name)]
    for name in secrets:
        monkeypatch.setenv(name.upper(), "hunter2")
    loaded = load(dotenv=tmp_path / ".env")
    assert {loaded.shown(name) for name in secrets} == {"********", "******** (1)"}
    assert "hunter2" not in repr(loaded)
    assert {"clickhouse_password", "api_tokens", "rewards_post_token", "api_jwt_secret", "dashboard_password"} <= {
        *secrets
    }
    assert {"aws_access_key_id", "aws_secret_access_key", "mining_password"} <= {*secrets}
    assert loaded.shown("api_port") == "8888"
    assert loaded.shown("aws_s3_bucket") == "(none)"


def test_a_slip_in_dotenv_is_found(tmp_path: Path) -> None:
    dotenv = _dotenv(tmp_path, "API_TOKEN=x\nAPI_PORT=1\nCOMPOSE_PROJECT_NAME=y\n")
    assert unknown_names(dotenv) == ["API_TOKEN", "COMPOSE_PROJECT_NAME"]


def test_dotenv_that_is_no_text_is_refused(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_bytes(b"API_PORT=\xff\xfe\n")
    with pytest.raises(Mistake, match="UTF-8"):
        load(dotenv=dotenv)


def test_a_secret_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("of a file\n")
    (tmp_path / "empty").touch()
    monkeypatch.setenv("CLICKHOUSE_PASSWORD_FILE", str(tmp_path / "secret"))
    monkeypatch.setenv("DASHBOARD_PASSWORD_FILE", str(tmp_path / "empty"))
    loaded = load(dotenv=tmp_path / ".env")
    assert loaded.settings.clickhouse_password.get_secret_value() == "of a file"
    assert loaded.origins["clickhouse_password"] == "environment"
    assert loaded.origins["dashboard_password"] == "default"


def test_a_secret_file_beside_a_value_or_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("of a file\n")
    monkeypatch.setenv("CLICKHOUSE_PASSWORD_FILE", str(tmp_path / "secret"))
    monkeypatch.setenv("CLICKHOUSE_PASSWORD", "of the environment")
    monkeypatch.setenv("API_JWT_SECRET_FILE", str(tmp_path / "missing"))
    with pytest.raises(Mistake) as refused:
        load(dotenv=tmp_path / ".env")
    both, missing = sorted(refused.value.problems, reverse=True)
    assert {"both hold a value" in both, "both hold a value" in missing} == {True, False}
    assert f"{tmp_path / 'missing'} cannot be read" in both + missing
    assert "of a file" not in both + missing
