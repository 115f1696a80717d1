from __future__ import annotations

import asyncio
import contextlib
import io
import os
import signal
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from services.command import probe
from services.command import supervisor as supervising
from services.command.console import Console
from services.command.service import Service
from services.command.supervisor import Supervisor
from services.tests.command.children import STUBBORN, impatient, never, program, server
from services.tests.free_port import free_ports

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    import pytest


class Run:
    """A supervisor at work, and what it wrote."""

    def __init__(self, services: Sequence[Service]) -> None:
        self.stream = io.StringIO()
        self.console = Console([service.name for service in services], lambda: None, self.stream)
        self.supervisor = Supervisor(services, self.console)
        self.ready = asyncio.Event()

    async def run(self) -> int:
        async def when_ready() -> None:
            self.ready.set()

        try:
            return await self.supervisor.run(when_ready)
        finally:
            self.console.close()

    def pid(self, name: str) -> int:
        return self.supervisor._running[name].pid

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                await asyncio.sleep(0.02)

    @property
    def written(self) -> str:
        return self.stream.getvalue()


@contextlib.asynccontextmanager
async def running(services: Sequence[Service]) -> AsyncIterator[tuple[Run, asyncio.Task[int]]]:
    run = Run(services)
    task = asyncio.create_task(run.run())
    try:
        yield run, task
    finally:
        run.supervisor.request_stop()
        await task


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_starts_in_order_and_stops_in_reverse(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    after: dict[str, tuple[str, ...]] = {"a": (), "b": ("a",), "c": ("a", "b")}
    services = [
        replace(server(name, port, journal), after=after[name]) for name, port in zip("abc", free_ports(3), strict=True)
    ]
    async with running(services) as (run, task):
        await asyncio.wait_for(run.ready.wait(), 30)
        pids = [run.pid(name) for name in "abc"]
        run.supervisor.request_stop()
        assert await asyncio.wait_for(task, 30) == 0
    assert journal.read_text().split("\n") == [*(f"start {n}" for n in "abc"), *(f"stop {n}" for n in "cba"), ""]
    assert "a  | a listens" in run.written
    assert all(map(_gone, pids))


async def test_stopping_while_starting_leaves_nothing(tmp_path: Path) -> None:
    for pause_seconds in (0, 0.005, 0.02, 0.1):
        async with running([program(name, STUBBORN, never) for name in "abc"]) as (run, task):
            await asyncio.sleep(pause_seconds)
            run.supervisor.request_stop()
            run.supervisor.request_stop()
            assert await asyncio.wait_for(task, 30) == 0
        assert all(_gone(process.pid) for process in run.supervisor._running.values())


async def test_what_follows_readiness_is_done_before_the_next_starts(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    one, two = free_ports(2)

    async def migrate() -> None:
        await asyncio.sleep(0.3)
        with journal.open("a") as file:
            file.write("migrated\n")

    services = [
        replace(server("a", one, journal), once_ready=migrate),
        replace(server("b", two, journal), after=("a",)),
    ]
    async with running(services) as (run, _):
        await asyncio.wait_for(run.ready.wait(), 30)
        os.kill(run.pid("a"), signal.SIGKILL)
        await run.until(lambda: "a is ready again" in run.written)
    assert journal.read_text().splitlines()[:4] == ["start a", "migrated", "start b", "start a"]


async def test_a_service_that_dies_is_started_again_with_back_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervising, "_BACKOFF_FIRST_SECONDS", 0.1)
    (port,) = free_ports(1)
    async with running([server("a", port, tmp_path / "journal")]) as (run, _):
        await asyncio.wait_for(run.ready.wait(), 30)
        for seconds in ("0.1", "0.2", "0.4"):
            await _killed_and_started_again(run, seconds)
        await run.until(lambda: run.written.count("a is ready again") >= 1)


async def _killed_and_started_again(run: Run, after_seconds: str) -> None:
    killed = run.pid("a")
    os.kill(killed, signal.SIGKILL)
    await run.until(lambda: f"a was killed by SIGKILL; starting it again in {after_seconds} s" in run.written)
    await run.until(lambda: run.pid("a") != killed)


async def test_a_mistake_before_readiness_stops_everything(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    code = "import sys; print('no such wallet', file=sys.stderr); sys.exit(2)"
    refusing = replace(program("b", code, never), after=("a",))
    async with running([server("a", port, tmp_path / "journal"), refusing]) as (run, task):
        assert await asyncio.wait_for(task, 30) == 2
    assert "b  | no such wallet" in run.written
    assert "b ended with exit code 2 before it was ready" in run.written
    assert (tmp_path / "journal").read_text() == "start a\nstop a\n"


async def test_a_service_that_cannot_start_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervising, "_BACKOFF_FIRST_SECONDS", 0.01)
    async with running([program("a", "1 / 0", never)]) as (run, task):
        assert await asyncio.wait_for(task, 30) == 1
    assert run.written.count("ZeroDivisionError") == 3


async def test_a_service_that_is_never_ready_ends_the_run() -> None:
    service = impatient(program("a", "import time; time.sleep(60)", never), 0.3)
    async with running([service]) as (run, task):
        assert await asyncio.wait_for(task, 30) == 1
    assert "a was not ready within 0.3 s" in run.written


async def test_what_follows_readiness_may_fail() -> None:
    async def migrate() -> None:
        raise ConnectionRefusedError("no tables")

    service = replace(program("a", "import time; time.sleep(60)"), once_ready=migrate)
    async with running([service]) as (run, task):
        assert await asyncio.wait_for(task, 30) == 1
    assert "what follows failed: ConnectionRefusedError: no tables" in run.written


async def test_a_service_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervising, "STOP_SECONDS", 1.0)
    (port,) = free_ports(1)
    async with running([server("a", port, tmp_path / "journal"), program("b", STUBBORN)]) as (run, task):
        await asyncio.wait_for(run.ready.wait(), 30)
        await run.until(lambda: "b  | up" in run.written)
        pid = run.pid("b")
        run.supervisor.request_stop()
        assert await asyncio.wait_for(task, 30) == 0
    assert "b: killed, it did not end within" in run.written
    assert _gone(pid)
    assert (tmp_path / "journal").read_text() == "start a\nstop a\n"


