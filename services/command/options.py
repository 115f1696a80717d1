"""Each room's options, made from the configuration. A room is imported only when asked for: starting stays quick."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.command import cold_bucket, ports, storage
from services.command.mistake import Mistake, told_plainly
from services.command.pools import listeners

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import SecretStr

    from services.api.options import ApiOptions
    from services.command.configuration import Configuration
    from services.dashboard.options import DashboardOptions
    from services.demo.options import DemoPoolOptions
    from services.proxy.options import ProxyOptions
    from services.warehouse.address import ClickHouseAddress
    from services.warehouse.embedded.options import EmbeddedOptions
    from services.warehouse.retention import Retention

_STORAGE_FILES = Path(__file__).parents[2] / "config" / "clickhouse"


def address(configuration: Configuration) -> ClickHouseAddress:
    """Where ClickHouse is reached; a server that listens everywhere is reached on loopback."""
    from services.warehouse.address import ClickHouseAddress

    settings = configuration.settings
    return ClickHouseAddress(
        host=ports.reachable_host(settings.clickhouse_host),
        port=settings.clickhouse_port,
        user=settings.clickhouse_user,
        password=settings.clickhouse_password.get_secret_value(),
        database=settings.clickhouse_database,
        cluster=settings.clickhouse_cluster or "",
    )


def retention(configuration: Configuration) -> Retention:
    """How long each table keeps its rows. Raises Mistake where the times do not fit each other."""
    from services.warehouse.retention import Retention

    settings = configuration.settings
    with told_plainly():
        return Retention(
            hot_days=settings.storage_hot_days,
            keep_days=settings.storage_keep_days,
            rollup_keep_days=settings.storage_rollup_keep_days,
            state_keep_days=settings.storage_state_keep_days,
        )


def embedded(configuration: Configuration, bucket: storage.Bucket | None) -> EmbeddedOptions:
    """The embedded ClickHouse server's; with a bucket, old shares go there."""
    from services.warehouse.embedded.options import EmbeddedOptions

    cold_bucket.refuse_another_place(bucket, configuration.data)
    file = _STORAGE_FILES / ("storage-local.xml" if bucket is None else "storage-s3.xml")
    if not file.is_file():
        raise Mistake(f"{file}: missing; restore it from the project's repository")
    settings = configuration.settings
    with told_plainly():
        return EmbeddedOptions(
            data=configuration.data.clickhouse,
            host=settings.clickhouse_host,
            port=settings.clickhouse_port,
            user=settings.clickhouse_user,
            password=settings.clickhouse_password.get_secret_value(),
            storage=file,
            backups=Path(settings.backup_dir) if settings.backup_dir else configuration.data.backups,
            database=settings.clickhouse_database,
            cold=None if bucket is None else cold_bucket.ColdBucket(bucket, configuration.data),
        )


def proxy(configuration: Configuration) -> ProxyOptions:
    """The proxy's, with every pool of the config file."""
    from services.proxy.endpoint import PoolEndpoint
    from services.proxy.options import PoolOptions, ProxyOptions
    from services.proxy.vardiff import VardiffOptions

    settings = configuration.settings
    pools = tuple(
        PoolOptions(
            name=pool.name,
            listen_port=pool.listen,
            host=pool.host,
            port=pool.port,
            user=pool.user,
            password=pool.password,
            tls_listen_port=pool.tls_listen,
            fallbacks=tuple(
                PoolEndpoint(fallback.host, fallback.port, fallback.user, fallback.password, fallback.tls)
                for fallback in pool.fallbacks
            ),
            tls=pool.tls,
            mode=pool.mode,
            vardiff=pool.vardiff or VardiffOptions(),
            reconnect_hosts=pool.reconnect_hosts,
        )
        for pool in configuration.pools()
    )
    with told_plainly():
        return ProxyOptions(
            name=socket.gethostname(),
            pools=pools,
            spool=configuration.data.spool,
            spool_max_bytes=settings.spool_max_bytes,
            clickhouse=address(configuration),
            host=settings.proxy_host,
            metrics_host=settings.metrics_host,
            metrics_port=settings.metrics_port,
            limits=configuration.limits(),
            tls=configuration.tls(),
            trusted_proxies=settings.trusted_proxies,
        )


