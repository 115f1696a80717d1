"""Several proxy processes on one port, as an operator starts them."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest

from services.command.crew import Crew
from services.command.mistake import Mistake
from services.tests.free_port import free_ports
from services.tests.proxy.scripted_pool import ScriptedPool
from services.tests.proxy.talking_miner import TalkingMiner

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator
CONNECTIONS = 600
"""Each goes to either of two with a chance of 1/2: worse than 60/40 is 4.9 standard deviations, once in a million."""
HANGS_UP = """
import pathlib, signal, socketserver, sys, time
journal = pathlib.Path(sys.argv[1])
def note(number, _):
    with journal.open("a") as file:
        file.write(signal.Signals(number).name + "\\n")
    if number == signal.SIGTERM:
        sys.exit(0)
class Ready(socketserver.StreamRequestHandler):
    def handle(self):
        self.rfile.readline()
        self.wfile.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n")
signal.signal(signal.SIGTERM, note)
note(signal.SIGUSR1, None)
time.sleep(0.5)
signal.signal(signal.SIGHUP, note)
socketserver.UnixStreamServer(sys.argv[-1], Ready).serve_forever()
"""
"""While it starts, SIGHUP ends it."""


class Running:
    """``sharehouse proxy --workers 2`` in front of a pool."""

    def __init__(self, process: Process, port: int, metrics_port: int) -> None:
        self.process = process
        self.port = port
        self._url = f"http://127.0.0.1:{metrics_port}"

    async def asked(self, path: str) -> tuple[int, str]:
        try:
            async with aiohttp.ClientSession() as web, web.get(self._url + path) as answer:
                return answer.status, await answer.text()
        except aiohttp.ClientError:
            return 0, ""

    async def ready(self) -> None:
        async with asyncio.timeout(50):
            while (await self.asked("/readyz"))[0] != 200 or await self.sample("sharehouse_processes_answering") != [2]:
                assert self.process.returncode is None
                await asyncio.sleep(0.1)

    async def sample(self, start: str) -> list[float]:
        _, text = await self.asked("/metrics")
        return [float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(start)]


def children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def living(pids: list[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


@asynccontextmanager
async def running(folder: Path, pool_port: int, port: int | None = None) -> AsyncIterator[Running]:
    listen, metrics, clickhouse = free_ports(3)
    port = port or listen
    (folder / "config.toml").write_text(
        f'[pools.normal]\nhost = "127.0.0.1"\nport = {pool_port}\nuser = "wallet"\npass = "x"\n'
    )
    settings = {"PROXY_HOST": "127.0.0.1", "PROXY_PORT": str(port), "METRICS_PORT": str(metrics)}
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.command", "proxy", "--workers", "2"),
            *("--config", str(folder / "config.toml"), "--data", str(folder / "data")),
            env={**os.environ, **settings, "CLICKHOUSE_PORT": str(clickhouse)},
            stderr=log,
        )
    try:
        yield Running(process, port, metrics)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_two_processes_share_the_miners_and_one_that_dies_is_replaced(tmp_path: Path) -> None:
    async with ScriptedPool() as pool, running(tmp_path, pool.port) as proxy:
        await proxy.ready()
        visitors = [(await asyncio.open_connection("127.0.0.1", proxy.port))[1] for _ in range(CONNECTIONS)]
        async with asyncio.timeout(30):
            while sum(counts := await proxy.sample("sharehouse_miner_connections{")) < CONNECTIONS:
                await asyncio.sleep(0.05)
        assert len(counts) == 2
        assert 0.4 * CONNECTIONS <= counts[0] <= 0.6 * CONNECTIONS
        for visitor in visitors:
            visitor.transport.abort()
        numbers = []
        for _ in range(20):
            async with TalkingMiner(proxy.port) as miner:
                assert (await miner.submit(await miner.start()))["result"] is True
                numbers.append(int.from_bytes(miner.extranonce1, "big"))
        per_process = await proxy.sample('sharehouse_shares_total{pool_label="normal",process=')
        assert sum(per_process) == 20
        halves = [number % 2 for number in numbers]
        assert sorted(per_process) == sorted(count for half in (0, 1) if (count := halves.count(half)))
        assert len(set(numbers)) == 20
        victim, _ = children(proxy.process.pid)
        os.kill(victim, signal.SIGKILL)
        async with asyncio.timeout(50):
            while victim in children(proxy.process.pid) or len(children(proxy.process.pid)) < 2:
                await asyncio.sleep(0.05)
        async with TalkingMiner(proxy.port) as miner:
            await miner.start()
        await proxy.ready()
        left = children(proxy.process.pid)
        proxy.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(50):
            assert await proxy.process.wait() == 0
        assert not living(left)


async def test_the_parent_of_a_killed_crew_leaves_nobody_behind(tmp_path: Path) -> None:
    async with ScriptedPool() as pool, running(tmp_path, pool.port) as proxy:
        await proxy.ready()
        left = children(proxy.process.pid)
        proxy.process.kill()
        async with asyncio.timeout(50):
            while living(left):
                await asyncio.sleep(0.05)


async def test_a_port_that_another_uses_is_not_shared_with_it(tmp_path: Path) -> None:
    async with ScriptedPool() as pool, running(tmp_path, pool.port, port=pool.port) as proxy:
        assert await proxy.process.wait() == 2
    assert f"port {pool.port} on 127.0.0.1" in (tmp_path / "log").read_text()


async def test_a_hangup_is_handed_on_once_they_are_ready_and_a_stop_reaches_all(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    journal.touch()

    async def written(what: str, times: int) -> None:
        async with asyncio.timeout(50):
            while len(re.findall(what, journal.read_text())) < times:
                await asyncio.sleep(0.02)

    command = (sys.executable, "-c", HANGS_UP, str(journal))
    crew = Crew(command, {number: tmp_path / f"{number}.sock" for number in (1, 2)})
    running_crew = asyncio.create_task(crew.run())
    await written("SIGUSR1", 2)
    os.kill(os.getpid(), signal.SIGHUP)
    await written("SIGHUP", 2)
    os.kill(os.getpid(), signal.SIGHUP)
    await written("SIGHUP", 4)
    assert journal.read_text().count("SIGUSR1") == 2
    running_crew.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running_crew
    await written("SIGTERM", 2)


@pytest.mark.parametrize("code", [2, 1])
async def test_a_process_that_never_starts_is_given_up(tmp_path: Path, code: int) -> None:
    command = (sys.executable, "-c", f"raise SystemExit({code})")
    with pytest.raises(Mistake, match=f"ended with exit code {code} before it was ready"):
        await Crew(command, {1: tmp_path / "1.sock"}).run()
