"""The real `sharehouse proxy`, told of a new configuration by its file and by SIGHUP, with a miner connected."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from services.tests.conftest import unused_port
from services.tests.proxy.scripted_pool import Script, ScriptedPool, make_job
from services.tests.proxy.talking_miner import TalkingMiner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class ProxyProcess:
    """Its log, line by line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def event(self, name: str, **facts: object) -> dict[str, Any]:
        """The next log line of that event with these facts."""
        assert self.process.stderr is not None
        async with asyncio.timeout(50):
            while line := await self.process.stderr.readline():
                told: dict[str, Any] = json.loads(line)
                if told["event"] == name and all(told.get(key) == value for key, value in facts.items()):
                    return told
        raise AssertionError(f"the proxy ended with {await self.process.wait()}")


@asynccontextmanager
async def proxy(config: Path, port: int) -> AsyncIterator[ProxyProcess]:
    environment = {
        **os.environ,
        "PROXY_HOST": "127.0.0.1",
        "PROXY_PORT": str(port),
        "METRICS_PORT": str(unused_port()),
        "CLICKHOUSE_PORT": str(unused_port()),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.command", "proxy", "--config", str(config)),
        *("--data", str(config.parent / "data")),
        env=environment,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield ProxyProcess(process)
    finally:
        process.terminate()
        async with asyncio.timeout(50):
            # What nobody reads would fill the pipe.
            await process.communicate()


def submits(pool: ScriptedPool) -> int:
    return sum(len(connection.params("mining.submit")) for connection in pool.connections)


def write(config: Path, pool: ScriptedPool, more: str = "") -> None:
    """As an editor does: another file in its place."""
    new = config.with_suffix(".new")
    new.write_text(f'[pools.normal]\nhost = "127.0.0.1"\nport = {pool.port}\nuser = "wallet"\npass = "x"\n{more}')
    new.rename(config)


@pytest.mark.timeout(180)
async def test_a_miner_lives_through_it_all(tmp_path: Path) -> None:
    config, port, added = tmp_path / "config.toml", unused_port(), unused_port()
    second_script = Script(extranonce1="5ec0dd00", job=make_job("second", prevhash=2))
    async with ScriptedPool() as first, ScriptedPool(second_script) as second:
        write(config, first)
        async with proxy(config, port) as running:
            await running.event("listening", pool_label="normal")
            async with TalkingMiner(port) as miner:
                old = await miner.start()
                running.process.send_signal(signal.SIGHUP)
                told = await running.event("reload", cause="signal")
                assert (told["changed"], told["added"], told["removed"]) == ([], [], [])

                write(config, second)
                assert (await running.event("reload", cause="file"))["changed"] == ["normal"]
                new = await miner.job()
                assert new.clean_jobs
                assert (await miner.submit(new))["result"] is True
                assert (await miner.submit(old))["result"] is True
                assert submits(first) == submits(second) == 1

                write(config, first, "[pools.other]\nhost = 'pool.test'\n")
                refused = await running.event("reload_refused", cause="file")
                assert "config.toml: pools.other.listen: missing" in refused["why"]
                assert str(tmp_path) not in refused["why"]
                running.process.send_signal(signal.SIGHUP)
                await running.event("reload_refused", cause="signal")
                assert (await miner.submit(new, start=1 << 20))["result"] is True
                assert submits(first) == 1

                other = (
                    f'[pools.other]\nhost = "127.0.0.1"\nport = {first.port}\nuser = "w"\npass = "x"\nlisten = {added}'
                )
                write(config, second, other)
                assert (await running.event("reload", cause="file"))["added"] == ["other"]
                async with TalkingMiner(added) as newcomer:
                    await newcomer.start()
                assert (await miner.submit(new, start=1 << 21))["result"] is True
