"""Bad input against a proxy in a process of its own: told and counted, while memory stays and other miners mine on."""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import select
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import pytest

from services.tests.free_port import free_ports
from services.tests.proxy.scripted_pool import Script, ScriptedPool
from services.tests.proxy.talking_miner import TalkingMiner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.timeout(180)

CROWD, ALLOWED = 5000, 4500
MIB = 1 << 20
MOST_GROWTH_BYTES = 64 * MIB
SAMPLES = 30


@dataclass(frozen=True, slots=True)
class Standalone:
    """``sharehouse proxy`` with the limits above, in front of a pool's port that the test fills."""

    port: int
    pool_port: int
    metrics_port: int
    pid: int

    @property
    def rss_bytes(self) -> int:
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        assert found is not None
        return int(found[1]) * 1024

    async def sample(self, series: str) -> float:
        """The sum of all series that start so."""
        text = await asyncio.to_thread(self._metrics)
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(series))

    async def limit(self, name: str) -> float:
        return await self.sample(f'sharehouse_miner_limits_hit_total{{limit="{name}"')

    def _metrics(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10) as answer:
            return str(answer.read().decode())


@pytest.fixture(scope="module", autouse=True)
def many_files() -> Iterator[None]:
    """Room for a crowd's sockets, here and in the proxy that is started from here."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CROWD + 1000
    assert hard == resource.RLIM_INFINITY or hard >= wanted, f"this test needs {wanted} files: ulimit -Hn {wanted}"
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def proxy(many_files: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    folder = tmp_path_factory.mktemp("proxy")
    port, pool, metrics, clickhouse = free_ports(4)
    (folder / "config.toml").write_text(
        f'[pools.normal]\nhost = "127.0.0.1"\nport = {pool}\nuser = "wallet"\npass = "x"\n[limits]\n'
        f"connections_per_address = {ALLOWED}\nmessages_per_second = 1e6\n"
    )
    settings = {"PROXY_HOST": "127.0.0.1", "PROXY_PORT": port, "METRICS_PORT": metrics, "CLICKHOUSE_PORT": clickhouse}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.command", "proxy", "--config", folder / "config.toml", "--data", folder],
            env={**os.environ, **{name: str(value) for name, value in settings.items()}},
            stderr=log,
        )
    found = Standalone(port, pool, metrics, process.pid)
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        try:
            found._metrics()
            break
        except OSError:
            time.sleep(0.1)
    yield found
    process.kill()
    process.wait()


@asynccontextmanager
async def unharmed(proxy: Standalone) -> AsyncIterator[None]:
    """What happens inside neither slows another miner down, beyond what this machine's load does, nor takes memory."""
    bystander = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.tests.proxy.bystander", str(proxy.port)), stdout=asyncio.subprocess.PIPE
    )
    assert bystander.stdout is not None
    times: list[float] = []

    async def listen(stdout: asyncio.StreamReader) -> None:
        while line := await stdout.readline():
            times.append(float(line))

    async def more() -> list[float]:
        start = len(times)
        async with asyncio.timeout(30):
            while len(times) < start + SAMPLES:
                assert bystander.returncode is None
                await asyncio.sleep(0.02)
        return times[start:]

    listening = asyncio.create_task(listen(bystander.stdout))
    try:
        before, memory = median(await more()), proxy.rss_bytes
        start = len(times)
        yield
        await more()
        assert median(times[start:]) <= 30 * before + 0.05
        assert proxy.rss_bytes - memory <= MOST_GROWTH_BYTES
    finally:
        listening.cancel()
        bystander.kill()
        await bystander.wait()


@pytest.fixture
async def pool(proxy: Standalone) -> AsyncIterator[ScriptedPool]:
    async with ScriptedPool(Script(), port=proxy.pool_port) as scripted:
        yield scripted


JUNK = {
    "ten megabytes without a newline": (b"x" * 10_000_000, "line_bytes", "longer than"),
    "a line of a megabyte": (b'{"id":1,"method":"' + b"m" * 1_000_000 + b'"}\n', "line_bytes", "longer than"),
    "invalid UTF-8": (b'{"id":1,"method":"\xff\xfe","params":[]}\n', "junk_lines", "such as {"),
    "deep JSON": (b'{"id":1,"method":"x","params":' + b"[" * 8000 + b"]" * 8000 + b"}\n", "junk_lines", "too deeply"),
    "deep JSON in the id": (b'{"id":' + b"[" * 8000 + b"]" * 8000 + b',"method":"x"}\n', "junk_lines", "too deeply"),
    "a number without end": (b'{"id":' + b"9" * 9000 + b',"method":"mining.ping"}\n', "junk_lines", "Malformed"),
    "a number beyond all": (b'{"id":1e999,"method":"mining.ping"}\n', "junk_lines", "Malformed"),
    "zeros": (b"\0" * 1000 + b"\n", "junk_lines", "such as {"),
    "a line of another protocol": (b"EHLO example.test\r\n", "junk_lines", "such as {"),
}


@pytest.mark.parametrize("what", JUNK)
async def test_junk_is_told_and_counted(proxy: Standalone, pool: ScriptedPool, what: str) -> None:
    data, limit, why = JUNK[what]
    async with unharmed(proxy):
        before = await proxy.limit(limit)
        async with TalkingMiner(proxy.port, local="127.0.0.3") as hostile:
            hostile.write(data)
            answer = (await hostile.read())["error"]
            assert answer[0] == 20
            assert why in answer[1]
            assert "recursion" not in answer[1]
            await hostile.closed()
        assert await proxy.limit(limit) == before + 1


