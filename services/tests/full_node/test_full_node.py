"""A block from the merge miner, through the proxy and the pool, becomes the tip of a real full node's chain."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from async_merge_miner import AsyncMergeMiner, AsyncStratumClient
from services.demo.full_node import FullNode, NodeAddress, NodeError
from services.demo.options import DemoPoolOptions
from services.demo.server import DemoPoolServer
from services.miner import Chain, Effort, FoundBlock
from services.proxy.server import Proxy
from services.stratum.difficulty import bits_to_target, difficulty_of
from services.tests.proxy.conftest import miner_port, proxy_options

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.full_node, pytest.mark.timeout(400)]

# Of every regression test network: every other hash is a block.
_NETWORK_DIFFICULTY = difficulty_of(bits_to_target(bytes.fromhex("207fffff")))
_BLOCKS = 5


async def test_a_block_through_the_proxy_becomes_the_nodes_tip(tmp_path: Path, node: NodeAddress) -> None:
    found: list[FoundBlock] = []
    options = DemoPoolOptions(data=tmp_path / "pool", port=0, node=node, fixed_difficulty=_NETWORK_DIFFICULTY)
    async with FullNode(node) as asked, DemoPoolServer(options) as pool:
        before = await asked.block_template()
        async with Proxy(proxy_options(tmp_path / "spool", pool.port)) as proxy:
            client = AsyncStratumClient("127.0.0.1", miner_port(proxy), "wallet.rig", "x")
            # Slowly: a handful of headers is enough for a block here.
            effort = Effort(chains=(Chain.BTC,), intensity_percent=1)
            miner = AsyncMergeMiner(
                client, b"", block_file=tmp_path / "blocks.json", on_block=found.append, effort=effort
            )
            await client.connect()
            mining = asyncio.create_task(miner.mine_forever(60))
            receiving = asyncio.create_task(client.receive_jobs())
            while (await asked.block_template())["height"] < before["height"] + _BLOCKS:
                assert not mining.done()
                await asyncio.sleep(0.1)
            await client.close()
            await asyncio.gather(mining, receiving)
        tip = await asked.block_template()
    mined = {block.hash for block in found}
    assert tip["previousblockhash"] in mined
    assert tip["height"] >= before["height"] + _BLOCKS
    by_height = {block.height for block in found}
    assert set(range(before["height"], before["height"] + _BLOCKS)) <= by_height, "heights as BIP 34 has them"


async def test_a_node_that_is_away_or_refuses_us_is_one_clear_sentence(tmp_path: Path, node: NodeAddress) -> None:
    for address, sentence in (
        (NodeAddress(node.url, "x", "wrong"), "refuses user and password"),
        (NodeAddress("http://127.0.0.1:1", "x", "x"), "does not answer"),
    ):
        with pytest.raises(NodeError, match=sentence):
            async with DemoPoolServer(DemoPoolOptions(data=tmp_path / "pool", port=0, node=address)):
                pass
