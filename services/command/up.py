"""`sharehouse up`: the whole stack on this machine."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import sys
import time
from typing import TYPE_CHECKING

from services.command import credentials, logs, options, plan, ports, preparation
from services.command.console import OWN_NAME, Console
from services.command.data_folder import DataFolder, FolderLock, remove_empty
from services.command.mistake import Mistake
from services.command.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from services.command.plan import Plan
    from services.command.service import Service


def up(config: Path, data: Path, *, with_demo: bool) -> int:
    """Run until stopped; returns the exit code. Raises Mistake before anything is started, and then leaves nothing."""
    folder = DataFolder(data)
    made_folders = folder.create()
    try:
        lock = FolderLock(folder, lambda line: print(f"sharehouse: {line}", file=sys.stderr, flush=True))  # noqa: T201
    except Mistake:
        remove_empty(made_folders)
        raise
    started = time.monotonic()
    try:
        planned = _prepared(config, folder, with_demo=with_demo)
    except BaseException:
        lock.release()
        remove_empty(made_folders)
        raise
    with lock:
        return asyncio.run(_run(planned, started, lock))


def _prepared(config: Path, folder: DataFolder, *, with_demo: bool) -> Plan:
    prepared = preparation.prepare(config, folder, with_demo=with_demo)
    planned = prepared.planned()
    ports.check(planned.listeners)
    preparation.keep(prepared, with_demo=with_demo)
    return planned


async def _run(planned: Plan, started: float, lock: FolderLock) -> int:
    loop = asyncio.get_running_loop()
    services = _with_migrations(planned)
    supervisor: Supervisor

    def nobody_reads() -> None:
        loop.call_soon_threadsafe(supervisor.request_stop)

    console = Console([service.name for service in services], nobody_reads)
    supervisor = Supervisor(services, console, (lock.descriptor,))
    chosen = planned.configuration
    # What the rooms tell in this process (the migrations do) comes as a line of its own, too.
    logs.configure(plan.log_format(chosen), chosen.settings.log_level, service=OWN_NAME, write=console.say)

    def stop(number: signal.Signals) -> None:
        console.say(f"{number.name}: stopping in reverse order; once more to stop at once")
        supervisor.request_stop()

    def reload() -> None:
        # Where the terminal has gone, this line finds nobody who reads it, and so ends the run.
        console.say("SIGHUP: the proxy reads its configuration anew")
        supervisor.request_reload()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    loop.add_signal_handler(signal.SIGHUP, reload)

    async def when_ready() -> None:
        # Only now, so that the first service need not wait for it.
        from services.command.status import follow

        console.say(announcement(planned, time.monotonic() - started, supervisor.waiting))
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

        await migrate(options.address(planned.configuration), options.retention(planned.configuration))

    first, *rest = planned.services
    return (dataclasses.replace(first, once_ready=migrate), *rest)


def announcement(planned: Plan, seconds: float, waiting: Sequence[str] = ()) -> str:
    """Where everything is, once it is ready, but for what waits."""
    settings = planned.configuration.settings
    folder = planned.configuration.data
    origins = planned.configuration.loaded.origins
    made = sorted(name for field, name in credentials.FILES.items() if origins[field] == str(folder.secrets))
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
    everything = f"everything but {', '.join(waiting)}" if waiting else "everything"
    return "\n".join([f"{everything} is ready after {seconds:.1f} s; Ctrl-C stops it", *told])


def _url(host: str, port: int) -> str:
    """Where this machine's user reaches a listener."""
    reachable = ports.reachable_host(host)
    return f"[{reachable}]:{port}" if ":" in reachable else f"{reachable}:{port}"
