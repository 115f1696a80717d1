"""`sharehouse up`: the whole stack on this machine."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import time
from typing import TYPE_CHECKING

from services.command import configuration, credentials, demo, layers, options, plan, ports
from services.command.console import Console
from services.command.data_folder import DataFolder, FolderLock
from services.command.supervisor import Supervisor

if TYPE_CHECKING:
    from pathlib import Path

    from services.command.configuration import Configuration
    from services.command.plan import Plan
    from services.command.service import Service

# The services of a run that was killed drain for so long before their ports are free.
_DRAIN_PATIENCE_SECONDS = 15.0


def up(config: Path, data: Path, *, with_demo: bool) -> int:
    """Run until stopped; returns the exit code. Raises Mistake before anything is started."""
    folder = DataFolder(data)
    folder.create()
    with FolderLock(folder) as lock:
        started = time.monotonic()
        planned = plan.make(_configuration(config, folder, with_demo=with_demo), with_demo=with_demo)
        ports.check(planned.listeners, patience_seconds=_DRAIN_PATIENCE_SECONDS if lock.last_run_was_killed else 0)
        return asyncio.run(_run(planned, started))


def _configuration(config: Path, folder: DataFolder, *, with_demo: bool) -> Configuration:
    """The configuration with every password and token that it lacked."""
    if with_demo:
        config = demo.write_config(folder, layers.load().settings.demo_pool_port)
    found = configuration.load(config, folder.path, need_config=True)
    found.pools()
    missing = _missing_credentials(found)
    if not missing:
        return found
    credentials.make(folder.secrets, missing)
    return configuration.load(config, folder.path)


def _missing_credentials(found: Configuration) -> list[str]:
    from services.dashboard.options import is_loopback

    settings = found.settings
    missing = [name for name in ("api_tokens", "rewards_post_token") if not getattr(settings, name)]
    if not settings.clickhouse_password.get_secret_value():
        missing.append("clickhouse_password")
    # A dashboard that only this machine reaches needs none.
    if not settings.dashboard_password.get_secret_value() and not is_loopback(settings.dashboard_host):
        missing.append("dashboard_password")
    return missing


async def _run(planned: Plan, started: float) -> int:
    loop = asyncio.get_running_loop()
    services = _with_migrations(planned)
    supervisor: Supervisor

    def nobody_reads() -> None:
        loop.call_soon_threadsafe(supervisor.request_stop)

    console = Console([service.name for service in services], nobody_reads)
    supervisor = Supervisor(services, console)

    def stop(number: signal.Signals) -> None:
        console.say(f"{number.name}: stopping in reverse order; once more to stop at once")
        supervisor.request_stop()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop, number)

    async def when_ready() -> None:
        # Only now, so that the first service need not wait for it.
        from services.command.status import follow

        console.say(_announcement(planned, time.monotonic() - started))
        await follow(options.address(planned.configuration), console.say)

    try:
        code = await supervisor.run(when_ready)
        console.say("everything is stopped")
        return code
    finally:
        console.close()


def _with_migrations(planned: Plan) -> tuple[Service, ...]:
    """The tables are brought up to date once ClickHouse is ready, before whoever uses them starts."""

    async def migrate() -> None:
        from services.warehouse.migrate import migrate

        hot_days = planned.configuration.settings.storage_hot_days
        await migrate(options.address(planned.configuration), hot_days=hot_days)

    first, *rest = planned.services
    return (dataclasses.replace(first, once_ready=migrate), *rest)


def _announcement(planned: Plan, seconds: float) -> str:
    settings = planned.configuration.settings
    folder = planned.configuration.data
    made = sorted(name for name in credentials.FILES.values() if (folder.secrets / name).exists())
    miners = [f"stratum+tcp://{_url(settings.proxy_host, pool.listen)}  pool {pool.name}" for pool in planned.pools]
    old = planned.bucket.url if planned.bucket else "local disk only (no AWS_S3_BUCKET is set)"
    clickhouse = _url(settings.clickhouse_host, settings.clickhouse_port)
    rows = [
        *(("miners" if not index else "", line) for index, line in enumerate(miners)),
        ("dashboard", f"http://{_url(settings.dashboard_host, settings.dashboard_port)}/"),
        ("API", f"http://{_url(settings.api_host, settings.api_port)}/docs"),
        ("ClickHouse", f"http://{clickhouse}/ (user {settings.clickhouse_user})"),
        ("metrics", f"http://{_url(settings.metrics_host, settings.metrics_port)}/metrics"),
        ("old shares", old),
        ("secrets", f"{folder.secrets}/: {', '.join(made)}" if made else "all yours; none was made"),
    ]
    told = [f"  {name:<11}{text}" for name, text in rows]
    return "\n".join([f"everything is ready after {seconds:.1f} s; Ctrl-C stops it", *told])


def _url(host: str, port: int) -> str:
    """Where this machine's user reaches a listener."""
    reachable = ports.reachable_host(host)
    return f"[{reachable}]:{port}" if ":" in reachable else f"{reachable}:{port}"
