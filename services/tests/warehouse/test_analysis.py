"""Every figure of an analysis against plain Python over the same shares."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from services.tests.warehouse.rows import display_hash, make_share
from services.tests.warehouse.test_rowbinary import insert
from services.warehouse.address import ClickHouseAddress
from services.warehouse.analysis import Analysis
from services.warehouse.queries import StoreUnavailable
from services.warehouse.results import HASHES_PER_DIFFICULTY
from services.warehouse.rowbinary import RowEncoder, Stream
from services.warehouse.share_figures import DifficultySpread, HeatMap, ListedShare, ShareSums, Step
from services.warehouse.share_query import ShareQuery

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Iterable

    from clickhouse_connect.driver.asyncclient import AsyncClient

    from services.warehouse.records import Share


NOW = 1_789_000_000 // 3600 * 3600 + 637
DAY = 86_400
HOSTILE = "<script>alert(1)</script>"
SEGMENTS = (UUID(int=1), UUID(int=2**127 + 5))
QUERIES = {
    "all": ShareQuery(NOW - DAY, NOW),
    "minutes": ShareQuery(NOW - 1000, NOW - 17),
    "days": ShareQuery(NOW - 2 * DAY - 11, NOW - 999),
    "worker": ShareQuery(NOW - DAY, NOW, worker="account.rig3"),
    "hostile": ShareQuery(NOW - DAY, NOW, worker=HOSTILE),
    "pool": ShareQuery(NOW - DAY, NOW, pool="high_diff"),
    "accepted": ShareQuery(NOW - DAY, NOW, verdict="accepted"),
    "rejected": ShareQuery(NOW - DAY, NOW, verdict="rejected"),
    "hard": ShareQuery(NOW - DAY, NOW, min_difficulty=700.0),
    "all at once": ShareQuery(NOW - DAY, NOW, "account.rig3", "normal", "accepted", 500.0),
    "nothing": ShareQuery(NOW - DAY, NOW, worker="' OR 1 = 1 --"),
}


def make_shares(generator: random.Random) -> list[Share]:
    """Three days of shares, some of them in the same millisecond, on the edges of steps and periods."""
    moments = [NOW * 1000 - generator.randrange(3 * DAY * 1000) for _ in range(2500)]
    moments += [edge * 1000 + shift for query in QUERIES.values() for edge in (query.start, query.end)
                for shift in (-1, 0, 1)]  # fmt: skip
    moments += [NOW // 3600 * 3_600_000 - 7_200_000] * 40
    return [_share(generator, ts_ms) for ts_ms in moments]


def _share(generator: random.Random, ts_ms: int) -> Share:
    credited = float(2 ** generator.randrange(-4, 11))
    worker = HOSTILE if generator.random() < 0.1 else f"account.rig{generator.randrange(7)}"
    actual = credited / (1 - generator.random())
    return make_share(generator, ts_ms=ts_ms, worker=worker, pool_difficulty=credited, actual_difficulty=actual)


def identity(number: int) -> tuple[str, int]:
    """Segment and sequence number under which the share is kept."""
    return str(SEGMENTS[number % 2]), number // 2


@pytest.fixture
def shares(generator: random.Random) -> list[Share]:
    return make_shares(generator)


@pytest.fixture
async def kept(client: AsyncClient, shares: list[Share]) -> None:
    for half, segment in enumerate(SEGMENTS):
        encoder = RowEncoder(segment)
        body = b"".join(encoder.share(share, seq) for seq, share in enumerate(shares[half::2]))
        await insert(client, Stream.SHARES, body)


@pytest.fixture
async def analysis(store: ClickHouseAddress) -> AsyncIterator[Analysis]:
    analysis = Analysis(store)
    yield analysis
    await analysis.close()


def matches(query: ShareQuery, share: Share) -> bool:
    return (
        query.start * 1000 <= share.ts_ms < query.end * 1000
        and query.worker in (None, share.worker)
        and query.pool in (None, share.pool_label)
        and query.verdict in (None, "accepted" if share.accepted else "rejected")
        and share.actual_difficulty >= query.min_difficulty
    )


def matching(query: ShareQuery, shares: Iterable[Share]) -> list[Share]:
    return [share for share in shares if matches(query, share)]


def reasons(shares: Iterable[Share]) -> dict[str, int]:
    return dict(sorted(Counter(share.reason for share in shares if not share.accepted).items()))


@pytest.mark.timeout(180)
async def test_the_store_answers_as_python_computes(kept: None, shares: list[Share], analysis: Analysis) -> None:
    for name, query in QUERIES.items():
        found = matching(query, shares)
        assert found or name == "nothing"
        await sums_are_right(analysis, query, found)
        for step_seconds in (300, 600, 3600, DAY):
            await timeline_is_right(analysis, query, found, step_seconds)
        await heat_is_right(analysis, query, found, 3600)
        await spread_is_right(analysis, query, found)


async def sums_are_right(analysis: Analysis, query: ShareQuery, found: list[Share]) -> None:
    accepted = [share for share in found if share.accepted]
    sums = await analysis.sums(query)
    assert (sums.accepted, sums.rejected_by_reason) == (len(accepted), reasons(found))
    assert sums.rejected == len(found) - len(accepted)
    assert sums.credited == pytest.approx(math.fsum(share.pool_difficulty for share in accepted))
    assert sums.hash_rate == pytest.approx(sums.credited * HASHES_PER_DIFFICULTY / (query.end - query.start))
    assert sums.best == max((share.actual_difficulty for share in accepted), default=0)
    assert sums.last == max((share.ts_ms / 1000 for share in accepted), default=0)
    assert sums.workers == len({share.worker for share in found})
    assert sums.pools == len({share.pool_label for share in found})


async def timeline_is_right(analysis: Analysis, query: ShareQuery, found: list[Share], step_seconds: int) -> None:
    line = await analysis.timeline(query, step_seconds)
    assert line.start == query.start // step_seconds * step_seconds
    covered = sum(line.seconds(index) for index in range(len(line.steps)))
    assert covered == query.end - query.start
    assert all(0 < line.seconds(index) <= step_seconds for index in range(len(line.steps)))
    by_step: dict[int, list[Share]] = {}
    for share in found:
        by_step.setdefault((share.ts_ms // 1000 - line.start) // step_seconds, []).append(share)
    for index, step in enumerate(line.steps):
        mine = by_step.pop(index, [])
        accepted = [share.pool_difficulty for share in mine if share.accepted]
        assert (step.accepted, step.rejected_by_reason) == (len(accepted), reasons(mine))
        assert math.isclose(step.credited, math.fsum(accepted), rel_tol=1e-9)
        squares = math.fsum(difficulty**2 for difficulty in accepted)
        assert step.squares <= squares * (1 + 1e-9)
        if step_seconds == 300:
            assert math.isclose(step.squares, squares, rel_tol=1e-9)
    assert by_step == {}


async def heat_is_right(analysis: Analysis, query: ShareQuery, found: list[Share], step_seconds: int) -> None:
    heat = await analysis.heat(query, step_seconds, most=3)
    credited: dict[str, float] = {}
    for share in found:
        if share.accepted:
            credited[share.worker] = credited.get(share.worker, 0) + share.pool_difficulty
    assert [row.worker for row in heat.rows] == sorted(credited, key=lambda name: (-credited[name], name))[:3]
    first = query.start // step_seconds * step_seconds
    rates: dict[tuple[str, int], float] = {}
    for share in found:
        if share.accepted:
            step = (share.ts_ms // 1000 - first) // step_seconds
            begin = max(query.start, first + step * step_seconds)
            seconds = min(query.end, first + (step + 1) * step_seconds) - begin
            rate = share.pool_difficulty * HASHES_PER_DIFFICULTY / seconds
            rates[share.worker, step] = rates.get((share.worker, step), 0) + rate
    assert heat.start == first
    for row in heat.rows:
        for step, found_rate in enumerate(row.hash_rates):
            assert math.isclose(found_rate or 0, rates.get((row.worker, step), 0), rel_tol=1e-9)


async def spread_is_right(analysis: Analysis, query: ShareQuery, found: list[Share]) -> None:
    asked = [(max(s.pool_difficulty, query.min_difficulty), s.actual_difficulty) for s in found if s.accepted]
    bins = Counter(math.floor(math.log2(actual / least)) for least, actual in asked)
    spread = await analysis.spread(query)
    assert spread.counts == tuple(bins.get(number, 0) for number in range(max(bins, default=-1) + 1))
    assert spread.shares == len(asked)
    if asked:
        assert spread.mean == pytest.approx(math.fsum(least / actual for least, actual in asked) / len(asked))


@pytest.mark.timeout(180)
async def test_pages_follow_each_other_without_gap_or_repeat(
    kept: None, shares: list[Share], analysis: Analysis
) -> None:
    for query in QUERIES.values():
        expected = sorted(
            ((share.ts_ms, *identity(number)) for number, share in enumerate(shares) if matches(query, share)),
            key=lambda one: (one[0], UUID(one[1]).int, one[2]),
            reverse=True,
        )
        found: list[tuple[int, str, int]] = []
        page = await analysis.page(query, most=97)
        while page.after is not None:
            found += [(one.cursor.ts_ms, one.cursor.segment, one.cursor.seq) for one in page.shares]
            assert len(page.shares) == 97
            page = await analysis.page(query, page.after, most=97)
        found += [(one.cursor.ts_ms, one.cursor.segment, one.cursor.seq) for one in page.shares]
        assert found == expected
    by_identity = {identity(number): share for number, share in enumerate(shares)}
    for listed in (await analysis.page(QUERIES["all"], most=200)).shares:
        is_as_kept(listed, by_identity[listed.cursor.segment, listed.cursor.seq])


def is_as_kept(listed: ListedShare, share: Share) -> None:
    for column in ("worker", "pool_label", "pool", "miner", "accepted", "reason", "pool_difficulty"):
        assert getattr(listed, column) == getattr(share, column)
    assert listed.actual_difficulty == share.actual_difficulty
    assert listed.pool_requested_difficulty == share.pool_requested_difficulty
    assert listed.block_hash == display_hash(share.header)
    assert listed.luck == share.actual_difficulty / share.pool_difficulty
    assert not listed.cold


async def test_nothing_kept_is_nothing(analysis: Analysis) -> None:
    query = QUERIES["all"]
    assert await analysis.sums(query) == ShareSums(DAY)
    assert (await analysis.timeline(query, DAY)).steps == (Step(), Step())
    assert await analysis.spread(query) == DifficultySpread()
    assert await analysis.heat(query, 3600) == HeatMap(query.start // 3600 * 3600, 3600, ())
    assert (await analysis.page(query)).shares == ()
    assert await analysis.cold_days(query) is None


async def test_what_is_too_much_is_refused(analysis: Analysis) -> None:
    with pytest.raises(ValueError, match="at most"):
        await analysis.timeline(ShareQuery(0, 10**9), 60)


async def test_a_question_too_long_for_the_limit_is_slow_and_frees_its_place(store: ClickHouseAddress) -> None:
    analysis = Analysis(store, deadline_seconds=1)
    endless = "SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number))"
    questions: list[Any] = [analysis.rows(endless, {}) for _ in range(5)]
    answers = await asyncio.gather(*questions, return_exceptions=True)
    assert [answer.trouble for answer in answers if isinstance(answer, StoreUnavailable)] == ["slow"] * 5
    await analysis.close()
    patient = Analysis(store)
    assert await patient.rows("SELECT 1", {}) == [(1,)]
    await patient.close()


async def test_no_store_is_unreachable(free_port: int) -> None:
    analysis = Analysis(ClickHouseAddress(port=free_port))
    with pytest.raises(StoreUnavailable) as raised:
        await analysis.sums(QUERIES["all"])
    assert raised.value.trouble == "unreachable"
    await analysis.close()
