"""Exports against the shares that were kept; Parquet is read back by the engine itself."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

from services.tests.warehouse.rows import display_hash, make_share
from services.tests.warehouse.test_rowbinary import insert
from services.warehouse import share_export
from services.warehouse.parquet_parts import ParquetError, ParquetParts
from services.warehouse.rowbinary import RowEncoder, Stream
from services.warehouse.share_export import EXPORT_COLUMNS, SLICE_ROWS, ExportFormat, ShareExport, Slice, slices
from services.warehouse.share_id import ShareId
from services.warehouse.share_query import ShareQuery

if TYPE_CHECKING:
    import random

    from clickhouse_connect.driver.asyncclient import AsyncClient

    from services.warehouse.address import ClickHouseAddress
    from services.warehouse.records import Share


NOW = 1_789_000_000
HOSTILE = 'quote " comma , newline \n <script>alert(1)</script> ü'
QUERY = ShareQuery(NOW - 7200, NOW, verdict="accepted")
SEGMENT = UUID(int=77)


@pytest.fixture
async def shares(client: AsyncClient, generator: random.Random) -> list[Share]:
    """3,000 shares in two and a half hours, a third of them in one second."""
    moments = [NOW * 1000 - generator.randrange(9_000_000) for _ in range(2000)]
    moments += [NOW * 1000 - 4_000_000 + generator.randrange(1000) for _ in range(1000)]
    made = [
        make_share(generator, ts_ms=ts_ms, worker=HOSTILE if number % 9 == 0 else f"rig{number % 5}")
        for number, ts_ms in enumerate(moments)
    ]
    encoder = RowEncoder(SEGMENT)
    await insert(client, Stream.SHARES, b"".join(encoder.share(share, seq) for seq, share in enumerate(made)))
    return made


@pytest.fixture
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if far more shares were there: slices of 100, and none above 200 rows."""
    monkeypatch.setattr(share_export, "SLICE_ROWS", 100)
    monkeypatch.setattr(share_export, "_MOST_ROWS", 200)
    monkeypatch.setitem(share_export._SETTINGS, "max_result_rows", 200)


def expected(shares: list[Share]) -> list[dict[str, Any]]:
    chosen = [
        (share.ts_ms, seq, share)
        for seq, share in enumerate(shares)
        if share.accepted and QUERY.start * 1000 <= share.ts_ms < QUERY.end * 1000
    ]
    return [
        {
            "id": f"{SEGMENT}-{seq}",
            "worker": share.worker,
            "pool": share.pool_label,
            "verdict": "accepted",
            "credited_difficulty": share.pool_difficulty,
            "actual_difficulty": share.actual_difficulty,
            "block_hash": display_hash(share.header),
            "header": share.header.hex(),
        }
        for _, seq, share in sorted(chosen, key=lambda one: one[:2])
    ]


async def exported(store: ClickHouseAddress, form: ExportFormat, query: ShareQuery = QUERY) -> bytes:
    export = ShareExport(store, query, form)
    total = await export.count()
    blocks = [block async for block in export.blocks()]
    assert export.rows_done == total
    return b"".join(blocks)


def same(found: list[dict[str, Any]], shares: list[Share]) -> None:
    wanted = expected(shares)
    assert len(found) == len(wanted) > 1500
    for row, share in zip(found, wanted, strict=True):
        assert {name: row[name] for name in share} == share


@pytest.mark.usefixtures("small_slices")
async def test_csv(store: ClickHouseAddress, shares: list[Share]) -> None:
    text = (await exported(store, "csv")).decode()
    rows: list[dict[str, Any]] = list(csv.DictReader(io.StringIO(text, newline="")))
    assert list(rows[0]) == list(EXPORT_COLUMNS)
    for row in rows:
        row |= {name: float(row[name]) for name in ("credited_difficulty", "actual_difficulty", "luck")}
    same(rows, shares)
    assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)


@pytest.mark.usefixtures("small_slices")
async def test_json(store: ClickHouseAddress, shares: list[Share]) -> None:
    rows = json.loads(await exported(store, "json"))
    same(rows, shares)
    assert rows[0]["time"].endswith("Z")


