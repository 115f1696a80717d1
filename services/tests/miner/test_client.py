from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from async_merge_miner import AsyncStratumClient
from services.miner import PoolRefusedError
from services.tests.miner.scripted_pool import COINBASE1, COINBASE2, ScriptedPool, notify, set_difficulty

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def client_of(pool: ScriptedPool) -> AsyncStratumClient:
    return AsyncStratumClient("127.0.0.1", pool.port, "wallet.rig", "secret")


@asynccontextmanager
async def receiving(pool: ScriptedPool) -> AsyncIterator[AsyncStratumClient]:
    client = client_of(pool)
    task = asyncio.create_task(client.receive_jobs())
    try:
        yield client
    finally:
        await client.close()
        await asyncio.wait_for(task, 30)


async def test_handshake_and_first_job(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with ScriptedPool() as pool:
        pool.after_subscribe = [set_difficulty(0.5), notify("j1")]
        client = client_of(pool)
        assert (client.host, client.port, client.username, client.password) == (
            "127.0.0.1",
            pool.port,
            "wallet.rig",
            "secret",
        )
        assert client.job_data is None
        await client.connect()
        job = await client.job_after(None)
        assert job is not None
        assert (job.difficulty, job.height, job.extranonce1.hex(), job.extranonce2_size) == (
            0.5,
            900_000,
            "0a0b0c0d",
            4,
        )
        assert client.job_data == {
            "job_id": "j1",
            "prevhash": "ab" * 32,
            "coinbase1": COINBASE1,
            "coinbase2": COINBASE2,
            "merkle_branch": ["cd" * 32],
            "version": "20000000",
            "bits": "1e00ffff",
            "time": "65000000",
            "block_height": 900_000,
        }
        assert [request["method"] for request in pool.requests[:3]] == [
            "mining.configure",
            "mining.subscribe",
            "mining.authorize",
        ]
        assert pool.asked("authorize") == [["wallet.rig", "secret"]]
        await client.close()
    lines = [record.getMessage() for record in caplog.records]
    assert f"Connecting to Stratum pool at 127.0.0.1:{pool.port}..." in lines
    assert "Connected to Stratum pool." in lines
    assert any(line.startswith("New Stratum job received: j1") for line in lines)
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        ({"authorize": Exception([24, "Unauthorized worker", None])}, "refused the worker wallet.rig: .24. Unauthor"),
        ({"authorize": False}, "refused the worker wallet.rig"),
        ({"subscribe": Exception([20, "go away", None])}, "refused to subscribe us: .20. go away"),
        ({"subscribe": "nonsense"}, "refused to subscribe us"),
    ],
)
async def test_a_refusal_is_one_clear_sentence(answers: dict[str, Any], sentence: str) -> None:
    async with ScriptedPool(**answers) as pool:
        with pytest.raises(PoolRefusedError, match=f"Cannot mine on 127.0.0.1:{pool.port}: .*{sentence}"):
            await client_of(pool).connect()


async def test_a_pool_that_hangs_up_or_is_not_there() -> None:
    async with ScriptedPool(subscribe=None) as pool:
        client = client_of(pool)
        connecting = asyncio.create_task(client.connect())
        await pool.wait_for("subscribe")
        pool.cut()
        with pytest.raises(ConnectionError, match="closed the connection during the handshake"):
            await connecting
    with pytest.raises(ConnectionError, match=f"Cannot mine on 127.0.0.1:{pool.port}: .*[Rr]efused|failed"):
        await client_of(pool).connect()
    for host in ("no-such-host.invalid", "x" * 300, "."):
        with pytest.raises(ConnectionError, match="Cannot mine on"):
            await AsyncStratumClient(host, 3333, "w", "x").connect()


async def test_a_pool_without_configure_gets_no_version_bits() -> None:
    async with ScriptedPool(configure=Exception([20, "Not supported.", None])) as pool:
        pool.after_subscribe = [notify("j1")]
        async with receiving(pool) as client:
            await client.job_after(None)
            assert await client.submit_share("j1", 7)
            assert pool.asked("submit") == [["wallet.rig", "j1", "00000000", "65000000", "00000007"]]


