from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from services.tests.warehouse.rows import (
    display_hash,
    make_block_candidate,
    make_found_block,
    make_job,
    make_share,
)
from services.warehouse.client import Connection
from services.warehouse.delivery import INSERT_SETTINGS
from services.warehouse.records import NO_HEADER, NO_JOB, BlockCandidate, FoundBlock, JobRecord, Share
from services.warehouse.rowbinary import COLUMNS, RowEncoder, RowReader, Stream, length_prefix

if TYPE_CHECKING:
    import random

    from clickhouse_connect.driver.asyncclient import AsyncClient

    from services.warehouse.address import ClickHouseAddress

# A lone surrogate has no UTF-8; a test of its own covers it.
TEXT = st.text(st.characters(codec="utf-8"), max_size=300)
DIFFICULTY = st.floats(min_value=0, allow_nan=False)
TIME_MS = st.integers(0, 4_000_000_000_000)

SHARES = st.builds(
    Share,
    ts_ms=TIME_MS,
    proxy=TEXT,
    pool_label=TEXT,
    pool=TEXT,
    miner=TEXT,
    worker=TEXT,
    accepted=st.booleans(),
    reason=TEXT,
    pool_difficulty=DIFFICULTY,
    pool_requested_difficulty=DIFFICULTY,
    actual_difficulty=DIFFICULTY,
    job=st.binary(min_size=16, max_size=16),
    job_id=TEXT,
    extranonce1=st.binary(max_size=200),
    extranonce2=st.binary(max_size=200),
    header=st.binary(min_size=80, max_size=80),
)
JOBS = st.builds(
    JobRecord,
    job=st.binary(min_size=16, max_size=16),
    pool_label=TEXT,
    pool=TEXT,
    prevhash=st.binary(min_size=32, max_size=32),
    coinbase1=st.binary(max_size=300),
    coinbase2=st.binary(max_size=300),
    merkle_branch=st.lists(st.binary(min_size=32, max_size=32), max_size=20).map(tuple),
    version=st.integers(0, 2**32 - 1),
    nbits=st.integers(0, 2**32 - 1),
    ntime=st.integers(0, 2**32 - 1),
    sent_ms=TIME_MS,
)


async def insert(client: AsyncClient, stream: Stream, body: bytes) -> None:
    await client.raw_insert(
        stream.value, column_names=COLUMNS[stream], insert_block=body, fmt="RowBinary", settings=INSERT_SETTINGS
    )


async def stored_shares(address: ClickHouseAddress, shares: list[Share], segment: UUID) -> list[dict[str, Any]]:
    encoder = RowEncoder(segment)
    connection = Connection(address)
    try:
        client = await connection.client()
        await insert(client, Stream.SHARES, b"".join(encoder.share(share, seq) for seq, share in enumerate(shares)))
        result = await client.query(
            "SELECT * EXCEPT (ts), toUnixTimestamp64Milli(ts) AS ts_ms, header, block_hash FROM shares"
            " WHERE segment = {segment:UUID} ORDER BY seq",
            parameters={"segment": str(segment)},
            column_formats={"extranonce1": "bytes", "extranonce2": "bytes"},
        )
        return list(result.named_results())
    finally:
        await connection.close()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shares=st.lists(SHARES, min_size=1, max_size=20))
def test_clickhouse_reads_shares_as_they_were(store: ClickHouseAddress, shares: list[Share]) -> None:
    segment = uuid4()
    rows = asyncio.run(stored_shares(store, shares, segment))
    assert len(rows) == len(shares)
    for seq, (row, share) in enumerate(zip(rows, shares, strict=True)):
        assert (row["segment"], row["seq"]) == (segment, seq)
        assert row["verdict"] == ("accepted" if share.accepted else "rejected")
        assert row["block_hash"] == ("" if share.header == NO_HEADER else display_hash(share.header))
        for name in Share.__struct_fields__:
            if name != "accepted":
                assert row[name] == getattr(share, name), name


