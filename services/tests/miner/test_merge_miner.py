"""The miner against the demo pool, over real sockets."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from async_merge_miner import AsyncMergeMiner, AsyncStratumClient, tetrapow_hash
from services.demo.options import DemoPoolOptions
from services.demo.server import DemoPoolServer
from services.miner import mining_threads
from services.miner.options import MinerOptions
from services.miner.server import serve
from services.tests.miner.relay import LosingRelay
from services.tests.miner.scripted_pool import ScriptedPool, notify, set_difficulty
from services.tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from services.miner import FoundBlock
    from services.miner.mining_job import MiningJob, Work

EASY = 2.0**-24  # a share in 256 hashes
EASE = {"BTC": 1, "RollPoW": 2, "Tetra-PoW": 4}


def sha256d(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


HASHES = {"BTC": sha256d, "RollPoW": lambda header: sha256d(header[::-1]), "Tetra-PoW": tetrapow_hash}


def check(block: FoundBlock) -> None:
    """The proof of work, from the 80 bytes alone."""
    block_hash = HASHES[block.chain](block.header)
    exponent, mantissa = block.header[75], int.from_bytes(block.header[72:75], "little")
    target = mantissa << 8 * (exponent - 3)
    assert int.from_bytes(block_hash, "little") <= min(target * EASE[block.chain], 2**256 - 1)
    assert block_hash[::-1].hex() == block.hash
    assert int.from_bytes(block.header[76:], "little") == block.nonce


@asynccontextmanager
async def pool(folder: Path, **settings: Any) -> AsyncIterator[DemoPoolServer]:
    settings = {"port": 0, "fixed_difficulty": EASY, "network_difficulty": 1.0} | settings
    async with DemoPoolServer(DemoPoolOptions(data=folder / "pool", **settings)) as server:
        yield server


def logged(folder: Path) -> list[str]:
    return [line.split("\t")[0] for line in (folder / "pool" / "accepted.log").read_text().splitlines()]


async def mine(port: int, folder: Path, iterations: int, **options: Any) -> tuple[AsyncStratumClient, AsyncMergeMiner]:
    client = AsyncStratumClient("127.0.0.1", port, "wallet.rig", "x")
    miner = AsyncMergeMiner(client, b"payload", block_file=folder / "blocks.json", **options)
    await client.connect()
    await asyncio.gather(client.receive_jobs(), miner.mine(iterations, 5000))
    return client, miner


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"version_mask": 0},
        {"merkle_branches": 12},
        {"merkle_branches": 0},
        {"extranonce2_size": 1},
        {"extranonce2_size": 4},
        {"extranonce2_size": 16},
        {"fixed_difficulty": None, "start_difficulty": EASY},
    ],
    ids=str,
)
async def test_every_submitted_share_is_accepted(tmp_path: Path, settings: dict[str, Any]) -> None:
    async with pool(tmp_path, **settings) as server:
        client, miner = await mine(server.port, tmp_path, 20_000)
    shares = client.shares
    assert miner.trials == 20_000, "exactly"
    assert (shares.rejected, shares.lost) == (0, 0)
    assert shares.accepted == len(logged(tmp_path)) == len(set(logged(tmp_path)))
    if settings.get("fixed_difficulty", EASY):
        assert 30 < shares.accepted < 130, "78 are expected"


async def test_blocks_of_all_three_chains(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    blocks: list[FoundBlock] = []
    async with pool(tmp_path, network_difficulty=16 * EASY) as server:
        start = server.pool.height
        client, miner = await mine(server.port, tmp_path, 60_000, on_block=blocks.append)
        end = server.pool.height
    for block in blocks:
        check(block)
        assert start < block.height <= end + 1
        assert (block.worker, block.pool) == ("wallet.rig", f"127.0.0.1:{server.port}")
        assert abs(block.ts_ms / 1000 - time.time()) < 60
    counts = {chain: sum(block.chain == chain for block in blocks) for chain in EASE}
    assert counts == {
        "BTC": miner.blocks_mined_btc,
        "RollPoW": miner.blocks_mined_rollpow,
        "Tetra-PoW": miner.blocks_mined_tetrapow,
    }
    # 15, 29 and 59 are expected
    assert 2 <= counts["BTC"] < counts["RollPoW"] + 10
    assert 20 < counts["Tetra-PoW"] < 110
    assert client.shares.rejected == client.shares.stale, "a block makes what follows in the same pass stale, only that"
    assert end - start >= counts["BTC"] - client.shares.stale
    assert json.loads((tmp_path / "blocks.json").read_text()) == [
        {"type": block.chain, "nonce": block.nonce, "height": block.height, "hash": block.hash} for block in blocks
    ]
    lines = "\n".join(record.getMessage() for record in caplog.records)
    for title in ("Bitcoin", "RollPoW", "Tetra-PoW"):
        assert re.search(rf"^{title} Block Mined! Nonce: \d+, Height: \d+, Hash: [0-9a-f]{{64}}$", lines, re.MULTILINE)
    assert re.search(r"^\[Progress\] Elapsed Time: \d+\.\d\ds, Nonce: 5000$", lines, re.MULTILINE)
    assert re.search(r"^BTC Blocks Found: \d+, RollPoW Blocks Found: \d+, Tetra-PoW Blocks Found: \d+$", lines, re.M)
    assert re.search(r"^Share submitted: Job ID [0-9a-f]+, Nonce \d+$", lines, re.MULTILINE)
    assert "payload" in lines


async def test_progress_comes_every_so_many_nonces(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with pool(tmp_path) as server:
        client = AsyncStratumClient("127.0.0.1", server.port, "wallet.rig", "x")
        miner = AsyncMergeMiner(client, b"")
        await client.connect()
        await asyncio.gather(client.receive_jobs(), miner.mine(iterations=2750))
    nonces = re.findall(r"\[Progress\] .* Nonce: (\d+)", caplog.text)
    assert nonces == ["500", "1000", "1500", "2000", "2500"]


async def test_the_pool_restarts(tmp_path: Path) -> None:
    async with pool(tmp_path) as server:
        port = server.port
        client = AsyncStratumClient("127.0.0.1", port, "wallet.rig", "x")
        miner = AsyncMergeMiner(client, b"", block_file=tmp_path / "blocks.json")
        await client.connect()
        mining = asyncio.gather(client.receive_jobs(), miner.mine(2_000_000, 1_000_000))
        await until(lambda: client.shares.accepted > 20)
    before = client.shares.accepted
    async with pool(tmp_path, port=port):
        await until(lambda: client.shares.accepted >= before + 20)
        await client.close()
        await mining
    assert client.shares.rejected == 0
    assert client.shares.accepted <= len(logged(tmp_path)) <= client.shares.accepted + client.shares.lost


async def test_a_share_whose_answer_is_lost_counts_once(tmp_path: Path) -> None:
    async with pool(tmp_path) as server, LosingRelay(server.port) as relay:
        client = AsyncStratumClient("127.0.0.1", relay.port, "wallet.rig", "x")
        miner = AsyncMergeMiner(client, b"", block_file=tmp_path / "blocks.json")
        await client.connect()
        mining = asyncio.gather(client.receive_jobs(), miner.mine(40_000, 1_000_000))
        relay.lose_next_answer = True
        await until(lambda: relay.lost_answers == 1)
        relay.lose_next_answer = True  # of the same share, sent again
        await until(lambda: relay.lost_answers == 2)
        await mining
        assert relay.submits >= client.shares.accepted + 2
    assert (client.shares.rejected, client.shares.lost) == (0, 0)
    assert client.shares.accepted == len(logged(tmp_path)) == len(set(logged(tmp_path)))


async def test_the_event_loop_lives_while_mining(tmp_path: Path) -> None:
    async with pool(tmp_path, fixed_difficulty=2.0**-18) as server:
        mining = asyncio.create_task(mine(server.port, tmp_path, 100_000))
        turns = 0
        began = time.monotonic()
        while not mining.done():
            await asyncio.sleep(0.005)
            turns += 1
        seconds = time.monotonic() - began
        await mining
    assert turns > seconds * 4, "250 ms a turn on average is much, on the busiest machine"


async def test_a_new_job_is_mined_within_a_few_passes(tmp_path: Path) -> None:
    async with pool(tmp_path) as server:
        client = AsyncStratumClient("127.0.0.1", server.port, "wallet.rig", "x")
        miner = AsyncMergeMiner(client, b"", block_file=tmp_path / "blocks.json")
        await client.connect()
        mining = asyncio.gather(client.receive_jobs(), miner.mine(2_000_000, 1_000_000))
        await until(lambda: client.shares.accepted >= 50)
        server.pool.announce(clean_jobs=True)
        job_id = server.pool.job.job_id
        await until(lambda: job_id in client._work and any(client._work[job_id].extranonce2))
        before = client.shares.accepted
        await until(lambda: client.shares.accepted > before)
        await client.close()
        await mining  # of 2 million passes, few are done
    assert client.shares.rejected == 0


async def test_the_nonce_space_is_followed_by_the_next_extranonce2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mining_threads, "NONCES", 7000)
    async with pool(tmp_path) as server:
        client = AsyncStratumClient("127.0.0.1", server.port, "wallet.rig", "x")
        miner = AsyncMergeMiner(client, b"", block_file=tmp_path / "blocks.json")
        drawn: list[bytes] = []
        next_work = client.next_work

        def note(mining_job: MiningJob) -> Work:
            work = next_work(mining_job)
            drawn.append(work.extranonce2)
            return work

        client.next_work = note  # type: ignore[method-assign]
        await client.connect()
        await asyncio.gather(client.receive_jobs(), miner.mine(20_000, 100_000))
    assert len(set(drawn)) == len(drawn) == 3
    assert client.shares.accepted == len(logged(tmp_path)) > 10
    assert client.shares.rejected == 0


async def test_neither_a_full_disk_nor_a_failing_receiver_ends_the_mining(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(block: FoundBlock) -> None:
        raise RuntimeError(f"no room for {block.chain}")

    (tmp_path / "file").write_text("")
    async with pool(tmp_path, network_difficulty=16 * EASY) as server:
        _, miner = await mine(server.port, tmp_path / "file", 20_000, on_block=fail)
    assert miner.trials == 20_000
    assert "could not be written" in caplog.text
    assert "no room for Tetra-PoW" in caplog.text


async def test_what_could_not_be_written_is_written_with_the_next_block(tmp_path: Path) -> None:
    blocks: list[FoundBlock] = []
    folder = tmp_path / "found"
    folder.write_text("in the way")

    def note(block: FoundBlock) -> None:
        blocks.append(block)
        if len(blocks) == 2:
            folder.unlink()

    async with pool(tmp_path, network_difficulty=16 * EASY) as server:
        await mine(server.port, folder, 20_000, on_block=note)
    assert len(blocks) > 2
    kept = json.loads((folder / "blocks.json").read_text())
    assert sorted(one["hash"] for one in kept) == sorted(block.hash for block in blocks)


@asynccontextmanager
async def owed_verdicts(
    folder: Path,
) -> AsyncIterator[tuple[ScriptedPool, AsyncStratumClient, AsyncMergeMiner, asyncio.Future[Any]]]:
    """A pool that answers no share, a miner that has sent it a thousand, and its mining."""
    async with ScriptedPool(submit=None) as silent:
        silent.after_subscribe = [set_difficulty(EASY), notify("j1", nbits="1b00ffff")]
        client = AsyncStratumClient("127.0.0.1", silent.port, "wallet.rig", "x")
        miner = AsyncMergeMiner(client, b"", block_file=folder / "blocks.json")
        await client.connect()
        mining = asyncio.gather(client.receive_jobs(), miner.mine_forever(60))
        await silent.wait_for("submit", 1000)
        yield silent, client, miner, mining


async def test_it_stops_at_once_also_while_the_pool_answers_no_share(tmp_path: Path) -> None:
    async with owed_verdicts(tmp_path) as (_, client, _, mining):
        mining.cancel()
        async with asyncio.timeout(30):  # a verdict is waited for twice as long
            with pytest.raises(asyncio.CancelledError):
                await mining
    assert client.shares.accepted == 0


async def test_a_new_job_ends_the_wait_for_verdicts_on_the_one_before(tmp_path: Path) -> None:
    async with owed_verdicts(tmp_path) as (silent, client, miner, mining):
        later = notify("j2", nbits="1b00ffff")
        later["params"][1] = "ba" * 32
        silent.say(set_difficulty(2.0**40), later)

        def is_begun() -> bool:
            job, threads = client.job, miner._threads
            return job is not None and job.job.job_id == "j2" and threads is not None and threads.has_begun(job)

        await until(is_begun)
        await client.close()
        await mining


async def test_mining_waits_for_a_job_and_ends_with_its_client(tmp_path: Path) -> None:
    client = AsyncStratumClient("127.0.0.1", 1, "wallet.rig", "x")
    miner = AsyncMergeMiner(client, b"", block_file=tmp_path / "blocks.json")
    mining = asyncio.create_task(miner.mine())
    await asyncio.sleep(0.05)
    assert not mining.done()
    await client.close()
    await mining
    assert miner.trials == 0
    with pytest.raises(ValueError, match="log_interval"):
        await miner.mine(log_interval=0)


async def test_as_a_service_it_waits_for_its_pool_and_stops_at_once(tmp_path: Path) -> None:
    blocks: list[FoundBlock] = []
    async with pool(tmp_path) as server:
        port = server.port
    options = MinerOptions("127.0.0.1", port, "wallet.rig", block_file=tmp_path / "blocks.json", on_block=blocks.append)
    assert "'x'" not in repr(options)
    service = asyncio.create_task(serve(options))
    await asyncio.sleep(0.1)
    async with pool(tmp_path, port=port, network_difficulty=16 * EASY):
        await until(lambda: bool(blocks))
        service.cancel()
        with pytest.raises(asyncio.CancelledError):
            await service
    check(blocks[0])
