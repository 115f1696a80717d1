"""Verdicts: the proxy's own, and the pool's handed on."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from services.proxy.options import Limits
from services.stratum.difficulty import actual_difficulty
from services.stratum.header import sha256d
from services.stratum.version import rolled
from services.tests.proxy.conftest import miner_port
from services.tests.proxy.scripted_pool import EASIEST, Script, ScriptedPool, make_job
from services.tests.proxy.talking_miner import TalkingMiner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.proxy.server import Proxy
    from services.stratum.job import Job
    from services.tests.proxy.conftest import Started

# A quarter of all hashes meet this network target, so a candidate is found at once.
EASY_BLOCK = 0x203FFFFF


@pytest.fixture(params=["dedicated", "shared"])
def mode(request: pytest.FixtureRequest) -> str:
    """Both: a miner cannot tell them apart."""
    mode: str = request.param
    return mode


@pytest.fixture
async def proxy(started: Started, pool: ScriptedPool) -> AsyncIterator[Proxy]:
    async with started(pool.port) as running:
        yield running


@pytest.fixture
async def miner(proxy: Proxy) -> AsyncIterator[TalkingMiner]:
    async with TalkingMiner(miner_port(proxy)) as talking:
        yield talking


async def submits(pool: ScriptedPool) -> list[Any]:
    await asyncio.sleep(0.1)
    return (await pool.connection()).params("mining.submit")


async def test_a_good_share_reaches_the_pool_with_its_own_extranonce(miner: TalkingMiner, pool: ScriptedPool) -> None:
    job = await miner.start()
    share = miner.share(job)
    answer = await miner.ask("mining.submit", share)
    ((user, job_id, extranonce2, ntime, nonce, bits),) = await submits(pool)

    assert answer == {"id": answer["id"], "result": True, "error": None}
    assert (user, job_id, ntime, nonce) == ("pool-wallet", "a", share[3], share[4])
    assert bits == "00000000"
    assert len(bytes.fromhex(extranonce2)) == 8
    assert extranonce2.endswith(miner.extranonce1.hex() + share[2])
    # What the miner hashed is byte for byte what the pool will.
    pools = make_job().coinbase1 + bytes.fromhex("aabbccdd" + extranonce2)
    assert job.coinbase1 + miner.extranonce1 + bytes.fromhex(share[2]) == pools


@pytest.mark.parametrize(
    "verdict",
    [
        {"result": None, "error": [21, "Job not found", None]},
        {"result": False, "error": [-8, "our own words", {"more": 1}]},
        {"result": None, "error": {"code": 23, "message": "low"}},
        {"result": None, "error": ["22", "twice"]},
        {"result": False, "error": None, "reject-reason": "Above target"},
        {"result": False, "error": "plain words"},
    ],
)
async def test_the_pools_refusal_is_handed_on_unchanged(
    miner: TalkingMiner, pool: ScriptedPool, verdict: dict[str, Any]
) -> None:
    pool.script.submit = lambda _: verdict
    job = await miner.start()

    assert await miner.submit(job, "the miner's own id") == {"id": "the miner's own id", **verdict}


async def test_verdicts_on_submits_with_one_id_come_in_the_order_of_the_submits(
    miner: TalkingMiner, pool: ScriptedPool
) -> None:
    job = await miner.start()
    pool.script.submit = lambda _: None
    upstream = await pool.connection()
    for start in (0, 1000, 2000):
        miner.send("mining.submit", miner.share(job, start=start), 4)
    miner.send("mining.submit", ["wallet.rig", "no such job", "00000000", "00000000", "00000000"], 4)
    await upstream.called("mining.submit", 3)
    first, second, third = [request["id"] for request in upstream.requests if request["method"] == "mining.submit"]
    # The pool answers in another order, and our own refusal is known before all of them.
    upstream.send({"id": third, "result": None, "error": [20, "third", None]})
    upstream.send({"id": second, "result": None, "error": [20, "second", None]})
    upstream.send({"id": first, "result": True, "error": None})
    answers = [await miner.answer(4) for _ in range(4)]

    assert answers[0]["result"] is True
    assert [answer["error"][1] for answer in answers[1:]] == ["second", "third", "Unknown job"]


async def test_verdicts_under_different_ids_do_not_wait_for_each_other(miner: TalkingMiner, pool: ScriptedPool) -> None:
    job = await miner.start()
    pool.script.submit = lambda _: None
    miner.send("mining.submit", miner.share(job), "slow")
    refused = await miner.ask("mining.submit", ["wallet.rig", "no", "00000000", "00000000", "00000000"], "quick")

    assert refused["error"][0] == 21


async def test_no_verdict_in_time(started: Started) -> None:
    script = Script(submit=lambda _: None)
    async with ScriptedPool(script) as pool, started(pool.port, limits=Limits(verdict_timeout_seconds=0.2)) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            job = await miner.start()
            asked_at = time.monotonic()
            no_verdict = [20, "No verdict from the pool", None]
            assert (await miner.submit(job))["error"] == no_verdict
            assert time.monotonic() - asked_at > 0.15
            # An answer that comes after all is dropped; the next share is judged by its own, which may be too late
            # as well where the machine is busy.
            upstream = await pool.connection()
            upstream.send({"id": upstream.requests[-1]["id"], "result": None, "error": [21, "late", None]})
            script.submit = lambda _: {"result": True, "error": None}
            for start in range(1000, 20_000, 1000):
                answer = await miner.submit(job, start=start)
                if answer["error"] is None:
                    break
                assert answer["error"] == no_verdict
            assert answer["result"] is True
            await upstream.settled()
            late = proxy.registry.get_sample_value("sharehouse_pool_late_verdicts_total", {"pool_label": "normal"})
            assert late is not None and late >= 1
            await miner.ask("mining.ping", [])
            assert miner.log == [message for message in miner.log if "method" in message]


async def test_not_subscribed(miner: TalkingMiner) -> None:
    await miner.ask("mining.authorize", ["wallet.rig"])
    answer = await miner.ask("mining.submit", ["wallet.rig", "a", "00000000", "00000000", "00000000"])

    assert answer["error"] == [25, "Not subscribed", None]


async def test_a_stranger_can_not_be_credited(miner: TalkingMiner, pool: ScriptedPool) -> None:
    job = await miner.start("wallet.rig")

    assert (await miner.submit(job, worker="somebody.else"))["error"][0] == 24
    assert await submits(pool) == []


async def test_unknown_and_malformed_shares(miner: TalkingMiner, pool: ScriptedPool) -> None:
    job = await miner.start()
    good = miner.share(job)
    wrong = [
        ([good[0], "no such job", *good[2:]], 21),
        ([*good[:2], "000000", *good[3:]], 20),
        ([*good[:2], "0000000000", *good[3:]], 20),
        ([*good[:2], "nothex!!", *good[3:]], 20),
        ([*good[:3], "123", good[4]], 20),
        ([*good[:4], "000000000"], 20),
        ([*good[:4]], 20),
        ([*good, "00000000", "more"], 20),
        ([None, *good[1:]], 20),
        ([good[0], 7, *good[2:]], 20),
        ("no list", 20),
    ]
    for params, code in wrong:
        answer = await miner.ask("mining.submit", params)
        assert (answer["result"], answer["error"][0], answer["error"][2]) == (None, code, None), params

    assert await submits(pool) == []
    assert (await miner.ask("mining.submit", good))["result"] is True


async def test_upper_case_hex_is_fine(miner: TalkingMiner) -> None:
    job = await miner.start()
    share = miner.share(job)

    assert (await miner.ask("mining.submit", [*share[:2], *(text.upper() for text in share[2:])]))["result"] is True


async def test_duplicates_are_known_by_their_header_across_job_ids(miner: TalkingMiner, pool: ScriptedPool) -> None:
    job = await miner.start()
    (await pool.connection()).notify(make_job("same content, other id", clean=False))
    twin = await miner.job()
    share = miner.share(job)
    assert (await miner.ask("mining.submit", share))["result"] is True

    assert (await miner.ask("mining.submit", share))["error"][0] == 22
    assert twin.job_id != job.job_id
    assert (await miner.ask("mining.submit", [share[0], twin.job_id, *share[2:]]))["error"][0] == 22
    assert len(await submits(pool)) == 1


async def test_duplicates_are_known_across_reconnects(started: Started) -> None:
    # A pool with one extranonce1 for all and nothing to divide: the same header can come again.
    script = Script(extranonce1="0102", extranonce2_size=4)
    async with ScriptedPool(script) as pool, started(pool.port) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            share = miner.share(await miner.start())
            assert (await miner.ask("mining.submit", share))["result"] is True
        async with TalkingMiner(miner_port(proxy)) as miner:
            job = await miner.start()
            assert (await miner.ask("mining.submit", [share[0], job.job_id, *share[2:]]))["error"][0] == 22
            # Its old job id means nothing any more.
            assert (await miner.ask("mining.submit", share))["error"][0] == 21


async def test_stale_is_what_has_another_prevhash(miner: TalkingMiner, pool: ScriptedPool) -> None:
    old = await miner.start()
    upstream = await pool.connection()
    upstream.notify(make_job("withdrawn, but on the same prevhash", clean=True))
    await miner.job()
    assert (await miner.submit(old))["result"] is True

    upstream.notify(make_job("next block", prevhash=2))
    await miner.job()
    assert (await miner.submit(old, start=1000))["error"] == [21, "Stale job", None]
    assert len(await submits(pool)) == 1


async def test_ntime_out_of_range(miner: TalkingMiner, pool: ScriptedPool) -> None:
    now = int(time.time())
    await miner.start()
    (await pool.connection()).notify(make_job("now", ntime=now))
    job = await miner.job()

    assert (await miner.submit(job, ntime=now - 1))["error"][:2] == [20, "ntime out of range"]
    assert (await miner.submit(job, ntime=now + 7300))["error"][:2] == [20, "ntime out of range"]
    assert (await miner.submit(job, ntime=now + 7100))["result"] is True


async def test_version_rolling(miner: TalkingMiner, pool: ScriptedPool) -> None:
    answer = await miner.ask("mining.configure", [["version-rolling"], {"version-rolling.mask": "0000ffff"}])
    miner.mask = int(answer["result"]["version-rolling.mask"], 16)
    job = await miner.start()
    rolled = await miner.submit(job, bits=0x0000A000)
    upper = await miner.submit(job, bits=0x00400000)
    missing = await miner.submit(job)
    zero = await miner.submit(job, bits=0, start=1000)

    assert miner.mask == 0x0000E000
    assert rolled["result"] is True
    assert upper["error"][:2] == [20, "Version bits outside the negotiated mask"]
    assert missing["result"] is True
    assert zero["result"] is True
    # The pool rolls under its own, wider mask: it is told the version as it was hashed.
    assert [params[5] for params in await submits(pool)] == ["0000a000", "00000000", "00000000"]


async def test_version_bits_without_negotiation_are_refused(miner: TalkingMiner) -> None:
    job = await miner.start()

    assert (await miner.submit(job, bits=0x2000))["error"][0] == 20


async def test_a_pool_without_version_rolling_gets_five_parameters(started: Started) -> None:
    async with ScriptedPool(Script(mask=None)) as pool, started(pool.port) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            share = miner.share(await miner.start())
            assert (await miner.ask("mining.submit", [*share, "00000000"]))["result"] is True
            assert [len(params) for params in await submits(pool)] == [5]


async def test_bits_of_the_mask_that_held_when_the_job_was_sent_are_good(
    miner: TalkingMiner, pool: ScriptedPool
) -> None:
    await miner.ask("mining.configure", [["version-rolling"], {"version-rolling.mask": "ffffffff"}])
    miner.mask = 0x1FFFE000
    job = await miner.start()
    upstream = await pool.connection()
    upstream.call("mining.set_version_mask", ["00002000"])
    assert await miner.told("mining.set_version_mask") == ["00002000"]

    assert (await miner.submit(job, bits=0x00008000))["result"] is True
    upstream.notify(make_job("after"))
    assert (await miner.submit(await miner.job(), bits=0x00008000))["error"][0] == 20


def mined_apart(miner: TalkingMiner, job: Job, good: float, masks: tuple[int, int], bits: int) -> list[Any]:
    """A share that is worth ``good`` under the first mask, and not under the second."""
    miner.mask, nonce = masks[0], -1
    while True:
        share = miner.share(job, bits=bits, at_least=good, start=nonce + 1)
        nonce = int(share[4], 16)
        header = job.header(
            extranonce=miner.extranonce1 + bytes.fromhex(share[2]),
            version=rolled(job.version, masks[1], bits),
            ntime=job.ntime,
            nonce=nonce,
        )
        if actual_difficulty(sha256d(header)) < good:
            return share


async def test_a_late_share_is_good_under_its_jobs_mask_and_under_one_that_grew_since(
    miner: TalkingMiner, pool: ScriptedPool
) -> None:
    """Bits under both masks do not tell which of them the miner rolled the job's version under."""
    old, wide, good = 0x00FFE000, 0x1FFFE000, 2.0**-24
    pool.script.mask, pool.script.difficulty = f"{old:08x}", good
    pool.script.job = make_job(version=0x3FFFE000)
    await miner.ask("mining.configure", [["version-rolling"], {"version-rolling.mask": "ffffffff"}])
    job = await miner.start()
    upstream = await pool.connection()
    upstream.call("mining.set_version_mask", [f"{wide:08x}"])
    assert await miner.told("mining.set_version_mask") == [f"{wide:08x}"]
    before = mined_apart(miner, job, good, (old, wide), 0x2000)
    after = mined_apart(miner, job, good, (wide, old), 0x2000)

    assert (await miner.ask("mining.submit", before))["result"] is True
    assert (await miner.ask("mining.submit", after))["result"] is True
    assert (await miner.ask("mining.submit", before))["error"][0] == 22
    assert (await miner.ask("mining.submit", after))["error"][0] == 22
    # The pool's mask is the wide one by now; both versions are told as they were hashed.
    assert [params[5] for params in await submits(pool)] == ["1f002000", "00002000"]


