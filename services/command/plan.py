"""What `up` starts, in which order, and on which ports."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from services.command import demo, options, ports, probe, storage
from services.command.config_file import PORT_SETTINGS
from services.command.mistake import Problems
from services.command.pools import listeners as pool_listeners
from services.command.service import Service

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.command.configuration import Configuration
    from services.command.pools import Pool

_LOOPBACK = "127.0.0.1"
# What the embedded ClickHouse answers while it cannot open its tables without S3.
_WAITING = "503 Waiting for S3"


@dataclass(frozen=True, slots=True)
class Plan:
    """One run of the stack. `services` are stopped from last to first: whoever needs another stands behind it."""

    configuration: Configuration
    bucket: storage.Bucket | None
    pools: tuple[Pool, ...]
    services: tuple[Service, ...]
    listeners: tuple[ports.Listener, ...]


def make(configuration: Configuration, *, with_demo: bool) -> Plan:
    """Look at everything before the first process starts. Raises Mistake with all that cannot stand."""
    problems = Problems()
    bucket = None
    pools: tuple[Pool, ...] = ()
    with problems.gathered():
        bucket = storage.bucket(configuration)
    with problems.gathered():
        pools = configuration.pools()
    listeners = _listeners(configuration, with_demo=with_demo)
    for refusing in (
        lambda: options.embedded(configuration, bucket),
        lambda: options.retention(configuration),
        lambda: options.proxy(configuration),
        lambda: options.api(configuration),
        lambda: options.dashboard(configuration),
        lambda: ports.check_clashes(listeners),
    ):
        with problems.gathered():
            refusing()
    problems.tell()
    return Plan(configuration, bucket, pools, _services(configuration, bucket, with_demo=with_demo), listeners)


def proxy_listeners(configuration: Configuration) -> tuple[ports.Listener, ...]:
    """The ports that the proxy takes."""
    settings = configuration.settings
    # Two pools on one port are told already where the pools are.
    of_pools = {listener.port: listener for listener in pool_listeners(configuration.file, settings)}
    settings_of_ports = {f"pools.{pool}.listen": setting.upper() for pool, setting in PORT_SETTINGS.items()}
    return (
        *(
            ports.Listener(
                f"proxy, pool {listener.pool}{' by TLS' if listener.by_tls else ''}",
                settings.proxy_host,
                listener.port,
                settings_of_ports.get(listener.key, listener.key),
            )
            for listener in of_pools.values()
        ),
        ports.Listener("proxy's metrics", settings.metrics_host, settings.metrics_port, "METRICS_PORT"),
    )


def _listeners(configuration: Configuration, *, with_demo: bool) -> tuple[ports.Listener, ...]:
    settings = configuration.settings
    of_demo = [ports.Listener("demo pool", _LOOPBACK, settings.demo_pool_port, "DEMO_POOL_PORT")] if with_demo else []
    return (
        ports.Listener("ClickHouse", settings.clickhouse_host, settings.clickhouse_port, "CLICKHOUSE_PORT"),
        *of_demo,
        *proxy_listeners(configuration),
        ports.Listener("API", settings.api_host, settings.api_port, "API_PORT"),
        ports.Listener("dashboard", settings.dashboard_host, settings.dashboard_port, "DASHBOARD_PORT"),
    )


def _services(configuration: Configuration, bucket: storage.Bucket | None, *, with_demo: bool) -> tuple[Service, ...]:
    settings = configuration.settings
    here = ports.reachable_host
    store = {"CLICKHOUSE_PASSWORD": settings.clickhouse_password.get_secret_value()}
    page = {
        "DASHBOARD_PASSWORD": settings.dashboard_password.get_secret_value(),
        "DASHBOARD_TOKENS": ",".join(token.get_secret_value() for token in settings.dashboard_tokens),
    }
    s3 = {} if bucket is None else {"AWS_S3_PREFIX": bucket.prefix}
    database = (here(settings.clickhouse_host), settings.clickhouse_port)
    # A query, for a server may answer /ping and no longer work.
    user = {"X-ClickHouse-User": settings.clickhouse_user, "X-ClickHouse-Key": store["CLICKHOUSE_PASSWORD"]}
    clickhouse = probe.http(*database, "/?query=SELECT%201", user)
    proxy = probe.http(here(settings.metrics_host), settings.metrics_port, "/readyz")
    api = probe.http(here(settings.api_host), settings.api_port, "/health")
    dashboard = probe.http(here(settings.dashboard_host), settings.dashboard_port, "/healthz")

    def service(
        name: str,
        ready: probe.Probe,
        environment: Mapping[str, str],
        after: tuple[str, ...] = (),
        more: tuple[str, ...] = (),
    ) -> Service:
        # Secrets reach a child by its environment alone; a command line is open to every user of the machine.
        files = ("--config", str(configuration.file.path), "--data", str(configuration.data.path))
        return Service(
            name,
            (sys.executable, "-m", "services.command", name, *files, *more),
            ready,
            after,
            {"LOG_FORMAT": log_format(configuration), **environment},
            reloads_on_hangup=name == "proxy",
        )

    store_first = ("clickhouse",)
    services = [
        # Whoever asks it is gone by then, so that one which does not end in this time hangs.
        replace(
            service("clickhouse", clickhouse, {**store, **s3}),
            waits=probe.http(*database, "/ping", status=_WAITING),
            stop_within_seconds=6.0,
        ),
        service("proxy", proxy, store, ("clickhouse", "demo-pool") if with_demo else store_first),
        service("api", api, store, store_first),
        service("dashboard", dashboard, {**store, **page}, store_first),
    ]
    if with_demo:
        blocks = ("--blocks", str(configuration.data.demo / "found_blocks.json"), *demo.GENTLY)
        services.insert(1, service("demo-pool", probe.tcp(_LOOPBACK, settings.demo_pool_port), {}))
        miner = service("miner", probe.always, {**store, **_demo_miner(configuration)}, ("proxy",), blocks)
        services.append(replace(miner, is_patient=True, stop_within_seconds=2.0))
    return tuple(services)


def _demo_miner(configuration: Configuration) -> dict[str, str]:
    """The demo's miner mines through the proxy, whatever pool the environment names for a miner of its own."""
    settings = configuration.settings
    return {
        "MINING_POOL_HOST": ports.reachable_host(settings.proxy_host),
        "MINING_POOL_PORT": str(settings.proxy_port),
        "MINING_ADDRESS": demo.ADDRESS,
        "MINING_PASSWORD": "x",
        "MINING_POOL_TLS": "false",
    }


def log_format(configuration: Configuration) -> Literal["json", "text"]:
    """The lines of `up` are read by a person, unless somebody chose otherwise."""
    return "json" if configuration.settings.log_format == "json" else "text"