def api(configuration: Configuration) -> ApiOptions:
    """The REST API's."""
    from services.api.options import ApiOptions, RateLimitOptions
    from services.command import api_access

    settings, config = configuration.settings, configuration.file.path
    names, admins = api_access.token_names(config), _plain(settings.rewards_post_token)
    # A token with a name is a reader's, unless it is an administrator's.
    readers = dict.fromkeys((*_plain(settings.api_tokens), *(token for token in names if token not in admins)))
    with told_plainly():
        return ApiOptions(
            host=settings.api_host,
            port=settings.api_port,
            clickhouse=address(configuration).everywhere,
            read_tokens=tuple(readers),
            admin_tokens=admins,
            jwt_secret=settings.api_jwt_secret.get_secret_value(),
            jwt_public_key=_public_key(settings.api_jwt_public_key),
            token_names=names,
            revoked=api_access.revoked(config),
            rate_limits=RateLimitOptions(
                address=settings.api_rate_limit,
                summary=settings.api_rate_limit_summary,
                reload=settings.api_rate_limit_reload,
                token=settings.api_rate_limit_token,
            ),
            cors_origins=settings.api_cors_origins,
            coin=settings.coin,
            share_value_basis=settings.share_value_basis,
            trusted_proxies=settings.trusted_proxies,
            worker_percentage=settings.worker_percentage,
            pool_fee=settings.pool_fee,
            minimum_payout_threshold=settings.minimum_payout_threshold,
            minimum_payout_threshold_unit=settings.minimum_payout_threshold_unit,
        )


def dashboard(configuration: Configuration) -> DashboardOptions:
    """The dashboard's. It tells miners where to connect, whatever else cannot stand in the tables of the pools."""
    from services.dashboard.options import DashboardOptions, StratumEndpoint

    settings = configuration.settings
    plain = [listener for listener in listeners(configuration.file, settings) if not listener.by_tls]
    with told_plainly():
        return DashboardOptions(
            host=settings.dashboard_host,
            port=settings.dashboard_port,
            clickhouse=address(configuration).everywhere,
            password=settings.dashboard_password.get_secret_value(),
            tokens=_plain(settings.dashboard_tokens),
            trusted_proxies=settings.trusted_proxies,
            stratum=tuple(
                StratumEndpoint(
                    listener.pool,
                    settings.proxy_host,
                    listener.port,
                    *_upstream(configuration.file.pools[listener.pool]),
                )
                for listener in plain
            ),
        )


def demo_pool(configuration: Configuration, host: str) -> DemoPoolOptions:
    """The demo pool's."""
    from services.demo.full_node import NodeAddress
    from services.demo.options import DemoPoolOptions

    settings = configuration.settings
    node = None
    if settings.demo_node_url is not None:
        node = NodeAddress(
            settings.demo_node_url, settings.demo_node_user, settings.demo_node_password.get_secret_value()
        )
    return DemoPoolOptions(data=configuration.data.demo, host=host, port=settings.demo_pool_port, node=node)


def _upstream(table: Mapping[str, Any]) -> tuple[str, str]:
    """A pool's own address and user, as far as its table says them; the proxy checks it."""
    host, port, user = (table.get(key) for key in ("host", "port", "user"))
    return f"{host}:{port}" if host and port else "", str(user or "")


def _plain(tokens: tuple[SecretStr, ...]) -> tuple[str, ...]:
    return tuple(token.get_secret_value() for token in tokens)


def _public_key(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text(encoding="ascii")
    except (OSError, ValueError):
        raise Mistake(f"API_JWT_PUBLIC_KEY: {path} is no PEM file that this user may read; name one that is") from None