async def test_what_is_not_given_is_what_was_mined_last() -> None:
    async with ScriptedPool() as pool:
        pool.after_subscribe = [notify("j1")]
        async with receiving(pool) as client:
            job = await client.job_after(None)
            assert job is not None
            work = client.next_work(job)
            assert await client.submit_share("j1", 0xDEADBEEF)
            ours = work.extranonce2.hex()
            assert pool.asked("submit")[-1] == ["wallet.rig", "j1", ours, "65000000", "deadbeef", "00000000"]
            assert await client.submit_share("j1", 1, extranonce2=b"\1\2\3\4", ntime=0x65000001, version_bits=0x2000)
            assert pool.asked("submit")[-1] == ["wallet.rig", "j1", "01020304", "65000001", "00000001", "00002000"]
            with pytest.raises(ValueError, match="no job 'j2'"):
                await client.submit_share("j2", 1)


async def test_verdicts_are_counted() -> None:
    async with ScriptedPool() as pool:
        pool.after_subscribe = [notify("j1")]
        async with receiving(pool) as client:
            await client.job_after(None)
            assert await client.submit_share("j1", 1)
            for error in ([21, "Stale", None], [22, "Duplicate", None], [23, "Low", None]):
                pool.answers["submit"] = Exception(error)
                assert not await client.submit_share("j1", 2)
            shares = client.shares
            assert (shares.accepted, shares.rejected, shares.stale, shares.lost) == (1, 3, 1, 0)


async def test_extranonce2_never_starts_over() -> None:
    async with ScriptedPool() as pool:
        pool.after_subscribe = [notify("j1")]
        async with receiving(pool) as client:
            seen = set()
            for round_number in range(3):
                job = await client.job_after(None)
                assert job is not None
                seen |= {client.next_work(job).extranonce2 for _ in range(5)}
                assert len(seen) == 5 * (round_number + 1)
                pool.cut()
                await pool.wait_for("authorize", round_number + 2)


async def test_extranonce_and_difficulty_hold_from_the_next_job_on() -> None:
    async with ScriptedPool() as pool:
        pool.after_subscribe = [set_difficulty(2), notify("j1")]
        async with receiving(pool) as client:
            first = await client.job_after(None)
            await pool.wait_for("extranonce.subscribe")
            change = {"id": None, "method": "mining.set_extranonce", "params": ["ffff", 6]}
            pool.say(set_difficulty(0.25), change)
            await pool.settled()
            assert client.job is first
            pool.say(notify("j2"))
            await pool.settled()
            assert client.job is not None
            assert (client.job.extranonce1.hex(), client.job.extranonce2_size, client.job.difficulty) == (
                "ffff",
                6,
                0.25,
            )


@pytest.mark.parametrize("junk", [b"nonsense\n", b"{}\n", b'{"id":null,"method":"mining.notify","params":[1]}\n'])
async def test_senseless_lines_are_survived(junk: bytes) -> None:
    async with ScriptedPool() as pool:
        pool.after_subscribe = [notify("j0", nbits="00000000")]
        async with receiving(pool) as client:
            await pool.wait_for("extranonce.subscribe")
            pool.say(junk, notify("j1"))
            job = await client.job_after(None)
            assert job is not None
            assert job.job.job_id == "j1"


async def test_what_speaks_no_stratum_is_said_to(caplog: pytest.LogCaptureFixture) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n<html>\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(PoolRefusedError, match=f"Cannot mine on 127.0.0.1:{port}: .*does not speak Stratum"):
            await AsyncStratumClient("127.0.0.1", port, "wallet.rig", "x").connect()
    assert "ignored" not in caplog.text


