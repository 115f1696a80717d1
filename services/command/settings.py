"""Every setting of the project, with its type, bounds and default.

The name of a field in capitals is its environment variable. docs and meaning: `.env.example`.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path  # noqa: TC003 - pydantic reads it at run time
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict


def _parts(value: Any) -> Any:
    """A comma-separated list, as an environment variable holds it."""
    if not isinstance(value, str):
        return value
    return tuple(part for part in (part.strip() for part in value.split(",")) if part)


def _network(value: str) -> str:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise ValueError("must be IP addresses or networks such as 10.0.0.0/8, with commas between them") from None
    return value


def _host(value: str) -> str:
    if "://" in value or any(character.isspace() for character in value):
        raise ValueError("must be a host name or an IP address alone, without scheme or port")
    # Brackets belong around an IPv6 address only where a port follows.
    return value[1:-1] if value.startswith("[") and value.endswith("]") else value


def _one_line(value: str) -> str:
    if not value.isprintable():
        raise ValueError("must be one line of printable characters")
    return value


def _secret_line(value: SecretStr) -> SecretStr:
    _one_line(value.get_secret_value())
    return value


def _of_form(pattern: str, words: str) -> AfterValidator:
    """The whole value has this form; `words` tell it to a person."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"must be {words}")
        return value

    return AfterValidator(check)


def _prefix(value: str) -> str:
    if value.startswith("/") or value.endswith("/") or "//" in value:
        raise ValueError("must be a path inside the bucket without a slash at either end, such as sharehouse/server-1")
    return value


def _endpoint(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError("must be a URL that starts with https:// or http://")
    return value.rstrip("/")


Port = Annotated[int, Field(ge=1, le=65535)]
Host = Annotated[str, Field(min_length=1, max_length=253), AfterValidator(_host)]
Text = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_one_line)]
Secret = Annotated[SecretStr, Field(max_length=1024), AfterValidator(_secret_line)]
Secrets = Annotated[tuple[Secret, ...], Field(max_length=1000), NoDecode, BeforeValidator(_parts)]
Networks = Annotated[
    tuple[Annotated[str, AfterValidator(_network)], ...], Field(max_length=1000), NoDecode, BeforeValidator(_parts)
]
# Names of databases and users go into SQL, and buckets and prefixes into URLs.
Identifier = Annotated[
    str, _of_form(r"[A-Za-z_][A-Za-z0-9_]{0,62}", "letters, digits and _, at most 63, and begin with no digit")
]
Bucket = Annotated[
    str,
    _of_form(
        r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "the name of a bucket: 3 to 63 small letters, digits, dots and hyphens"
    ),
]
Region = Annotated[str, _of_form(r"[a-z0-9-]{1,40}", "a region such as us-east-1")]
Prefix = Annotated[
    str,
    _of_form(r"[A-Za-z0-9._/-]{1,200}", "a path inside the bucket of letters, digits, dots, hyphens, _ and /"),
    AfterValidator(_prefix),
]
RateLimit = Annotated[int, Field(ge=1, le=1_000_000_000)]
Origin = Annotated[str, _of_form(r"\*|none|https?://[^/\s,]{1,253}", "*, none, or origins such as https://example.com")]
Origins = Annotated[tuple[Origin, ...], Field(max_length=100), NoDecode, BeforeValidator(_parts)]
Endpoint = Annotated[str, Field(max_length=2048), AfterValidator(_endpoint)]


class Settings(BaseSettings):
    """The values in force. `layers.load` fills it; nothing else reads the environment."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True)

    proxy_host: Host = "0.0.0.0"  # noqa: S104 - miners come from other machines
    proxy_port: Port = 3331
    proxy_port_high: Port = 3332
    proxy_workers: Annotated[int, Field(ge=1, le=64)] = 1
    metrics_host: Host = "127.0.0.1"
    metrics_port: Port = 9333
    spool_max_bytes: Annotated[int, Field(ge=1 << 20)] = 4 << 30

    api_host: Host = "127.0.0.1"
    api_port: Port = 8888
    api_tokens: Secrets = ()
    rewards_post_token: Secrets = ()
    api_jwt_secret: Secret = SecretStr("")
    api_jwt_public_key: Path | None = None
    api_rate_limit: RateLimit = 60
    api_rate_limit_summary: RateLimit = 10
    api_rate_limit_reload: RateLimit = 10
    api_rate_limit_token: RateLimit = 600
    api_cors_origins: Origins = ("*",)
    trusted_proxies: Networks = ()
    share_value_basis: Literal["actual", "credited"] = "actual"
    coin: Literal["btc", "bch"] = "btc"
    worker_percentage: Annotated[float, Field(ge=0, le=1)] = 0.015
    pool_fee: Annotated[float, Field(ge=0, le=1)] = 0.0
    minimum_payout_threshold: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    minimum_payout_threshold_unit: Text = "BTC"

    dashboard_host: Host = "127.0.0.1"
    dashboard_port: Port = 5000
    dashboard_password: Secret = SecretStr("")
    dashboard_tokens: Secrets = ()

    clickhouse_host: Host = "127.0.0.1"
    clickhouse_port: Port = 8123
    clickhouse_user: Identifier = "default"
    clickhouse_password: Secret = SecretStr("")
    clickhouse_database: Identifier = "sharehouse"
    clickhouse_cluster: Identifier | None = None
    backup_dir: Text | None = None
    storage_hot_days: Annotated[int, Field(ge=1, le=3650)] = 2
    storage_keep_days: Annotated[int, Field(ge=1, le=36500)] | None = None
    storage_rollup_keep_days: Annotated[int, Field(ge=1, le=36500)] | None = None
    storage_state_keep_days: Annotated[int, Field(ge=1, le=36500)] = 30

    aws_access_key_id: Secret = SecretStr("")
    aws_secret_access_key: Secret = SecretStr("")
    aws_s3_bucket: Bucket | None = None
    aws_region: Region = "us-east-1"
    aws_s3_prefix: Prefix | None = None
    aws_s3_endpoint: Endpoint | None = None

    mining_pool_host: Host = "solo.ckpool.org"
    mining_pool_port: Port = 3333
    mining_pool_tls: bool = False
    mining_address: Text | None = None
    mining_password: Secret = SecretStr("x")

    demo_pool_port: Port = 13333
    demo_node_url: Endpoint | None = None
    demo_node_user: Text = "sharehouse"
    demo_node_password: Secret = SecretStr("")

    log_format: Literal["auto", "json", "text"] = "auto"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what it is handed: `layers` reads each source itself, to know where a value came from."""
        return (init_settings,)


def is_secret(name: str) -> bool:
    """Whether the value of the field `name` must never be shown."""
    return "SecretStr" in repr(Settings.model_fields[name].annotation)