async def test_asked_twice_it_stops_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervising, "STOP_SECONDS", 600.0)
    async with running([program("a", STUBBORN)]) as (run, task):
        await run.until(lambda: "a  | up" in run.written)
        run.supervisor.request_stop()
        await asyncio.sleep(0.1)
        run.supervisor.request_stop()
        await asyncio.wait_for(task, 30)
    assert "a: killed, as asked" in run.written


async def test_endless_lines_are_cut() -> None:
    code = "import sys, time; sys.stdout.write('x' * 100_000); sys.stdout.flush(); time.sleep(60)"
    async with running([program("a", code)]) as (run, _):
        await run.until(lambda: run.written.count("a  | xxx") >= 4)


WAITER = """
import http.server, pathlib, socketserver, sys
from services.command.parent import end_with_parent
port, mended = int(sys.argv[1]), pathlib.Path(sys.argv[2])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(*((200,) if mended.exists() else (503, "Waiting for S3")))
        self.end_headers()
    def log_message(self, *_):
        pass
socketserver.TCPServer.allow_reuse_address = True
server = socketserver.TCPServer(("127.0.0.1", port), Handler)
end_with_parent()
server.serve_forever()
"""


async def test_others_start_while_a_service_waits_for_what_somebody_must_mend(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    mended, done = tmp_path / "mended", asyncio.Event()

    async def once_ready() -> None:
        done.set()

    waiter = Service(
        "store",
        (sys.executable, "-c", WAITER, str(port), str(mended)),
        probe.http("127.0.0.1", port, "/"),
        once_ready=once_ready,
        waits=probe.http("127.0.0.1", port, "/", status="503 Waiting for S3"),
    )
    after = replace(program("after", STUBBORN), after=("store",))
    async with running([waiter, after]) as (run, task):
        async with asyncio.timeout(50):
            await run.ready.wait()
        await run.until(lambda: "store waits" in run.written)
        assert run.supervisor.waiting == ["store"]
        assert not done.is_set()
        mended.touch()
        async with asyncio.timeout(50):
            await done.wait()
        await run.until(lambda: not run.supervisor.waiting)
        await run.until(lambda: "store is ready" in run.written)
        run.supervisor.request_stop()
        run.supervisor.request_stop()
        assert await task == 0


async def test_a_reload_reaches_those_that_can_and_are_ready(tmp_path: Path) -> None:
    code = (
        "import pathlib, signal, sys, time; signal.signal(signal.SIGHUP, lambda *_: print('read anew', flush=True));"
        "print('up', flush=True); time.sleep(60)"
    )
    (port,) = free_ports(1)
    services = [
        replace(program("a", code), reloads_on_hangup=True),
        server("b", port, tmp_path / "journal"),
        replace(program("c", "import time; time.sleep(60)", never), reloads_on_hangup=True),
    ]
    async with running(services) as (run, _):
        await run.until(lambda: "a  | up" in run.written and "a is ready" in run.written)
        await run.until(lambda: "b is ready" in run.written)
        run.supervisor.request_reload()
        await run.until(lambda: "a  | read anew" in run.written)
        # SIGHUP would have ended these two.
        assert not any(_gone(run.pid(name)) for name in "bc")
    assert "c is not ready; it reads its configuration when it starts" in run.written