async def test_a_pool_that_talks_nonsense_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with ScriptedPool() as pool:
        async with receiving(pool) as client:
            await pool.wait_for("extranonce.subscribe")
            pool.say(*[b"nonsense\n"] * 500, notify("j1"))
            assert await client.job_after(None) is not None
    complaints = [text for text in caplog.messages if text.startswith("Message from the pool ignored")]
    assert len(complaints) == 5
    assert "More of the kind" in caplog.text


async def test_reconnects_until_the_pool_is_back() -> None:
    async with ScriptedPool() as pool:
        pool.after_subscribe = [notify("j1")]
        async with receiving(pool) as client:
            assert await client.job_after(None)
            pool.answers["authorize"] = False
            pool.cut()
            await pool.wait_for("authorize", 2)
            assert not client.connected
            pool.answers["authorize"] = True
            assert await client.job_after(None)
            assert client.connected
            assert pool.asked("subscribe")[1] == ["sharehouse-miner/0.1", "s1"], "it asks for its session"


async def test_a_share_in_flight_is_lost_with_its_session() -> None:
    async with ScriptedPool() as pool:
        pool.after_subscribe = [notify("j1")]
        async with receiving(pool) as client:
            await client.job_after(None)
            pool.answers["submit"] = None
            pool.answers["subscribe"] = [[["mining.notify", "s2"]], "0a0b0c0d", 4]
            share = asyncio.create_task(client.submit_share("j1", 7))
            await pool.wait_for("submit")
            pool.cut()
            assert await share is False
            assert (client.shares.lost, client.shares.accepted, client.shares.rejected) == (1, 0, 0)
            assert len(pool.asked("submit")) == 1


async def test_a_share_in_flight_is_sent_again_where_the_session_goes_on() -> None:
    async with ScriptedPool() as pool:
        pool.after_subscribe = [notify("j1")]
        async with receiving(pool) as client:
            await client.job_after(None)
            pool.answers["submit"] = None
            shares = [asyncio.create_task(client.submit_share("j1", nonce)) for nonce in (7, 8)]
            await pool.wait_for("submit", 2)
            pool.answers["submit"] = Exception([22, "Duplicate share", None])
            pool.cut()
            assert await asyncio.gather(*shares) == [True, True], "the pool had counted them"
            first, second, *again = pool.asked("submit")
            assert again == [first, second]
            assert (client.shares.accepted, client.shares.rejected, client.shares.lost) == (2, 0, 0)


async def test_reconnecting_elsewhere_is_refused() -> None:
    async with ScriptedPool() as pool, ScriptedPool() as other:
        pool.after_subscribe = [notify("j1")]
        other.after_subscribe = [notify("j2")]
        async with receiving(pool) as client:
            await client.job_after(None)
            pool.say(
                {"id": None, "method": "client.reconnect", "params": ["evil.example", other.port, 0]}, notify("j3")
            )
            await pool.settled()
            assert client.job is not None
            assert client.job.job.job_id == "j3"
            assert pool.connections == 1
            pool.say({"id": None, "method": "client.reconnect", "params": ["", other.port, 0]})
            await other.wait_for("authorize")
            assert client.port == other.port
            other.answers["authorize"] = False
            other.cut()
            await pool.wait_for("authorize", 2)
            assert client.port == pool.port, "back where it was told to begin"


async def test_closing_ends_everything_soon() -> None:
    async with ScriptedPool(subscribe=None) as pool:
        client = client_of(pool)
        receiver = asyncio.create_task(client.receive_jobs())
        waiter = asyncio.create_task(client.job_after(None))
        await pool.wait_for("subscribe")
        await client.close()
        await receiver
        assert await waiter is None
        await client.connect()
        assert not client.connected


async def test_a_cancellation_that_comes_with_other_news_is_kept(free_port: int) -> None:
    for steps in range(5):
        client = AsyncStratumClient("127.0.0.1", free_port, "wallet.rig", "secret")
        task = asyncio.create_task(client.receive_jobs())
        await asyncio.sleep(0.05)
        client._wake.set()
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task}, timeout=30)
        assert task.cancelled(), steps