async def test_a_block_candidate_goes_to_the_pool_whatever_else_is_wrong(
    miner: TalkingMiner, pool: ScriptedPool, capsys: pytest.CaptureFixture[str]
) -> None:
    pool.script.job = make_job("easy", nbits=EASY_BLOCK)
    pool.script.submit = lambda _: {"result": None, "error": [21, "the pool's own stale", None]}
    job = await miner.start()
    block = {"at_least": 2.0**-30}
    (await pool.connection()).notify(make_job("next", prevhash=2))
    await miner.job()
    stale = await miner.submit(job, **block)
    stranger = await miner.submit(job, worker="stranger", start=1000, **block)

    # The pool's verdict is the answer, unless that could credit a stranger.
    assert stale["error"][1] == "the pool's own stale"
    assert stranger["error"][0] == 24
    assert [params[0] for params in await submits(pool)] == ["pool-wallet", "pool-wallet"]
    assert capsys.readouterr().out.count("block_candidate") == 2


async def test_a_low_share_that_is_a_block_is_forwarded_and_credited_with_no_more_than_it_is_worth(
    started: Started,
) -> None:
    script = Script(job=make_job("easy", nbits=EASY_BLOCK))
    async with ScriptedPool(script) as pool, started(pool.port) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            await miner.start("wallet.rig", "md=1000")
            assert (await miner.submit(await miner.job(), at_least=2.0**-30))["result"] is True
        credited = proxy.registry.get_sample_value(
            "sharehouse_share_difficulty_accepted_total", {"pool_label": "normal"}
        )
        assert credited == EASIEST
