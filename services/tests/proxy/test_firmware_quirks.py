"""What firmware, rental markets and old miners say that the specifications do not."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from services.tests.proxy.conftest import miner_port
from services.tests.proxy.scripted_pool import EASIEST, Script, ScriptedPool, make_job
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


async def test_a_session_without_ids_gets_jobs_and_verdicts(miner: TalkingMiner, proxy: Proxy) -> None:
    """Where id is null, so is that of every notification: they must not be taken for each other."""

    async def say(method: str, params: Any, **request_id: Any) -> Any:
        miner.write(json.dumps({**request_id, "method": method, "params": params}).encode() + b"\n")
        return await miner.answer(None)

    subscribed = await say("mining.subscribe", [], id=None)
    miner.extranonce1, miner.extranonce2_size = bytes.fromhex(subscribed["result"][1]), subscribed["result"][2]
    assert (await say("mining.authorize", ["wallet.rig"]))["result"] is True
    job = await miner.job()
    assert await say("mining.submit", miner.share(job), id=None) == {"id": None, "result": True, "error": None}
    assert (await say("mining.submit", miner.share(job, start=999)))["result"] is True
    while proxy.spool.recorded_shares < 2:
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("end", [b"\r\n", b"\n\n\n", b" \t\r\n", b"\n"])
async def test_line_ends_of_every_kind_and_messages_in_pieces(miner: TalkingMiner, end: bytes) -> None:
    requests = [("mining.subscribe", []), ("mining.authorize", ["w"]), ("mining.ping", [])]
    lines = [json.dumps({"id": method, "method": method, "params": params}).encode() for method, params in requests]
    data = end.join(lines) + end
    for position in range(0, len(data), 7):
        miner.write(data[position : position + 7])
        await asyncio.sleep(0)
    for method, _ in requests:
        assert (await miner.answer(method))["error"] is None


async def test_single_quoted_json_is_understood(miner: TalkingMiner) -> None:
    miner.write(b"{'id': 7, 'method': 'mining.authorize', 'params': ['wallet.rig', 'x']}\n")

    assert (await miner.answer(7))["result"] is True


@pytest.mark.parametrize(
    "params",
    [None, {}, "agent", [None], [1, 2], ["agent", None], ["agent", {"a": 1}, "host", "3333"], ["\x00\x07", "s" * 500]],
)
async def test_whatever_subscribe_says_of_itself(miner: TalkingMiner, params: Any) -> None:
    result = (await miner.ask("mining.subscribe", params))["result"]

    assert (len(result[1]), result[2]) == (4, 4)


@pytest.mark.parametrize("password", [None, 7, ["x"], {"d": 1}, "x" * 5000, "\u0000;md=;d", ";;,,  ;"])
async def test_whatever_the_password_is(miner: TalkingMiner, password: Any) -> None:
    assert (await miner.ask("mining.authorize", ["wallet.rig", password]))["result"] is True


@pytest.mark.parametrize("name", ["wallet", "a.b.c.d", "user%2Erig", "名前.機械", "wallet.rig one", "x" * 128])
async def test_worker_names_stay_as_they_came(miner: TalkingMiner, name: str) -> None:
    job = await miner.start(name)

    assert (await miner.submit(job, worker=name))["result"] is True


@pytest.mark.parametrize(
    ("params", "mask"),
    [
        ([["version-rolling"]], "1fffe000"),
        ([["version-rolling"], None], "1fffe000"),
        ([["version-rolling"], {"version-rolling.mask": "1FFFE000"}], "1fffe000"),
        ([["version-rolling"], {"version-rolling.mask": "fffe000"}], "0fffe000"),
        ([["version-rolling"], {"version-rolling.mask": "not a mask"}], "1fffe000"),
        ([["version-rolling"], {"version-rolling.mask": 536862720}], "1fffe000"),
        ([["version-rolling"], {"version-rolling.mask": "1fffe000", "version-rolling.min-bit-count": 99}], "1fffe000"),
        ([["version-rolling", 5, "info"], {"info.hw-id": "x"}], "1fffe000"),
    ],
)
async def test_configure_as_firmware_writes_it(miner: TalkingMiner, params: Any, mask: str) -> None:
    result = (await miner.ask("mining.configure", params))["result"]

    assert (result["version-rolling"], result["version-rolling.mask"]) == (True, mask)
    assert result.get("info", True) is True


@pytest.mark.parametrize("params", [None, [], ["version-rolling"], {"version-rolling": True}])
async def test_configure_without_a_list_is_an_error_and_no_end(miner: TalkingMiner, params: Any) -> None:
    assert (await miner.ask("mining.configure", params))["error"][0] == 20
    assert (await miner.submit(await miner.start()))["result"] is True


async def test_a_mask_under_which_no_bit_is_left_is_refused(miner: TalkingMiner) -> None:
    answer = await miner.ask("mining.configure", [["version-rolling"], {"version-rolling.mask": "00000001"}])

    assert answer["result"] == {"version-rolling": False}


async def test_configure_may_come_last_and_holds_for_the_job_that_is_there(miner: TalkingMiner) -> None:
    job = await miner.start()
    assert (await miner.submit(job, bits=0x2000))["error"][0] == 20
    answer = await miner.ask("mining.configure", [["version-rolling"], {}])
    miner.mask = int(answer["result"]["version-rolling.mask"], 16)

    assert (await miner.submit(job, bits=0x2000, start=999))["result"] is True


async def test_a_minimum_by_configure_may_change_and_nonsense_is_refused(miner: TalkingMiner) -> None:
    await miner.start()
    miner.log.clear()
    for asked, told in ((512, True), (64, True), ("fish", False), (-1, False), (None, False)):
        configure = [["minimum-difficulty"], {"minimum-difficulty.value": asked}]
        assert (await miner.ask("mining.configure", configure))["result"] == {"minimum-difficulty": told}
    assert [await miner.told("mining.set_difficulty") for _ in range(2)] == [[512], [64]]


@pytest.mark.parametrize(
    "absurd",
    [
        "1e300",
        "1e999",
        "NaN",
        "18446744073709555712",
        "1e-10",
        "-0.5",
        '"1e300"',
        '"inf"',
        "true",
        "[]",
        "{}",
    ],
)
async def test_an_absurd_minimum_by_configure_changes_nothing(miner: TalkingMiner, absurd: str) -> None:
    params = b'[["minimum-difficulty"],{"minimum-difficulty.value":%b}]' % absurd.encode()
    job = await miner.start()
    miner.log.clear()
    miner.write(b'{"id":"c","method":"mining.configure","params":%b}\n' % params)
    # 1e999 and NaN are no JSON: the whole line is refused then.
    refused = (await miner.read())["result"]
    assert refused == {"minimum-difficulty": False} or (refused is None and absurd in ("1e999", "NaN"))
    assert (await miner.submit(job))["result"] is True
    assert [message for message in miner.log if "method" in message] == []


async def test_the_largest_minimum_and_none_again(miner: TalkingMiner, pool: ScriptedPool) -> None:
    await miner.start()
    miner.log.clear()
    for asked in (2**64, 0, 8, 0.0, 9.5, "0"):
        configure = [["minimum-difficulty"], {"minimum-difficulty.value": asked}]
        assert (await miner.ask("mining.configure", configure))["result"] == {"minimum-difficulty": True}
    told = [(await miner.told("mining.set_difficulty"))[0] for _ in range(6)]
    assert told == [2.0**64, EASIEST, 8, EASIEST, 9.5, EASIEST]
    assert (await miner.submit(await miner.job()))["result"] is True


@pytest.mark.parametrize("bits", ["0000E000", "0000e000", "e000", None])
async def test_version_bits_as_firmware_writes_them(miner: TalkingMiner, pool: ScriptedPool, bits: Any) -> None:
    await miner.ask("mining.configure", [["version-rolling"], {}])
    miner.mask = 0x1FFFE000
    job = await miner.start()
    share = miner.share(job, bits=0x0000E000) if bits is not None else [*miner.share(job), None]
    assert (await miner.ask("mining.submit", [*share[:5], bits]))["result"] is True

    ((*_, forwarded),) = (await pool.connection()).params("mining.submit")
    assert forwarded == ("0000e000" if bits is not None else "00000000")


@pytest.mark.parametrize(
    ("pools", "bits"), [("1fffffe0", 0x00000060), ("00c00000", 0x00800000), ("20000000", 0x20000000)]
)
async def test_wider_and_narrower_masks_than_usual(started: Started, pools: str, bits: int) -> None:
    async with ScriptedPool(Script(mask=pools)) as pool, started(pool.port) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            answer = await miner.ask("mining.configure", [["version-rolling"], {}])
            assert answer["result"]["version-rolling.mask"] == pools
            miner.mask = int(pools, 16)
            assert (await miner.submit(await miner.start(), bits=bits))["result"] is True


@pytest.mark.parametrize("difficulty", [["512"], "512", [512], 512, [512.0, "more"]])
async def test_suggestions_in_every_shape(miner: TalkingMiner, pool: ScriptedPool, difficulty: Any) -> None:
    assert (await miner.ask("mining.suggest_difficulty", difficulty))["result"] is True
    await miner.start()

    assert await (await pool.connection()).called("mining.suggest_difficulty") == [[512.0]]


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("mining.suggest_difficulty", ["fish"]),
        ("mining.suggest_difficulty", [0]),
        ("mining.suggest_difficulty", []),
        ("mining.suggest_difficulty", [{"a": 1}]),
        ("mining.suggest_difficulty(x", []),
        ("mining.suggest_target", ["00" * 32]),
        ("mining.suggest_target", ["ff"]),
        ("mining.suggest_target", []),
    ],
)
async def test_a_suggestion_that_is_none_is_an_error_and_no_end(miner: TalkingMiner, method: str, params: Any) -> None:
    assert (await miner.ask(method, params))["error"][0] == 20
    assert (await miner.submit(await miner.start()))["result"] is True


async def test_answers_to_questions_that_nobody_asked_are_no_junk(miner: TalkingMiner) -> None:
    job = await miner.start()
    for _ in range(30):
        miner.write(b'{"id":1,"result":"cgminer/4.12","error":null}\n')

    assert (await miner.submit(job))["result"] is True


async def test_transactions_are_hidden_under_both_names(miner: TalkingMiner, pool: ScriptedPool) -> None:
    job = await miner.start()
    for method in ("mining.get_transactions", "mining.get_txnhashes"):
        assert (await miner.ask(method, [job.job_id]))["result"] == []
    upstream = await pool.connection()

    assert not [method for method in upstream.methods if method.startswith("mining.get")]


async def test_a_later_password_of_the_same_worker_counts(miner: TalkingMiner) -> None:
    await miner.start("w", "md=100")
    assert [await miner.told("mining.set_difficulty") for _ in range(2)][1] == [100]
    await miner.ask("mining.authorize", ["w", "d=50"])
    assert await miner.told("mining.set_difficulty") == [50]


@pytest.mark.parametrize("what", ["ntime", "version"])
async def test_a_block_outside_the_ranges_goes_to_the_pool(miner: TalkingMiner, pool: ScriptedPool, what: str) -> None:
    pool.script.job = make_job("easy", nbits=0x203FFFFF)
    job = await miner.start()
    wrong: dict[str, Any] = {"ntime": job.ntime - 1} if what == "ntime" else {}
    share = miner.share(job, at_least=2.0**-30, **wrong)
    if what == "version":
        share.append("00002000")  # without a mask it does not count, so the header is the one without it

    assert (await miner.ask("mining.submit", share))["result"] is True
    assert len((await pool.connection()).params("mining.submit")) == 1