@pytest.mark.usefixtures("small_slices")
async def test_parquet(store: ClickHouseAddress, client: AsyncClient, shares: list[Share]) -> None:
    data = await exported(store, "parquet")
    kinds = {"time": "DateTime64(3, 'UTC')", "actual_difficulty": "Float64", "credited_difficulty": "Float64"}
    kinds |= {"pool_requested_difficulty": "Float64", "luck": "Float64"}
    columns = ", ".join(f"{name} {kinds.get(name, 'String')}" for name in EXPORT_COLUMNS)
    await client.command(f"CREATE TABLE read_back ({columns}) ENGINE = Memory")
    await client.raw_insert("read_back", insert_block=data, fmt="Parquet")
    found = await client.query("SELECT * FROM read_back")
    rows = [dict(zip(found.column_names, row, strict=True)) for row in found.result_rows]
    rows.sort(key=lambda row: (row["time"], ShareId.parse(row["id"]).seq))
    same(rows, shares)


@pytest.mark.parametrize(("form", "text"), [("csv", None), ("json", b"[\n]\n")])
async def test_nothing_is_a_file_too(store: ClickHouseAddress, form: ExportFormat, text: bytes | None) -> None:
    found = await exported(store, form, ShareQuery(NOW, NOW + 60))
    assert found == (text or ",".join(f'"{name}"' for name in EXPORT_COLUMNS).encode() + b"\n")


async def test_nothing_is_a_parquet_file_too(store: ClickHouseAddress, client: AsyncClient) -> None:
    data = await exported(store, "parquet", ShareQuery(NOW, NOW + 60))
    await client.command("CREATE TABLE read_back (worker String) ENGINE = Memory")
    await client.raw_insert("read_back", insert_block=data, fmt="Parquet")
    assert (await client.query("SELECT count() FROM read_back")).result_rows == [(0,)]


def test_slices_cover_the_period_and_hold_about_as_many() -> None:
    start = NOW // 600 * 600 + 17
    buckets = [(start // 600 * 600 + 600 * n, count) for n, count in ((0, 5), (1, 49_999), (2, 700_001), (9, 60_000))]
    made = list(slices(start, start + 7000, buckets))
    assert made[0].start_ms == start * 1000
    assert made[-1].end_ms == (start + 7000) * 1000
    assert [one.end_ms for one in made[:-1]] == [one.start_ms for one in made[1:]]
    assert sum(one.rows for one in made) == sum(count for _, count in buckets)
    assert max(one.rows for one in made) <= 2 * SLICE_ROWS
    assert list(slices(5, 9, [])) == [Slice(5000, 9000, 0)]


async def test_what_is_no_parquet_is_refused(client: AsyncClient) -> None:
    parts = ParquetParts()
    for wrong in (
        b"",
        b"PAR1",
        b"PAR1" + bytes(20),
        b"PAR1\xff\xff\xff\xff\x04\0\0\0PAR1",
        b"PAR1\xff\xff\xff\x7fPAR1",
    ):
        with pytest.raises(ParquetError):
            parts.add(wrong)
    with pytest.raises(ParquetError, match="no part"):
        parts.end()
    parts.add(await client.raw_query("SELECT 1 AS a", fmt="Parquet"))
    with pytest.raises(ParquetError, match="other columns"):
        parts.add(await client.raw_query("SELECT 1 AS b", fmt="Parquet"))


async def test_a_file_whose_footer_lies_is_not_read(client: AsyncClient) -> None:
    """What the joined footer says is believed by readers, so the test above does prove that it is right."""
    parts = ParquetParts()
    await client.command("CREATE TABLE read_back (a UInt64) ENGINE = Memory")
    pieces = [await client.raw_query(f"SELECT number AS a FROM numbers({n}, 1000)", fmt="Parquet") for n in (0, 1000)]
    data = b"".join(parts.add(piece) for piece in pieces)
    parts._sent += 1
    parts.add(pieces[0])
    with pytest.raises(ClickHouseError):
        await client.raw_insert("read_back", insert_block=data + parts.end(), fmt="Parquet")
