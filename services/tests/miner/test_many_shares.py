"""Every submitted share is accepted, but true stales: directly and through the proxy, while things happen."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from async_merge_miner import AsyncMergeMiner, AsyncStratumClient
from services.demo.options import DemoPoolOptions
from services.demo.server import DemoPoolServer
from services.miner import Effort
from services.proxy.server import Proxy
from services.tests.proxy.conftest import miner_port, proxy_options

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SHARES = 400
_DIFFICULTY = 2.0**-18
_REFUSED = "Share rejected by the pool: "
# What the proxy answers for shares that were on their way to a pool whose connection broke.
_NO_VERDICT = "[20] No verdict from the pool"


class Mining:
    """A miner on compiled code with two threads, and the pool that it mines on."""

    def __init__(self, folder: Path, options: DemoPoolOptions, stack: AsyncExitStack) -> None:
        self._folder = folder
        self._options = options
        self._stack = stack

    async def begin(self, *, through_proxy: bool) -> None:
        await self.open_pool(0)
        port = self.pool.port
        if through_proxy:
            proxy = await self._stack.enter_async_context(Proxy(proxy_options(self._folder / "spool", port)))
            port = miner_port(proxy)
        self.client = AsyncStratumClient("127.0.0.1", port, "wallet.rig", "x")
        await self.client.connect()
        blocks = self._folder / "blocks.json"
        self.miner = AsyncMergeMiner(self.client, b"", block_file=blocks, effort=Effort(threads=2))
        self._mining = asyncio.gather(self.client.receive_jobs(), self.miner.mine_forever(60))
        self._stack.push_async_callback(self.end)

    async def open_pool(self, port: int) -> None:
        data = self._folder / "pool"
        self.pool = DemoPoolServer(DemoPoolOptions(**{**self._options_of(), "data": data, "port": port}))
        await self.pool.__aenter__()

    async def restart_pool(self) -> None:
        port = self.pool.port
        await self.pool.__aexit__()
        await self.open_pool(port)

    async def end(self) -> None:
        await self.client.close()
        await self._mining
        await self.pool.__aexit__()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            assert not self._mining.done()
            await asyncio.sleep(0.02)

    async def more(self, shares: int) -> None:
        wanted = self.client.shares.accepted + shares
        await self.until(lambda: self.client.shares.accepted >= wanted)

    def _options_of(self) -> dict[str, Any]:
        names = ("fixed_difficulty", "network_difficulty", "version_mask", "extranonce2_size", "start_difficulty")
        return {name: getattr(self._options, name) for name in names}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("version_mask", [0x1FFFE000, 0], ids=hex)
@pytest.mark.parametrize("through_proxy", [False, True], ids=["directly", "through the proxy"])
async def test_no_share_is_refused_whatever_happens(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, through_proxy: bool, version_mask: int
) -> None:
    options = DemoPoolOptions(
        data=tmp_path, fixed_difficulty=_DIFFICULTY, network_difficulty=1.0, version_mask=version_mask
    )
    async with AsyncExitStack() as stack:
        mining = Mining(tmp_path, options, stack)
        await mining.begin(through_proxy=through_proxy)
        await mining.more(SHARES // 4)
        mining.pool.pool.announce(clean_jobs=True)
        await mining.more(SHARES // 4)
        mining.pool.drop_connections()
        await mining.more(SHARES // 4)
        await mining.restart_pool()
        await mining.more(SHARES // 4)
    shares = mining.client.shares
    lines = (tmp_path / "pool" / "accepted.log").read_text().splitlines()
    logged = [line.split("\t")[0] for line in lines]
    assert shares.accepted >= SHARES
    refused = [text.removeprefix(_REFUSED) for text in caplog.messages if text.startswith(_REFUSED)]
    assert len(refused) == shares.rejected
    assert [text for text in refused if not text.startswith(("[21] ", _NO_VERDICT))] == [], "none but true stales"
    assert through_proxy or shares.rejected == 0, "the tip was the same all the time"
    assert len(set(logged)) == len(logged)
    assert shares.accepted <= len(logged) <= shares.accepted + shares.lost + shares.rejected


@pytest.mark.timeout(600)
@pytest.mark.parametrize("through_proxy", [False, True], ids=["directly", "through the proxy"])
async def test_no_share_is_refused_while_the_difficulty_changes(tmp_path: Path, through_proxy: bool) -> None:
    options = DemoPoolOptions(data=tmp_path, start_difficulty=2.0**-24, network_difficulty=1.0)
    async with AsyncExitStack() as stack:
        mining = Mining(tmp_path, options, stack)
        await mining.begin(through_proxy=through_proxy)
        seen: set[float] = set()

        def changed() -> bool:
            job = mining.client.job
            seen.update([job.difficulty] if job is not None else [])
            return len(seen) >= 3

        await mining.until(changed)
        await mining.more(3)
    assert mining.client.shares.rejected == mining.client.shares.stale