async def test_a_job_comes_out_once_however_often_it_was_sent(client: AsyncClient, generator: random.Random) -> None:
    encoder = RowEncoder(uuid4())
    job = make_job(generator, sent_ms=1_789_000_005_000)
    again = make_job(
        generator, **{name: getattr(job, name) for name in JobRecord.__struct_fields__ if name != "sent_ms"}
    )
    await insert(client, Stream.JOBS, encoder.job(job))
    await insert(client, Stream.JOBS, encoder.job(again))
    await client.command("OPTIMIZE TABLE jobs FINAL")
    result = await client.query(
        "SELECT *, toUnixTimestamp64Milli(first_sent) AS first_ms, toUnixTimestamp64Milli(last_sent) AS last_ms"
        " FROM jobs",
        column_formats={"coinbase1": "bytes", "coinbase2": "bytes"},
    )
    (row,) = result.named_results()
    assert (row["first_ms"], row["last_ms"]) == (1_789_000_000_000, 1_789_000_005_000)
    for name in JobRecord.__struct_fields__:
        if name != "sent_ms":
            value = row[name]
            assert (tuple(value) if name == "merkle_branch" else value) == getattr(job, name), name


async def test_a_found_block_comes_out_as_it_was(client: AsyncClient, generator: random.Random) -> None:
    block = make_found_block(generator, worker="miner <script>", height=2**40, nonce=2**32 - 1)
    await insert(client, Stream.FOUND_BLOCKS, RowEncoder(uuid4()).found_block(block))
    result = await client.query("SELECT * EXCEPT (ts), toUnixTimestamp64Milli(ts) AS ts_ms FROM found_blocks")
    (row,) = result.named_results()
    assert row == {name: getattr(block, name) for name in FoundBlock.__struct_fields__}


async def test_a_block_candidate_comes_out_as_it_was_with_the_verdict_that_came_later(
    client: AsyncClient, generator: random.Random
) -> None:
    found = make_block_candidate(generator, refusal="stale", height=2**40)
    decided = replace(found, updated_ms=found.updated_ms + 1, pool_verdict="accepted")
    encoder = RowEncoder(uuid4())
    for candidate in (decided, found):
        await insert(client, Stream.BLOCK_CANDIDATES, encoder.block_candidate(candidate))
    result = await client.query(
        "SELECT * EXCEPT (ts, updated), toUnixTimestamp64Milli(ts) AS ts_ms,"
        " toUnixTimestamp64Milli(updated) AS updated_ms, block_hash FROM block_candidates FINAL",
        column_formats={"extranonce1": "bytes", "extranonce2": "bytes"},
    )
    (row,) = result.named_results()
    assert row.pop("block_hash") == display_hash(found.header)
    assert row == {name: getattr(decided, name) for name in BlockCandidate.__struct_fields__}


@given(shares=st.lists(SHARES, max_size=30), jobs=st.lists(JOBS, max_size=3))
def test_rows_are_found_again_in_their_bytes(shares: list[Share], jobs: list[JobRecord]) -> None:
    encoder = RowEncoder(uuid4())
    rows = [(seq, encoder.share(share, seq)) for seq, share in enumerate(shares, 2**33)]
    assert RowReader(b"".join(row for _, row in rows)).shares() == rows
    assert all(encoder.job(job).startswith(job.job) for job in jobs)


def test_a_string_that_has_no_utf8_costs_no_share(generator: random.Random) -> None:
    row = RowEncoder(uuid4()).share(make_share(generator, worker="\ud800"), 1)
    assert b"\x01?" in row


@pytest.mark.parametrize("fault", [{"header": bytes(79)}, {"job": bytes(17)}])
def test_a_wrong_width_is_refused(generator: random.Random, fault: dict[str, bytes]) -> None:
    with pytest.raises(ValueError, match="header of"):
        RowEncoder(uuid4()).share(make_share(generator, **fault), 1)
    with pytest.raises(ValueError, match="header of"):
        RowEncoder(uuid4()).block_candidate(make_block_candidate(generator, **fault))


def test_a_jobs_wrong_width_is_refused(generator: random.Random) -> None:
    with pytest.raises(ValueError, match="not of 32 bytes"):
        RowEncoder(uuid4()).job(make_job(generator, merkle_branch=(bytes(31),)))


@pytest.mark.parametrize(
    ("length", "prefix"), [(0, "00"), (127, "7f"), (128, "8001"), (300, "ac02"), (16384, "808001")]
)
def test_lengths_are_leb128(length: int, prefix: str) -> None:
    assert length_prefix(length).hex() == prefix


def test_no_job_is_sixteen_zero_bytes() -> None:
    assert bytes(16) == NO_JOB
