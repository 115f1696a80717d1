"""mining.subscribe, authorize, configure and the small methods, in the orders that firmware uses."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from services.proxy.options import Limits
from services.tests.proxy.conftest import miner_port
from services.tests.proxy.scripted_pool import Script, ScriptedPool
from services.tests.proxy.talking_miner import TalkingMiner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.proxy.server import Proxy
    from services.tests.proxy.conftest import Started


@pytest.fixture
async def proxy(started: Started, pool: ScriptedPool) -> AsyncIterator[Proxy]:
    async with started(pool.port) as running:
        yield running


@pytest.fixture
async def miner(proxy: Proxy) -> AsyncIterator[TalkingMiner]:
    async with TalkingMiner(miner_port(proxy)) as talking:
        yield talking


async def test_subscribe_shows_two_bytes_and_leaves_four(miner: TalkingMiner) -> None:
    answer = await miner.subscribe()

    subscriptions, extranonce1, size = answer["result"]
    assert {method for method, _ in subscriptions} == {"mining.set_difficulty", "mining.notify"}
    assert len({name for _, name in subscriptions}) == 2
    assert (len(bytes.fromhex(extranonce1)), size) == (2, 4)


async def test_the_job_comes_after_the_subscribe_answer_and_after_its_difficulty(miner: TalkingMiner) -> None:
    miner.send("mining.subscribe", [])
    kinds = [(await miner.read()).get("method") for _ in range(3)]

    assert kinds == [None, "mining.set_difficulty", "mining.notify"]


async def test_two_miners_see_different_extranonces(proxy: Proxy) -> None:
    async with TalkingMiner(miner_port(proxy)) as one, TalkingMiner(miner_port(proxy)) as other:
        await one.subscribe()
        await other.subscribe()

    assert one.extranonce1 != other.extranonce1


async def test_subscribing_twice_gives_the_same_answer_and_a_job_again(miner: TalkingMiner) -> None:
    first = await miner.ask("mining.subscribe", [])
    before = await miner.job()
    second = await miner.ask("mining.subscribe", ["agent", "session", "host", 3333])
    after = await miner.job()

    assert second["result"] == first["result"]
    assert after.job_id != before.job_id
    assert after.ntime > before.ntime


async def test_authorize_before_subscribe(miner: TalkingMiner) -> None:
    assert (await miner.ask("mining.authorize", ["wallet.rig", "x"]))["result"] is True
    await miner.subscribe()
    job = await miner.job()

    assert (await miner.submit(job))["result"] is True


async def test_authorize_without_a_password(miner: TalkingMiner) -> None:
    await miner.subscribe()

    assert (await miner.ask("mining.authorize", ["wallet.rig"]))["result"] is True


@pytest.mark.parametrize("params", [[], None, [""], ["x" * 129], ["new\nline"], [7]])
async def test_a_name_that_is_none_is_refused(miner: TalkingMiner, params: Any) -> None:
    assert (await miner.ask("mining.authorize", params))["error"][0] == 20


async def test_several_workers_on_one_connection(miner: TalkingMiner) -> None:
    job = await miner.start("wallet.one")
    assert (await miner.ask("mining.authorize", ["wallet.two", ""]))["result"] is True

    assert (await miner.submit(job, worker="wallet.one"))["result"] is True
    assert (await miner.submit(job, worker="wallet.two", start=9))["result"] is True


async def test_no_more_workers_than_the_limit(miner: TalkingMiner) -> None:
    for number in range(Limits().workers):
        assert (await miner.ask("mining.authorize", [f"wallet.{number}"]))["result"] is True

    assert (await miner.ask("mining.authorize", ["wallet.one-too-many"]))["error"][0] == 24
    assert (await miner.ask("mining.authorize", ["wallet.0"]))["result"] is True


async def test_all_at_once_is_answered_in_the_order_of_asking(miner: TalkingMiner) -> None:
    ids = [
        miner.send("mining.subscribe", ["ua"]),
        miner.send("mining.configure", [["version-rolling"], {}]),
        miner.send("mining.suggest_difficulty", [64]),
        miner.send("mining.authorize", ["wallet.rig", "x"]),
        miner.send("mining.extranonce.subscribe", []),
    ]
    answers: list[Any] = []
    while len(answers) < len(ids):
        message = await miner.read()
        answers += [message["id"]] if "method" not in message else []

    assert answers == ids


@pytest.mark.parametrize("request_id", ["a string", 0, -7, 4.5, ["odd"], {"odd": None}, "", True])
async def test_ids_come_back_as_they_went(miner: TalkingMiner, request_id: Any) -> None:
    assert (await miner.ask("mining.ping", [], request_id))["result"] == "pong"


async def test_a_null_id_is_answered_with_null(miner: TalkingMiner) -> None:
    miner.write(b'{"id":null,"method":"mining.ping","params":[]}\n')

    assert await miner.read() == {"id": None, "result": "pong", "error": None}


async def test_configure_gives_the_pools_mask_never_a_wider_one(miner: TalkingMiner, pool: ScriptedPool) -> None:
    answer = await miner.ask("mining.configure", [["version-rolling"], {"version-rolling.mask": "ffffffff"}])
    narrow = await miner.ask("mining.configure", [["version-rolling"], {"version-rolling.mask": "00006000"}])

    assert answer["result"] == {"version-rolling": True, "version-rolling.mask": "1fffe000"}
    assert narrow["result"] == {"version-rolling": True, "version-rolling.mask": "00006000"}


async def test_configure_answers_every_extension(miner: TalkingMiner) -> None:
    extensions = ["version-rolling", "minimum-difficulty", "subscribe-extranonce", "made-up"]
    answer = await miner.ask("mining.configure", [extensions, {"minimum-difficulty.value": 512}])

    assert answer["result"] == {
        "version-rolling": True,
        "version-rolling.mask": "1fffe000",
        "minimum-difficulty": True,
        "subscribe-extranonce": True,
        "made-up": False,
    }
    await miner.subscribe()
    assert await miner.told("mining.set_difficulty") == [512]


async def test_version_rolling_is_refused_where_the_pool_refuses_it(started: Started) -> None:
    async with ScriptedPool(Script(mask=None)) as pool, started(pool.port) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            answer = await miner.ask("mining.configure", [["version-rolling"], {}])

    assert answer["result"] == {"version-rolling": False}


async def test_a_changed_mask_reaches_the_miner_after_authorize(miner: TalkingMiner, pool: ScriptedPool) -> None:
    await miner.ask("mining.configure", [["version-rolling"], {"version-rolling.mask": "0000ffff"}])
    await miner.subscribe()
    upstream = await pool.connection()
    upstream.call("mining.set_version_mask", ["00fffc00"])
    await upstream.settled()
    await miner.ask("mining.ping", [])
    assert not [message for message in miner.log if message.get("method") == "mining.set_version_mask"]

    await miner.ask("mining.authorize", ["wallet.rig"])
    assert await miner.told("mining.set_version_mask") == ["0000fc00"]

    upstream.call("mining.set_version_mask", ["1fffe000"])
    assert await miner.told("mining.set_version_mask") == ["0000e000"]


async def test_a_miner_that_never_configured_hears_of_no_mask(miner: TalkingMiner, pool: ScriptedPool) -> None:
    await miner.start()
    upstream = await pool.connection()
    upstream.call("mining.set_version_mask", ["00fffc00"])
    await upstream.settled()
    await miner.ask("mining.ping", [])

    assert not [message for message in miner.log if message.get("method") == "mining.set_version_mask"]


@pytest.mark.parametrize(
    ("method", "params", "result"),
    [
        ("mining.ping", [], "pong"),
        ("mining.get_transactions", ["job"], []),
        ("mining.multi_version", [4], True),
        ("mining.extranonce.subscribe", [], True),
        ("mining.suggest_difficulty", [1024], True),
        ("mining.suggest_difficulty", 0.5, True),
        ("mining.suggest_difficulty(123", None, True),
        ("mining.suggest_target", ["00" * 4 + "ff" * 28], True),
    ],
)
async def test_small_methods_are_answered(miner: TalkingMiner, method: str, params: Any, result: Any) -> None:
    assert (await miner.ask(method, params))["result"] == result


async def test_an_unknown_method_gets_an_error(miner: TalkingMiner) -> None:
    answer = await miner.ask("mining.make_coffee", [])

    assert answer["result"] is None
    assert answer["error"][0] == 20
    assert (await miner.ask("mining.ping", []))["result"] == "pong"


async def test_a_suggested_difficulty_is_passed_on_once_and_the_pool_decides(
    miner: TalkingMiner, pool: ScriptedPool
) -> None:
    await miner.ask("mining.suggest_difficulty", [256])
    await miner.start()
    upstream = await pool.connection()
    assert await upstream.called("mining.suggest_difficulty") == [[256.0]]

    await miner.ask("mining.suggest_difficulty", [256])
    await miner.ask("mining.suggest_target", ["00" * 3 + "7fff80" + "00" * 26])
    suggested = await upstream.called("mining.suggest_difficulty", 2)

    assert suggested[1][0] == pytest.approx(1 / 128)
    assert len(upstream.params("mining.suggest_difficulty")) == 2

    # The next connection to a pool hears it too.
    upstream.drop()
    assert await (await pool.connection(1)).called("mining.suggest_difficulty") == [suggested[1]]


async def test_each_workers_name_goes_up_where_the_pools_user_wants_it(started: Started, pool: ScriptedPool) -> None:
    async with started(pool.port, user="wallet.{worker}") as proxy, TalkingMiner(miner_port(proxy)) as miner:
        job = await miner.start("mine.rig.7")
        await miner.ask("mining.authorize", ["plain"])
        await miner.submit(job, worker="mine.rig.7")
        await miner.submit(job, worker="plain", start=9)
        upstream = await pool.connection()

    assert upstream.params("mining.authorize") == [["wallet.7", "pool-password"], ["wallet.plain", "pool-password"]]
    assert [params[0] for params in upstream.params("mining.submit")] == ["wallet.7", "wallet.plain"]
    assert upstream.methods.index("mining.authorize") < upstream.methods.index("mining.submit")


async def test_without_the_field_every_share_goes_up_under_the_pools_user(
    miner: TalkingMiner, pool: ScriptedPool
) -> None:
    job = await miner.start()
    await miner.submit(job)
    upstream = await pool.connection()

    assert upstream.params("mining.authorize") == [["pool-wallet", "pool-password"]]
    assert upstream.params("mining.submit")[0][0] == "pool-wallet"


@pytest.mark.parametrize("hello", [b"", b"\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\n"])
async def test_the_pool_is_not_dialled_for_what_is_not_stratum(proxy: Proxy, pool: ScriptedPool, hello: bytes) -> None:
    async with TalkingMiner(miner_port(proxy)) as stranger:
        stranger.write(hello)
        await asyncio.sleep(0.15)

    assert pool.connections == []


async def test_a_web_browser_is_told_why_and_sent_away(miner: TalkingMiner) -> None:
    miner.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

    answer = await miner.reader.read()
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert answer.endswith(b"\r\n\r\nThis port speaks Stratum, not HTTP.\n")


@pytest.mark.parametrize("script", [Script(ignored=frozenset({"mining.configure"})), Script(refuses_agent=True)])
async def test_odd_pools_serve_miners_all_the_same(started: Started, script: Script) -> None:
    async with ScriptedPool(script) as pool, started(pool.port) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            job = await miner.start()
            assert (await miner.submit(job))["result"] is True
