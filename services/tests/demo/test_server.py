"""The pool over real sockets, its answers held against arithmetic of the test's own."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from services.demo.chain import FIRST_HEIGHT
from services.demo.options import DemoPoolOptions
from services.demo.pool import DemoPool
from services.demo.server import DemoPoolServer
from services.tests.demo.wire import WireJob, WireMiner, sha256d

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

EASY = 2.0**-24  # a share in 256 hashes
NO_BLOCKS = 1.0


@asynccontextmanager
async def running(tmp_path: Path, **settings: Any) -> AsyncIterator[DemoPoolServer]:
    settings = {"port": 0, "fixed_difficulty": EASY, "network_difficulty": NO_BLOCKS} | settings
    async with DemoPoolServer(DemoPoolOptions(data=tmp_path, **settings)) as server:
        yield server


def logged(tmp_path: Path) -> list[list[str]]:
    return [line.split("\t") for line in (tmp_path / "accepted.log").read_text().splitlines()]


def code(answer: dict[str, Any]) -> int:
    assert answer["result"] is None
    number, text, nothing = answer["error"]
    assert isinstance(text, str)
    assert nothing is None
    return int(number)


@pytest.mark.parametrize("branches", [0, 4, 12])
async def test_a_share_is_accepted_and_logged_before_the_answer(tmp_path: Path, branches: int) -> None:
    async with running(tmp_path, merkle_branches=branches) as server:
        miner = await WireMiner.ready(server.port)
        job = miner.jobs[0]
        assert miner.order[:3] == ["answer", "mining.set_difficulty", "mining.notify"]
        assert (miner.extranonce2_size, len(miner.extranonce1), len(job.params[4])) == (8, 8, branches)
        assert job.difficulty == EASY
        share = miner.find(job, job.share_target)
        before = time.time()
        answer = await miner.submit(job, share)
        assert (answer["result"], answer["error"]) == (True, None)
        (line,) = logged(tmp_path)
        assert line[:3] == [share.hash, "wallet.rig", repr(EASY)]
        assert before - 0.01 <= float(line[3]) <= time.time() + 0.01
        await miner.close()


async def test_every_reason_to_refuse_has_its_code(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        stranger = await WireMiner.connect(server.port)
        assert code(await stranger.call("mining.submit", ["w", "1", "00", "00000000", "00000000"])) == 25
        await stranger.close()

        miner = await WireMiner.ready(server.port)
        job = miner.jobs[0]
        share = miner.find(job, job.share_target)
        late = f"{int(job.params[7], 16) + 3 * 3600:08x}"
        early = f"{int(job.params[7], 16) - 1:08x}"
        assert code(await miner.submit(job, share, worker="somebody.else")) == 24
        assert code(await miner.submit(job, share, ntime=late)) == 20
        assert code(await miner.submit(job, share, ntime=early)) == 20
        assert code(await miner.submit(job, share, bits="00002000")) == 20
        assert code(await miner.submit(job, replace(share, extranonce2="00"))) == 20
        assert code(await miner.submit(job, replace(share, nonce="xyz"))) == 20
        assert code(await miner.call("mining.submit", ["wallet.rig"])) == 20
        assert code(await miner.call("mining.dance", [])) == 20
        assert code(await miner.submit(WireJob(["ffff", *job.params[1:]], EASY), share)) == 21
        assert code(await miner.submit(job, miner.find(job, 2 * job.share_target, above=job.share_target))) == 23
        assert logged(tmp_path) == []
        assert (await miner.submit(job, share))["result"] is True
        assert code(await miner.submit(job, share)) == 22
        assert len(logged(tmp_path)) == 1
        await miner.close()


async def test_a_duplicate_is_one_on_any_connection(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        miner = await WireMiner.ready(server.port)
        job = miner.jobs[0]
        share = miner.find(job, job.share_target)
        assert (await miner.submit(job, share))["result"] is True
        await miner.close()
        again = await WireMiner.ready(server.port, session=miner.session)
        assert (again.session, again.extranonce1) == (miner.session, miner.extranonce1)
        assert code(await again.submit(job, share)) == 22
        other = again.find(job, job.share_target)
        while other == share:
            other = again.find(job, job.share_target)
        assert (await again.submit(job, other))["result"] is True, "jobs from before the reconnect are still good"
        assert again.jobs[0].job_id != job.job_id, "the job sent anew has another id and ntime"
        assert int(again.jobs[0].params[7], 16) > int(job.params[7], 16)
        await again.close()


async def test_a_block_moves_the_chain_and_makes_old_work_stale(tmp_path: Path) -> None:
    async with running(tmp_path, network_difficulty=16 * EASY) as server:
        miner = await WireMiner.ready(server.port)
        watcher = await WireMiner.ready(server.port)
        job = miner.jobs[0]
        stale = miner.find(job, job.share_target, above=job.network_target)
        block = miner.find(job, job.network_target)
        assert (await miner.submit(job, block))["result"] is True
        assert miner.order[-1] == "answer", "the answer comes before the news"
        new = await miner.wait_for_jobs(2)
        assert new.params[8] is True
        # prevhash as the wire has it: words of the internal order, each reversed
        internal = bytes.fromhex(block.hash)[::-1]
        assert new.params[1] == b"".join(internal[i : i + 4][::-1] for i in range(0, 32, 4)).hex()
        assert (await watcher.wait_for_jobs(2)).params == new.params
        assert server.pool.height == FIRST_HEIGHT
        assert code(await miner.submit(job, stale)) == 21
        await miner.close()
        await watcher.close()
    async with running(tmp_path) as server:
        assert server.pool.height == FIRST_HEIGHT


async def test_rolled_versions(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        miner = await WireMiner.connect(server.port)
        asked: dict[str, Any] = {"version-rolling.mask": "0fff8000", "minimum-difficulty.value": 2}
        extensions = ["version-rolling", "minimum-difficulty", "subscribe-extranonce", "telepathy"]
        assert (await miner.call("mining.configure", [extensions, asked]))["result"] == {
            "version-rolling": True,
            "version-rolling.mask": "0fff8000",
            "minimum-difficulty": True,
            "subscribe-extranonce": True,
            "telepathy": False,
        }
        await miner.subscribe()
        await miner.call("mining.authorize", ["wallet.rig"])
        job = await miner.wait_for_jobs(1)
        version = int(job.params[5], 16) | 0x0A008000
        share = miner.find(job, job.share_target, version=version)
        assert code(await miner.submit(job, share)) == 23, "without the bits it is another header"
        assert code(await miner.submit(job, share, bits="0a00a000")) == 20
        assert (await miner.submit(job, share, bits="0A008000"))["result"] is True
        assert logged(tmp_path)[0][0] == share.hash
        await miner.close()


async def test_a_pool_without_version_rolling_says_so(tmp_path: Path) -> None:
    async with running(tmp_path, version_mask=0) as server:
        miner = await WireMiner.connect(server.port)
        answer = await miner.call("mining.configure", [["version-rolling"], {"version-rolling.mask": "1fffe000"}])
        assert answer["result"] == {"version-rolling": False}
        await miner.close()


async def test_the_job_is_refreshed(tmp_path: Path) -> None:
    async with running(tmp_path, refresh_seconds=0.0) as server:
        miner = await WireMiner.ready(server.port)
        server.pool.tick()
        job = await miner.wait_for_jobs(2)
        assert job.params[8] is False
        assert job.params[1] == miner.jobs[0].params[1]
        first = miner.jobs[0]
        assert (await miner.submit(first, miner.find(first, first.share_target)))["result"] is True
        await miner.close()


async def test_vardiff_reaches_the_miner_with_a_job_of_its_own(tmp_path: Path) -> None:
    async with running(tmp_path, fixed_difficulty=None, start_difficulty=EASY, network_difficulty=2.0**-10) as server:
        miner = await WireMiner.ready(server.port)
        deadline = time.monotonic() + 45
        while miner.difficulty == EASY and time.monotonic() < deadline:
            job = miner.jobs[-1]
            assert (await miner.submit(job, miner.find(job, job.share_target, above=job.network_target)))[
                "result"
            ] is True
        assert EASY < miner.difficulty <= 2.0**-14
        await miner.wait_for_jobs(2)
        job = miner.jobs[-1]
        assert job.difficulty == miner.difficulty
        assert job.params[:1] != miner.jobs[0].params[:1]
        assert (await miner.submit(job, miner.find(job, job.share_target, above=job.network_target)))["result"] is True
        assert code(await miner.submit(job, miner.find(job, 4 * job.share_target, above=job.share_target))) == 23
        await miner.close()


async def test_extranonce_and_difficulty_change_from_the_next_job_on(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        told, stays = await WireMiner.ready(server.port), await WireMiner.ready(server.port)
        assert (await told.call("mining.extranonce.subscribe", []))["result"] is True
        before = {miner: miner.extranonce1 for miner in (told, stays)}
        late = [told.find(told.jobs[0], told.jobs[0].share_target) for _ in range(2)]
        server.pool.change_extranonces()
        server.pool.change_difficulty(EASY / 2)
        for miner in (told, stays):
            await miner.wait_for_jobs(3)
            assert [job.difficulty for job in miner.jobs] == [EASY, EASY, EASY / 2]
            for job in miner.jobs[1:]:
                assert (await miner.submit(job, miner.find(job, job.share_target)))["result"] is True
        assert told.extranonce1 not in before.values()
        assert stays.extranonce1 == before[stays], "it has not asked to be told"
        assert (await told.submit(told.jobs[0], late[0]))["result"] is True, "the job before was elsewhere"
        again = await WireMiner.ready(server.port, session=told.session)
        assert again.extranonce1 != told.extranonce1, "the session is in use"
        for miner in (told, stays, again):
            await miner.close()


async def test_suggested_difficulties(tmp_path: Path) -> None:
    async with running(tmp_path, fixed_difficulty=None, network_difficulty=2.0**-10) as server:
        miner = await WireMiner.ready(server.port)
        assert (await miner.call("mining.suggest_difficulty", [2.0**-15 * 1.5]))["result"] is True
        await miner.wait_for_jobs(2)
        assert miner.difficulty == 2.0**-15
        assert (await miner.call("mining.suggest_target", ["00000fff" + "f" * 56]))["result"] is True
        await miner.wait_for_jobs(3)
        assert miner.difficulty == 2.0**-14, "at most a sixteenth of the network's"
        assert code(await miner.call("mining.suggest_difficulty", ["much"])) == 20
        await miner.close()


async def test_the_network_difficulty_follows_the_rate_and_keeps_its_distance(tmp_path: Path) -> None:
    async with running(tmp_path, fixed_difficulty=None, network_difficulty=None, refresh_seconds=0.0) as server:
        miner = await WireMiner.ready(server.port)
        assert server.pool.network_difficulty == pytest.approx(16 * 2.0**-20, rel=1e-3)
        shares = 0
        while shares < 20:
            job = miner.jobs[-1]
            shares += (await miner.submit(job, miner.find(job, job.share_target)))["result"] is True
        server.pool.tick()
        hashes = server.pool.network_difficulty * 2**32
        assert hashes > 16 * 2.0**-20 * 2**32
        assert server.pool.hardest_share >= miner.difficulty
        await miner.close()


async def test_what_firmware_asks_besides(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        miner = await WireMiner.connect(server.port)
        assert (await miner.call("mining.authorize", ["wallet.rig", "x"]))["result"] is True
        assert (await miner.call("mining.extranonce.subscribe", []))["result"] is True
        assert (await miner.call("mining.get_transactions", ["1"]))["result"] == []
        assert (await miner.call("mining.ping", []))["result"] == "pong"
        await miner.subscribe()
        first = (miner.session, miner.extranonce1)
        await miner.subscribe()
        assert (miner.session, miner.extranonce1) == first
        assert code(await miner.call("mining.authorize", ["bad\nname"])) == 20
        for number in range(31):
            assert (await miner.call("mining.authorize", [f"w{number}"]))["result"] is True
        assert code(await miner.call("mining.authorize", ["one too many"])) == 24
        await miner.close()


async def test_ids_of_any_kind_are_echoed(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        miner = await WireMiner.connect(server.port)
        for request_id in (None, "text", 1.5, [1], -3):
            await miner.send(json.dumps({"id": request_id, "method": "mining.ping", "params": []}).encode() + b"\n")
            answer = await miner.read()
            assert answer is not None
            assert answer["id"] == request_id
        await miner.close()


@pytest.mark.parametrize("junk", [b"GET / HTTP/1.1\r\n\r\n", b"[]\n", b"x" * 20_000, b"\xff\xfe\n"])
async def test_junk_ends_that_connection_alone(tmp_path: Path, junk: bytes) -> None:
    async with running(tmp_path) as server:
        miner = await WireMiner.ready(server.port)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(junk)
        assert await reader.read() == b""
        writer.close()
        assert (await miner.call("mining.ping", []))["result"] == "pong"
        await miner.close()


async def test_more_connections_than_allowed_are_closed(tmp_path: Path) -> None:
    async with running(tmp_path, max_connections=2) as server:
        miners = [await WireMiner.ready(server.port) for _ in range(2)]
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        assert await reader.read() == b""
        writer.close()
        await miners.pop().close()
        await asyncio.sleep(0.05)  # the pool sees the close
        miners.append(await WireMiner.ready(server.port))
        for miner in miners:
            await miner.close()


async def test_hundreds_of_miners_get_each_job_and_an_extranonce_of_their_own(tmp_path: Path) -> None:
    async with running(tmp_path, network_difficulty=16 * EASY) as server:
        miners = await asyncio.gather(*(WireMiner.ready(server.port) for _ in range(300)))
        assert len({miner.extranonce1 for miner in miners}) == 300
        job = miners[0].jobs[0]
        assert (await miners[0].submit(job, miners[0].find(job, job.network_target)))["result"] is True
        jobs = await asyncio.gather(*(miner.wait_for_jobs(2) for miner in miners))
        assert len({job.job_id for job in jobs}) == 1
        await asyncio.gather(*(miner.close() for miner in miners))


async def test_a_share_that_cannot_be_logged_is_not_accepted(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        miner = await WireMiner.ready(server.port)
        job = miner.jobs[0]
        server.pool._accepted.close()
        answer = await miner.submit(job, miner.find(job, job.share_target))
        assert code(answer) == 20
        assert "could not record" in answer["error"][1]
        server.pool._accepted = DemoPool(DemoPoolOptions(data=tmp_path / "other"))._accepted
        await miner.close()


async def test_a_port_in_use_is_an_error_and_harms_nobody(tmp_path: Path) -> None:
    async with running(tmp_path / "one") as server:
        with pytest.raises(OSError, match="in use"):
            async with running(tmp_path / "two", port=server.port):
                pass
        miner = await WireMiner.ready(server.port)
        await miner.close()


@pytest.mark.parametrize("settings", [{"merkle_branches": 13}, {"extranonce2_size": 0}, {"extranonce2_size": 17}])
def test_impossible_options(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="between"):
        DemoPoolOptions(data=tmp_path, **settings)


def test_found_shares_are_what_they_claim() -> None:
    """The oracle itself, on Bitcoin's first block: its coinbase, without branch, gives its header and hash."""
    coinbase = (
        "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff4d04ffff001d0104455468652054"
        "696d65732030332f4a616e2f32303039204368616e63656c6c6f72206f6e206272696e6b206f66207365636f6e64206261696c6f757420"
        "666f722062616e6b73ffffffff0100f2052a01000000434104678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61"
        "deb649f6bc3f4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5fac00000000"
    )
    extranonce = coinbase[100:124]
    job = WireJob(
        ["1", "0" * 64, coinbase[:100], coinbase[124:], [], "00000001", "1d00ffff", "495fab29", True], difficulty=1.0
    )
    header = job.header(extranonce, 2083236893)
    assert sha256d(header)[::-1].hex() == "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"
    assert job.network_target == job.share_target == 0xFFFF << 208
