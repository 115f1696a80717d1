"""An honest store passes an audit, and every forgery is found, alone and among others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from services.tests.warehouse.provable import genuine_job, genuine_share, keyed
from services.tests.warehouse.rows import make_share
from services.tests.warehouse.test_rowbinary import insert
from services.warehouse.audit import Audit, AuditResult, Finding, Progress, Scope
from services.warehouse.audit_record import AuditSummary, record_audit
from services.warehouse.mismatch import Mismatch
from services.warehouse.queries import Queries
from services.warehouse.records import NO_HEADER, NO_JOB
from services.warehouse.rowbinary import RowEncoder, Stream
from services.warehouse.share_id import ShareId
from services.warehouse.stretches import Stretch, stretches

if TYPE_CHECKING:
    import random

    from clickhouse_connect.driver.asyncclient import AsyncClient

    from services.warehouse.address import ClickHouseAddress
    from services.warehouse.records import JobRecord, Share


FIRST = 1_789_000_000
SCOPE = Scope(FIRST, FIRST + 4 * 3600)


class Store:
    """Shares and jobs as they are stored, forged ones too."""

    def __init__(self, address: ClickHouseAddress, client: AsyncClient) -> None:
        self.address = address
        self.findings: list[Finding] = []
        self.progress: list[Progress] = []
        self._client = client

    async def keep(self, shares: list[Share], jobs: list[JobRecord]) -> list[ShareId]:
        segment: UUID = uuid4()
        encoder = RowEncoder(segment)
        await insert(self._client, Stream.JOBS, b"".join(map(encoder.job, jobs)))
        await insert(self._client, Stream.SHARES, b"".join(encoder.share(share, n) for n, share in enumerate(shares)))
        return [ShareId(segment, number) for number in range(len(shares))]

    async def audit(self, scope: Scope = SCOPE) -> AuditResult:
        self.findings.clear()
        self.progress.clear()
        return await Audit(self.address, scope, on_finding=self.findings.append, on_progress=self.progress.append).run()

    def found(self) -> list[tuple[Mismatch, ShareId | None]]:
        return [(finding.kind, finding.share) for finding in self.findings]


@pytest.fixture
def audited(store: ClickHouseAddress, client: AsyncClient) -> Store:
    return Store(store, client)


def honest(generator: random.Random, count: int = 40) -> tuple[list[Share], list[JobRecord]]:
    """Shares over three hours, some refused, some never read."""
    jobs = [genuine_job(generator, ntime=FIRST + 1000 * at) for at in range(10)]
    shares = [genuine_share(generator, generator.choice(jobs)) for _ in range(count)]
    refused = {"accepted": False, "reason": "low_difficulty", "pool_difficulty": 2.0**60}
    shares += [genuine_share(generator, generator.choice(jobs), **refused) for _ in range(5)]
    shares += [genuine_share(generator, jobs[0], accepted=False, reason="stale", ntime=FIRST - 1)]
    shares += [
        replace(share, actual_difficulty=share.actual_difficulty * factor)  # within the tolerance
        for factor in (1 - 9.5e-13, 1 + 9.5e-13)
        for share in [genuine_share(generator, jobs[0], pool_difficulty=0.0)]
    ]
    unread = {"accepted": False, "reason": "unknown_job", "header": NO_HEADER, "job": NO_JOB, "actual_difficulty": 0.0}
    shares += [make_share(generator, ts_ms=FIRST * 1000 + 1, **unread) for _ in range(3)]
    return shares, jobs


async def test_an_honest_store_is_sound(audited: Store, generator: random.Random) -> None:
    shares, jobs = honest(generator)
    await audited.keep(shares, jobs)
    result = await audited.audit()
    assert (audited.findings, result.is_sound, result.shares) == ([], True, len(shares))
    assert result.jobs == len({share.job for share in shares} - {NO_JOB})
    assert 0 < result.header_seconds <= result.seconds
    assert {progress.step for progress in audited.progress} == {"headers", "jobs", "repeats"}
    assert [(one.done, one.total) for one in audited.progress][-1] == (len(shares), len(shares))


async def test_zero_bytes_at_the_end_of_a_key_and_of_a_sibling_count(audited: Store, generator: random.Random) -> None:
    branch = (generator.randbytes(31) + b"\0", generator.randbytes(30) + b"\0\0")
    job = genuine_job(generator, ntime=FIRST, merkle_branch=branch)
    while job.job[-1]:
        job = keyed(replace(job, coinbase2=generator.randbytes(40)))
    await audited.keep([genuine_share(generator, job)], [job])
    result = await audited.audit()
    assert (audited.findings, result.is_sound) == ([], True)


async def test_a_job_that_a_pool_sent_again_is_one(audited: Store, generator: random.Random) -> None:
    """A duplicate that was refused has the header of one that counted."""
    job = genuine_job(generator, ntime=FIRST)
    share = genuine_share(generator, job)
    again = replace(share, accepted=False, reason="duplicate")
    await audited.keep([share, again], [job, replace(job, sent_ms=job.sent_ms + 5000)])
    result = await audited.audit()
    assert (result.is_sound, result.shares, result.jobs) == (True, 2, 1)


def forgeries(generator: random.Random, job: JobRecord) -> list[tuple[Mismatch, Share]]:
    """Shares with one thing wrong in each, as often as there are ways to get it wrong."""

    def share(**changes: Any) -> Share:
        return genuine_share(generator, job, **changes)

    def times(factor: float, name: str, made: Share) -> Share:
        return replace(made, **{name: made.actual_difficulty * factor})

    late = {"ts_ms": job.ntime * 1000 + 5999}
    return [
        (Mismatch.NO_HEADER, replace(share(), header=NO_HEADER, actual_difficulty=0.0)),
        (Mismatch.DIFFICULTY, times(1 + 1e-11, "actual_difficulty", share(pool_difficulty=0.0))),
        (Mismatch.DIFFICULTY, times(1 - 1e-11, "actual_difficulty", share(pool_difficulty=0.0))),
        (Mismatch.DIFFICULTY, times(1 + 1.1e-12, "actual_difficulty", share(pool_difficulty=0.0))),
        (Mismatch.DIFFICULTY, times(1 - 1.1e-12, "actual_difficulty", share(pool_difficulty=0.0))),
        (Mismatch.DIFFICULTY, replace(share(), actual_difficulty=float("nan"))),
        (Mismatch.DIFFICULTY, replace(share(), actual_difficulty=float("inf"))),
        (Mismatch.DIFFICULTY, replace(share(accepted=False, reason="stale"), actual_difficulty=0.0)),
        (Mismatch.TARGET, times(1 + 1e-11, "pool_difficulty", share())),
        (Mismatch.TARGET, times(1 + 1.1e-12, "pool_difficulty", share())),
        (Mismatch.TARGET, replace(share(), pool_difficulty=float("inf"))),
        (Mismatch.TARGET, replace(share(), pool_difficulty=float("nan"))),
        (Mismatch.JOB_UNKNOWN, replace(share(), job=generator.randbytes(16))),
        (Mismatch.JOB_UNKNOWN, replace(share(), job=NO_JOB)),
        (Mismatch.MERKLE_ROOT, replace(share(), extranonce2=bytes(8))),
        (Mismatch.MERKLE_ROOT, replace(share(), extranonce1=bytes(4))),
        (Mismatch.MERKLE_ROOT, share(merkle_root=generator.randbytes(32))),
        (Mismatch.MERKLE_ROOT, share(merkle_root=generator.randbytes(32), accepted=False, reason="stale")),
        (Mismatch.PREVHASH, share(prevhash=generator.randbytes(32))),
        (Mismatch.NBITS, share(nbits=job.nbits + 1)),
        (Mismatch.NTIME, share(ntime=job.ntime - 1)),
        (Mismatch.NTIME, share(ntime=job.ntime + 6 + 7200, **late)),
    ]


async def test_each_forgery_is_found_and_nothing_else(audited: Store, generator: random.Random) -> None:
    shares, jobs = honest(generator)
    await audited.keep(shares, jobs)
    forged = forgeries(generator, jobs[3])
    ids = await audited.keep([share for _, share in forged], [])
    result = await audited.audit()
    wanted = {(kind, share_id) for (kind, _), share_id in zip(forged, ids, strict=True)}
    # Accepted without a header, there is nothing else to be said of it.
    assert set(audited.found()) == wanted
    assert len(audited.findings) == len(wanted)
    assert result.mismatches.total() == len(wanted)
    assert not result.is_sound
    by_id = {finding.share: finding for finding in audited.findings}
    for (_, share), share_id in zip(forged, ids, strict=True):
        assert (by_id[share_id].ts_ms, by_id[share_id].worker) == (share.ts_ms, share.worker)
    assert by_id[ids[19]].detail == f"{jobs[3].nbits + 1:08x} in the header, {jobs[3].nbits:08x} in the job"


async def test_a_header_that_counted_twice(audited: Store, generator: random.Random) -> None:
    job = genuine_job(generator, ntime=FIRST)
    first, other = genuine_share(generator, job), genuine_share(generator, job)
    again = [replace(first, ts_ms=first.ts_ms + later, worker="somebody.else") for later in (70_000, 7_200_000)]
    ids = await audited.keep([first, other, *again], [job])
    result = await audited.audit()
    assert audited.found() == [(Mismatch.REPEATED_HEADER, ids[2]), (Mismatch.REPEATED_HEADER, ids[3])]
    assert {finding.detail for finding in audited.findings} == {f"header of {ids[0]}"}
    assert {finding.worker for finding in audited.findings} == {"somebody.else"}
    assert dict(result.mismatches) == {Mismatch.REPEATED_HEADER: 2}


async def test_the_last_audit_is_remembered(audited: Store, generator: random.Random) -> None:
    queries = Queries(audited.address)
    assert await queries.last_audit() is None
    job = genuine_job(generator, ntime=FIRST)
    await audited.keep([genuine_share(generator, job, nbits=job.nbits + 1) for _ in range(3)], [job])
    result = await audited.audit()
    await record_audit(audited.address, Scope(0, 60, "one"), AuditResult(), started=FIRST)
    await record_audit(audited.address, SCOPE, result, started=FIRST + 0.5)
    last = await queries.last_audit()
    await queries.close()
    assert last == AuditSummary(FIRST + 0.5, result.seconds, SCOPE.start, SCOPE.end, "", 3, 1, {"nbits": 3})
    assert not last.is_sound


async def test_a_forged_job(audited: Store, generator: random.Random) -> None:
    """Its shares fit it; what it claims to be does not."""
    job = genuine_job(generator, ntime=FIRST)
    forged = [
        replace(keyed(replace(job, **{name: value})), job=generator.randbytes(16))
        for name, value in (
            ("coinbase1", job.coinbase1 + b"\1"),
            ("merkle_branch", ()),
            ("version", 1),
            ("ntime", FIRST + 1),
        )
    ]
    await audited.keep([genuine_share(generator, one) for one in (job, *forged)], [job, *forged])
    result = await audited.audit()
    assert [finding.kind for finding in audited.findings] == [Mismatch.JOB_CONTENT] * 4
    assert {finding.detail for finding in audited.findings} == {f"job {one.job.hex()}" for one in forged}
    assert result.jobs == 5


async def test_only_the_period_and_worker_asked_for(audited: Store, generator: random.Random) -> None:
    job = genuine_job(generator, ntime=FIRST)
    wrong = {"pool_difficulty": 2.0**60}
    edges = (FIRST * 1000 - 1, FIRST * 1000, (FIRST + 60) * 1000 - 1, (FIRST + 60) * 1000)
    shares = [genuine_share(generator, job, worker="one", ts_ms=edge, ntime=FIRST, **wrong) for edge in edges]
    shares.append(genuine_share(generator, job, worker="another", ts_ms=FIRST * 1000 + 5, **wrong))
    ids = await audited.keep(shares, [job])
    await audited.audit(Scope(FIRST, FIRST + 60))
    assert {share for _, share in audited.found()} == {ids[1], ids[2], ids[4]}
    result = await audited.audit(Scope(FIRST, FIRST + 60, "one"))
    assert [share for _, share in audited.found()] == [ids[1], ids[2]]
    assert result.shares == 2
    assert (await audited.audit(Scope(FIRST, FIRST + 60, "' OR 1 --"))).shares == 0


def test_a_period_is_cut_where_rows_are() -> None:
    hour = 3600
    counts = [(0, 10), (hour, 10), (2 * hour, 30), (5 * hour, 1)]
    assert stretches(counts, 100, 5 * hour + 7, most_rows=25) == [
        Stretch(100, 2 * hour, 20),
        Stretch(2 * hour, 3 * hour, 30),
        Stretch(5 * hour, 5 * hour + 7, 1),
    ]
    assert stretches([], 0, hour) == []
