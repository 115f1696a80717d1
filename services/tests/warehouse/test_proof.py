from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from services.stratum.header import sha256d
from services.tests.warehouse.provable import genuine_job, genuine_share, keyed
from services.tests.warehouse.rows import make_share
from services.tests.warehouse.test_rowbinary import insert
from services.warehouse.mismatch import MEANINGS, Mismatch
from services.warehouse.proof import SHARE_SQL, ShareProof
from services.warehouse.queries import Queries
from services.warehouse.records import NO_HEADER, NO_JOB
from services.warehouse.rowbinary import RowEncoder, Stream
from services.warehouse.share_id import ShareId, ShareIdError

if TYPE_CHECKING:
    import random

    from clickhouse_connect.driver.asyncclient import AsyncClient

    from services.warehouse.address import ClickHouseAddress
    from services.warehouse.records import JobRecord, Share

SEGMENT = UUID("0f8fad5b-d9cb-469f-a165-70867728950e")


def proof(share: Share, job: JobRecord | None) -> ShareProof:
    return ShareProof(ShareId(SEGMENT, 1), share, job)


def test_an_id_is_read_as_it_is_written() -> None:
    text = f"{SEGMENT}-18446744073709551615"
    assert str(ShareId.parse(text)) == text
    assert ShareId.parse(text.upper()) == ShareId(SEGMENT, 2**64 - 1)


@pytest.mark.parametrize(
    "text", ["", str(SEGMENT), f"{SEGMENT}-", f"{SEGMENT}-{2**64}", f"{SEGMENT}--1", f"{SEGMENT}-1\n", "7", "a-1"]
)
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(ShareIdError, match="SEGMENT-SEQ"):
        ShareId.parse(text)


async def test_a_share_is_found_by_its_id_without_reading_all(client: AsyncClient, generator: random.Random) -> None:
    encoder = RowEncoder(SEGMENT)
    await insert(client, Stream.SHARES, encoder.share(make_share(generator), 1))
    told = await client.query(f"EXPLAIN indexes = 1 {SHARE_SQL}", parameters={"segment": str(SEGMENT), "seq": 2})
    plan = "\n".join(row[0] for row in told.result_rows)
    assert "Name: by_seq" in plan
    assert "Granules: 0/1" in plan


async def test_a_stored_share_proves_itself(
    store: ClickHouseAddress, client: AsyncClient, generator: random.Random
) -> None:
    job = genuine_job(generator)
    share = genuine_share(generator, job)
    segment = uuid4()
    encoder = RowEncoder(segment)
    rows = [make_share(generator), share, make_share(generator)]
    await insert(client, Stream.SHARES, b"".join(encoder.share(row, seq) for seq, row in enumerate(rows)))
    # Sent twice, and so stored in two parts.
    await insert(client, Stream.JOBS, encoder.job(job))
    await insert(client, Stream.JOBS, encoder.job(replace(job, sent_ms=job.sent_ms + 30_000)))
    queries = Queries(store)
    found = await queries.share_proof(ShareId(segment, 1))
    unknown_job = await queries.share_proof(ShareId(segment, 0))
    missing = await queries.share_proof(ShareId(segment, 3))
    await queries.close()

    assert found == ShareProof(ShareId(segment, 1), share, job)
    assert found.mismatches() == ()
    # By hand, as an outsider would.
    assert found.merkle_root == found.header_merkle_root
    assert found.block_hash == sha256d(share.header)[::-1].hex()
    assert found.actual_difficulty == share.actual_difficulty
    transaction = found.transaction
    assert transaction is not None
    assert share.extranonce1 + share.extranonce2 in transaction.input_script
    assert [output.payee for output in transaction.outputs][1] == "OP_RETURN"
    fields = (found.header_prevhash, found.header_nbits, found.header_version & ~0x1FFFE000)
    assert fields == (job.prevhash, job.nbits, job.version)
    assert job.ntime <= found.header_ntime <= job.ntime + 60
    assert found.header_nonce == int.from_bytes(share.header[76:], "little")
    assert unknown_job is not None
    assert unknown_job.job is None
    assert (unknown_job.coinbase, unknown_job.merkle_root, unknown_job.transaction) == (b"", b"", None)
    assert Mismatch.JOB_UNKNOWN in unknown_job.mismatches()
    assert missing is None


def forged(generator: random.Random, kind: Mismatch) -> tuple[Share, JobRecord | None]:
    """A share with just this wrong."""
    job: JobRecord = genuine_job(generator)
    share = genuine_share(generator, job)
    forgeries: dict[Mismatch, Any] = {
        Mismatch.NO_HEADER: lambda: (replace(share, header=NO_HEADER), job),
        Mismatch.DIFFICULTY: lambda: (replace(share, actual_difficulty=share.actual_difficulty * (1 + 1e-11)), job),
        Mismatch.TARGET: lambda: (replace(share, pool_difficulty=share.actual_difficulty * (1 + 1e-11)), job),
        Mismatch.JOB_UNKNOWN: lambda: (share, None),
        Mismatch.JOB_CONTENT: lambda: (share, replace(job, version=job.version ^ 1)),
        Mismatch.MERKLE_ROOT: lambda: (replace(share, extranonce2=bytes(8)), job),
        Mismatch.PREVHASH: lambda: (genuine_share(generator, job, prevhash=bytes(32)), job),
        Mismatch.NBITS: lambda: (genuine_share(generator, job, nbits=job.nbits + 1), job),
        Mismatch.NTIME: lambda: (genuine_share(generator, job, ntime=job.ntime - 1), job),
    }
    made: tuple[Share, JobRecord | None] = forgeries[kind]()
    return made


@pytest.mark.parametrize("kind", [kind for kind in Mismatch if kind is not Mismatch.REPEATED_HEADER])
def test_each_forgery_is_named(generator: random.Random, kind: Mismatch) -> None:
    assert proof(*forged(generator, kind)).mismatches() == (kind,)


def test_an_ntime_too_far_ahead(generator: random.Random) -> None:
    job = genuine_job(generator)
    at = {"ts_ms": job.ntime * 1000 + 5999}
    last = genuine_share(generator, job, ntime=job.ntime + 5 + 7200, **at)
    assert proof(last, job).mismatches() == ()
    assert proof(genuine_share(generator, job, ntime=job.ntime + 6 + 7200, **at), job).mismatches() == (Mismatch.NTIME,)


def test_what_a_refused_share_need_not_meet(generator: random.Random) -> None:
    job = genuine_job(generator)
    refused = {"accepted": False, "reason": "low_difficulty", "ntime": job.ntime - 1, "pool_difficulty": 2.0**60}
    assert proof(genuine_share(generator, job, **refused), job).mismatches() == ()
    unread = make_share(generator, accepted=False, header=NO_HEADER, job=NO_JOB, actual_difficulty=0.0)
    assert proof(unread, None).mismatches() == ()
    assert proof(unread, None).block_hash == ""


def test_another_jobs_share(generator: random.Random) -> None:
    job = genuine_job(generator)
    other = keyed(replace(job, coinbase2=job.coinbase2[:-4] + b"\1\0\0\0"))
    share = replace(genuine_share(generator, job), job=other.job)
    assert proof(share, other).mismatches() == (Mismatch.MERKLE_ROOT,)


def test_every_mismatch_has_its_meaning() -> None:
    assert set(MEANINGS) == set(Mismatch)
