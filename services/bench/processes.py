"""Processes under measurement: started apart, pinned to a core, their CPU time read from the kernel."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import socket
import time
import urllib.request
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_seconds(*pids: int) -> float:
    """User and system time of processes with all their threads, so far."""
    ticks = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS_A_SECOND


def precise_cpu_seconds(*pids: int) -> float:
    """The same to the nanosecond, for what takes a few milliseconds; of threads that live now."""
    nanoseconds = 0
    for pid in pids:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/schedstat") as schedstat:
                nanoseconds += int(schedstat.read().split()[0])
    return nanoseconds / 1e9


def pin(pid: int, core: int) -> None:
    """Lets a process with all its threads run on one core alone."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(thread), {core})


def resident_mib(pid: int) -> float:
    """Resident memory of a process."""
    with open(f"/proc/{pid}/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def wait_for_port(port: int, deadline_seconds: float = 20) -> None:
    """Returns once somebody listens."""
    deadline = time.monotonic() + deadline_seconds
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"nobody listens on port {port}")
        time.sleep(0.05)


def wait_for_clickhouse(port: int, deadline_seconds: float = 60) -> None:
    """Returns once the embedded ClickHouse on that port has its tables open, which is after it listens."""
    deadline = time.monotonic() + deadline_seconds
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=1):
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"ClickHouse on port {port} does not open")
        time.sleep(0.05)


def _serve(serve: Callable[[Any], Coroutine[Any, Any, None]], options: Any, core: int | None, uvloop: bool) -> None:
    if core is not None:
        os.sched_setaffinity(0, {core})
    _quiet()
    if uvloop:
        import uvloop as loops

        loops.run(serve(options))
    else:
        asyncio.run(serve(options))


def _quiet() -> None:
    import logging

    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


@contextlib.contextmanager
def service(
    serve: Callable[[Any], Coroutine[Any, Any, None]], options: Any, *, core: int | None, uvloop: bool = True
) -> Iterator[int]:
    """Runs ``serve(options)`` in a process of its own, on one core or on all (None), and gives its pid. Kills it."""
    process = multiprocessing.get_context("spawn").Process(
        target=_serve, args=(serve, options, core, uvloop), daemon=True
    )
    process.start()
    assert process.pid is not None
    try:
        yield process.pid
    finally:
        process.kill()
        process.join()
