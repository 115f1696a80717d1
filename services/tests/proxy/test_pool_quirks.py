"""What pools say that the specifications do not."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from services.proxy.patience import Patience
from services.tests.proxy.conftest import miner_port
from services.tests.proxy.scripted_pool import EASIEST, PoolConnection, Script, ScriptedPool, make_job
from services.tests.proxy.talking_miner import TalkingMiner

if TYPE_CHECKING:
    from services.tests.proxy.conftest import Started

QUICK = Patience(optional_seconds=0.1, first_pause_seconds=0.02, longest_pause_seconds=0.1)
SUBSCRIBE = frozenset({"mining.subscribe"})


def id_of(upstream: PoolConnection, method: str) -> Any:
    return [request["id"] for request in upstream.requests if request["method"] == method][-1]


def notification(method: str, params: list[Any]) -> dict[str, Any]:
    return {"id": None, "method": method, "params": params}


@pytest.mark.parametrize(
    "subscriptions",
    [
        [["mining.set_difficulty", "d"], ["mining.notify", "n"]],
        [["mining.notify", "n"], ["mining.set_difficulty", "d"]],
        ["mining.notify", "n"],
        [["mining.notify", 7, "more"]],
        [],
        None,
        "session",
    ],
)
async def test_subscriptions_in_every_shape(started: Started, subscriptions: Any) -> None:
    async with ScriptedPool(Script(ignored=SUBSCRIBE)) as pool, started(pool.port) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            asked = miner.send("mining.subscribe", [])
            upstream = await pool.connection()
            await upstream.called("mining.subscribe")
            upstream.send(
                {"id": id_of(upstream, "mining.subscribe"), "result": [subscriptions, "0a0b", 8], "error": None}
            )
            upstream.set_difficulty(EASIEST)
            upstream.notify(make_job())
            assert (await miner.answer(asked))["error"] is None
            await miner.ask("mining.authorize", ["wallet.rig"])
            assert (await miner.job()).coinbase1.startswith(make_job().coinbase1 + b"\x0a\x0b")


async def test_difficulty_and_job_may_come_before_the_answer_to_subscribe(started: Started) -> None:
    async with ScriptedPool(Script(ignored=SUBSCRIBE)) as pool, started(pool.port) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            miner.send("mining.subscribe", [], "s")
            upstream = await pool.connection()
            await upstream.called("mining.subscribe")
            upstream.set_difficulty(EASIEST)
            upstream.notify(make_job())
            await upstream.settled()
            assert miner.log == []
            upstream.send({"id": id_of(upstream, "mining.subscribe"), "result": [[], "0a0b", 8], "error": None})
            answer = await miner.answer("s")
            miner.extranonce1, miner.extranonce2_size = bytes.fromhex(answer["result"][1]), answer["result"][2]
            await miner.ask("mining.authorize", ["wallet.rig"])
            assert await miner.told("mining.set_difficulty") == [EASIEST]
            assert (await miner.submit(await miner.job()))["result"] is True


@pytest.mark.parametrize(
    "result",
    [
        [[], "0a0b"],
        [[], "0a0b", 0],
        [[], "0a0b", 17],
        [[], "xyz", 4],
        [[], None, 4],
        {"a": 1},
        True,
        None,
        "no",
        [[], "0a" * 33, 4],
    ],
)
async def test_an_answer_to_subscribe_that_is_none_is_a_refusal(started: Started, result: Any) -> None:
    async with ScriptedPool(Script(ignored=SUBSCRIBE)) as pool, started(pool.port, patience=QUICK) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            asked = miner.send("mining.subscribe", [])
            upstream = await pool.connection()
            await upstream.called("mining.subscribe")
            pool.script.ignored = frozenset()
            upstream.send({"id": id_of(upstream, "mining.subscribe"), "result": result, "error": None})
            assert (await miner.answer(asked))["error"] is None
        assert len(pool.connections) == 2


@pytest.mark.parametrize("method", ["mining.configure", "mining.extranonce.subscribe", "mining.suggest_difficulty"])
@pytest.mark.parametrize("fate", ["refused", "ignored"])
async def test_a_pool_without_the_newer_methods_serves_miners(started: Started, method: str, fate: str) -> None:
    script = Script(**{fate: frozenset({method})})  # type: ignore[arg-type]
    async with ScriptedPool(script) as pool, started(pool.port, patience=QUICK) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            await miner.ask("mining.suggest_difficulty", [64])
            configured = await miner.ask("mining.configure", [["version-rolling"], {}])
            assert configured["result"]["version-rolling"] is (method != "mining.configure")
            assert (await miner.submit(await miner.start()))["result"] is True
        assert len(pool.connections) == 1


async def test_a_pool_that_never_answers_authorize_serves_miners(started: Started) -> None:
    script = Script(ignored=frozenset({"mining.authorize"}))
    async with ScriptedPool(script) as pool, started(pool.port, patience=QUICK) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            assert (await miner.submit(await miner.start()))["result"] is True


@pytest.mark.parametrize(
    "refusal",
    [
        {"result": False, "error": None},
        {"result": None, "error": None},
        {"result": None, "error": "Invalid wallet"},
        {"result": None, "error": {"code": 24, "message": "no"}},
        {"result": False, "error": ["24", "no"]},
    ],
)
async def test_a_user_is_refused_in_every_shape(
    started: Started, refusal: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    script = Script(ignored=frozenset({"mining.authorize"}))
    async with ScriptedPool(script) as pool, started(pool.port) as proxy, TalkingMiner(miner_port(proxy)) as miner:
        miner.send("mining.subscribe", [], "s")
        upstream = await pool.connection()
        await upstream.called("mining.authorize")
        pool.script.ignored = frozenset()
        upstream.send({"id": id_of(upstream, "mining.authorize"), **refusal})
        # Miners wait until the pool, or the next one, takes the operator's user.
        assert (await miner.answer("s"))["error"] is None
        assert len(pool.connections) == 2
    assert "refused the user pool-wallet" in capsys.readouterr().out


@pytest.mark.parametrize("how", [str, float])
async def test_verdicts_come_back_under_ids_of_another_type(started: Started, how: Any) -> None:
    async with ScriptedPool(Script(submit=lambda _: None)) as pool, started(pool.port) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            asked = miner.send("mining.submit", miner.share(await miner.start()))
            upstream = await pool.connection()
            await upstream.called("mining.submit")
            upstream.send({"id": how(id_of(upstream, "mining.submit")), "result": True, "error": None})
            assert (await miner.answer(asked))["result"] is True


@pytest.mark.parametrize("end", [b"\r\n", b"\n\n"])
async def test_the_pools_lines_end_in_every_way_and_come_in_pieces(started: Started, end: bytes) -> None:
    async with ScriptedPool() as pool, started(pool.port) as proxy, TalkingMiner(miner_port(proxy)) as miner:
        await miner.start()
        upstream = await pool.connection()
        jobs = [make_job(f"job {number}", clean=False) for number in range(3)]
        lines = (json.dumps(notification("mining.notify", job.notify_params())).encode() for job in jobs)
        data = end.join(lines) + end
        for position in range(0, len(data), 100):
            upstream.send(data[position : position + 100])
            await asyncio.sleep(0.001)
        received = [await miner.job() for _ in jobs]
        assert (await miner.submit(received[1]))["result"] is True
        assert upstream.params("mining.submit")[0][1] == "job 1"


@pytest.mark.parametrize("job_id", ["F" * 100, "Ünïcode id", "", 7, "0x1/2"])
async def test_job_ids_are_the_pools_own_affair(started: Started, job_id: Any) -> None:
    async with ScriptedPool() as pool, started(pool.port) as proxy, TalkingMiner(miner_port(proxy)) as miner:
        await miner.start()
        upstream = await pool.connection()
        upstream.send(notification("mining.notify", [job_id, *make_job("", version=0x20000002).notify_params()[1:]]))
        job = await miner.job()
        assert job.job_id not in ("", str(job_id))
        assert len(job.job_id) <= 16
        assert (await miner.submit(job))["result"] is True
        assert upstream.params("mining.submit")[0][1] == str(job_id)


async def test_clean_jobs_is_the_last_parameter_however_many_there_are(started: Started) -> None:
    async with ScriptedPool() as pool, started(pool.port) as proxy, TalkingMiner(miner_port(proxy)) as miner:
        await miner.start()
        params = make_job("more", clean=True).notify_params()
        (await pool.connection()).send(notification("mining.notify", [*params[:-1], "something new", False]))
        assert (await miner.job()).clean_jobs is False


async def test_a_large_coinbase_and_a_deep_merkle_tree(started: Started) -> None:
    large = make_job("large", coinbase2=b"\xff" * 40_000, merkle_branch=(b"\x11" * 32,) * 32)
    async with ScriptedPool(Script(job=large)) as pool, started(pool.port) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            job = await miner.start()
            assert (len(job.coinbase2), len(job.merkle_branch)) == (40_000, 32)
            assert (await miner.submit(job))["result"] is True


@pytest.mark.parametrize(("difficulty", "told"), [("16", 16), (16.0, 16), (931.1, 931.1), ("0.5", 0.5), (2**40, 2**40)])
async def test_difficulty_as_pools_write_it(started: Started, difficulty: Any, told: float) -> None:
    async with ScriptedPool() as pool, started(pool.port) as proxy, TalkingMiner(miner_port(proxy)) as miner:
        await miner.start()
        miner.log.clear()
        (await pool.connection()).call("mining.set_difficulty", [difficulty])
        (value,) = await miner.told("mining.set_difficulty")
        assert (value, type(value)) == (told, type(told))


async def test_a_pool_that_asks_is_answered(started: Started) -> None:
    asked = ["client.get_version", "mining.ping", "client.ping", "client.make_tea"]
    lines: asyncio.Queue[Any] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number, method in enumerate(asked):
            writer.write(json.dumps({"id": f"q{number}", "method": method, "params": []}).encode() + b"\n")
        while line := await reader.readline():
            if "method" not in (message := json.loads(line)):
                lines.put_nowait(message)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, started(server.sockets[0].getsockname()[1]) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            miner.send("mining.subscribe", [])
            async with asyncio.timeout(30):
                answers = [await lines.get() for _ in asked]
    assert [answer["id"] for answer in answers] == ["q0", "q1", "q2", "q3"]
    assert [answer["result"] for answer in answers] == ["sharehouse", "pong", "pong", None]
    assert answers[3]["error"][0] == -3


async def test_what_a_pool_has_to_say_is_for_the_log_and_not_without_end(
    started: Started, capsys: pytest.CaptureFixture[str]
) -> None:
    async with ScriptedPool() as pool, started(pool.port) as proxy, TalkingMiner(miner_port(proxy)) as miner:
        job = await miner.start()
        upstream = await pool.connection()
        upstream.call("client.show_message", ["maintenance at noon"])
        for number in range(50):
            upstream.call("client.show_message", [f"repeated {number}"])
        await upstream.settled()
        assert (await miner.submit(job))["result"] is True
        assert not [message for message in miner.log if message.get("method") == "client.show_message"]
    told = [line for line in capsys.readouterr().out.splitlines() if "pool_message" in line]
    assert "maintenance at noon" in told[0]
    assert len(told) == 20


async def test_a_mask_that_is_set_without_configure_holds_for_who_asked(started: Started) -> None:
    """Some pools refuse configure after all, or never answer it, and set the mask by themselves."""
    script = Script(ignored=frozenset({"mining.configure"}))
    async with ScriptedPool(script) as pool, started(pool.port, patience=QUICK) as proxy:
        async with TalkingMiner(miner_port(proxy)) as first:
            await first.start()
            upstream = await pool.connection()
            upstream.call("mining.set_version_mask", ["1fffe000"])
            await upstream.settled()
            answer = await first.ask("mining.configure", [["version-rolling"], {}])
            assert answer["result"] == {"version-rolling": True, "version-rolling.mask": "1fffe000"}


async def test_a_mask_is_told_after_the_answer_to_configure_and_jobs_after_that_to_subscribe(started: Started) -> None:
    async with ScriptedPool() as pool, started(pool.port) as proxy, TalkingMiner(miner_port(proxy)) as miner:
        await miner.ask("mining.authorize", ["wallet.rig"])
        upstream = await pool.connection()
        miner.send("mining.configure", [["version-rolling"], {}], "c")
        miner.send("mining.subscribe", [], "s")
        assert (await miner.read())["id"] == "c"
        assert (await miner.read())["id"] == "s"
        upstream.call("mining.set_version_mask", ["00ffe000"])
        assert await miner.told("mining.set_version_mask") == ["00ffe000"]