async def test_a_hundred_thousand_submits_without_an_answer(proxy: Standalone, pool: ScriptedPool) -> None:
    pool.script.submit = lambda _: None
    async with unharmed(proxy):
        async with TalkingMiner(proxy.port, local="127.0.0.4") as hostile:
            share = hostile.share(await hostile.start())
            params = json.dumps(share[:4])[1:-1]
            for nonce in range(100_000):
                hostile.write(f'{{"id":{nonce},"method":"mining.submit","params":[{params},"{nonce:08x}"]}}\n'.encode())
                if nonce % 1000 == 0:
                    await asyncio.sleep(0)
            async with asyncio.timeout(30):
                while not await proxy.limit("unanswered_requests"):
                    await asyncio.sleep(0.05)
            await asyncio.sleep(0.5)
            upstreams = [connection.params("mining.submit") for connection in pool.connections]
            assert max(map(len, upstreams)) < 5000


async def test_a_reader_that_reads_nothing(proxy: Standalone, pool: ScriptedPool) -> None:
    async with unharmed(proxy):
        before = await proxy.limit("queued_bytes")
        async with TalkingMiner(proxy.port, local="127.0.0.5") as hostile:
            hostile.writer.transport.pause_reading()  # type: ignore[attr-defined]
            line = b'{"id":"' + b"i" * 4000 + b'","method":"mining.ping","params":[]}\n'
            async with asyncio.timeout(50):
                while await proxy.limit("queued_bytes") == before:
                    hostile.write(line * 200)
                    await asyncio.sleep(0.05)


async def test_a_crowd_of_one_address(proxy: Standalone, pool: ScriptedPool) -> None:
    loop = asyncio.get_running_loop()
    crowd: list[socket.socket] = []

    async def connect() -> None:
        connection = socket.socket()
        crowd.append(connection)
        connection.setblocking(False)
        connection.bind(("127.0.0.6", 0))
        await loop.sock_connect(connection, ("127.0.0.1", proxy.port))

    refused = await proxy.limit("connections_per_address")
    connected = "sharehouse_miner_connections{"
    try:
        async with unharmed(proxy):
            for _ in range(0, CROWD, 100):
                await asyncio.gather(*(connect() for _ in range(100)))
            async with asyncio.timeout(30):
                while await proxy.limit("connections_per_address") < refused + CROWD - ALLOWED:
                    await asyncio.sleep(0.05)
            assert await proxy.sample(connected) >= ALLOWED
            async with TalkingMiner(proxy.port, local="127.0.0.10") as other:
                await other.start()
        told = [connection.recv(1000) for connection in crowd if _is_readable(connection)]
        assert len(told) == CROWD - ALLOWED
        assert all(b"too many connections from 127.0.0.6" in text for text in told)
    finally:
        for connection in crowd:
            connection.close()
    async with asyncio.timeout(30):
        while await proxy.sample(connected):
            await asyncio.sleep(0.05)
    async with TalkingMiner(proxy.port, local="127.0.0.6") as later:
        await later.start()
    assert await proxy.limit("connections_per_address") == refused + CROWD - ALLOWED


def _is_readable(connection: socket.socket) -> bool:
    poll = select.poll()  # which, unlike select, takes any number of files
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))


async def test_shares_for_the_jobs_and_in_the_names_of_others(proxy: Standalone, pool: ScriptedPool) -> None:
    async with TalkingMiner(proxy.port) as victim, TalkingMiner(proxy.port, local="127.0.0.7") as foe:
        job = await victim.start("victim.rig")
        share = victim.share(job, worker="victim.rig")
        foes_job = await foe.start("foe.rig")
        assert (await foe.ask("mining.submit", share))["error"][0] == 24
        assert (await foe.ask("mining.submit", ["foe.rig", *share[1:]]))["error"][0] == 21
        assert (await foe.submit(foes_job, worker="victim.rig"))["error"][0] == 24
        assert (await victim.ask("mining.submit", share))["result"] is True


async def test_a_share_cannot_be_replayed_on_another_connection(proxy: Standalone, pool: ScriptedPool) -> None:
    async with TalkingMiner(proxy.port, local="127.0.0.8") as first:
        share = first.share(await first.start())
        assert (await first.ask("mining.submit", share))["result"] is True
        assert (await first.ask("mining.submit", share))["error"][0] == 22
    async with TalkingMiner(proxy.port, local="127.0.0.8") as again:
        job = await again.start()
        assert (await again.ask("mining.submit", share))["error"][0] == 21
        answer = await again.ask("mining.submit", [share[0], job.job_id, *share[2:]])
        # Under a job of this connection, the same nonce makes another header: a share of its own, or none.
        assert again.extranonce1 != first.extranonce1
        assert answer["result"] is True or answer["error"][0] == 23


async def test_ntime_and_version_abuse(proxy: Standalone, pool: ScriptedPool) -> None:
    async with unharmed(proxy), TalkingMiner(proxy.port, local="127.0.0.9") as hostile:
        answer = await hostile.ask("mining.configure", [["version-rolling"], {"version-rolling.mask": "1fffe000"}])
        hostile.mask = int(answer["result"]["version-rolling.mask"], 16)
        share = hostile.share(await hostile.start(), bits=0)
        refused: dict[str, dict[int, str | None]] = {
            "ntime before the job": {3: "00000000"},
            "ntime in years": {3: "ffffffff"},
            "ntime that is none": {3: "-0000001"},
            "ntime too long": {3: "0" * 5000},
            "bits outside the mask": {5: "e0000001"},
            "bits that are none": {5: "zzzzzzzz"},
            "a nonce that is none": {4: None},
            "an extranonce2 too long": {2: "00" * 5000},
        }
        for what, changed in refused.items():
            params = [changed.get(position, value) for position, value in enumerate(share)]
            assert (await hostile.ask("mining.submit", params))["error"][0] == 20, what
        assert (await hostile.ask("mining.submit", share))["result"] is True
