from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from services.warehouse.sums import sums_by_worker
from services.warehouse.windows import Piece, pieces

if TYPE_CHECKING:
    from clickhouse_connect.driver.asyncclient import AsyncClient

BUCKETS = {"shares": 1, "shares_10m": 600, "shares_1h": 3600, "shares_1d": 86_400}


@given(st.integers(0, 2**31), st.integers(0, 90 * 86_400), st.booleans())
def test_pieces_cover_the_window_once_and_end_on_buckets(start: int, length: int, by_day: bool) -> None:
    at = start
    for piece in pieces(start, start + length, by_day=by_day):
        assert piece.start == at < piece.end
        assert piece.start % BUCKETS[piece.source] == piece.end % BUCKETS[piece.source] == 0
        at = piece.end
    assert at == start + length


@given(st.integers(0, 2**31), st.integers(3_600, 90 * 86_400))
def test_a_long_window_reads_less_than_twenty_minutes_of_raw_shares(start: int, length: int) -> None:
    raw = sum(piece.end - piece.start for piece in pieces(start, start + length) if piece.source == "shares")
    assert raw < 1_200


def test_a_day_ending_within_an_hour() -> None:
    assert pieces(1_795_174_807, 1_795_261_207) == (
        Piece("shares", 1_795_174_807, 1_795_175_400),
        Piece("shares_10m", 1_795_175_400, 1_795_176_000),
        Piece("shares_1h", 1_795_176_000, 1_795_258_800),
        Piece("shares_10m", 1_795_258_800, 1_795_261_200),
        Piece("shares", 1_795_261_200, 1_795_261_207),
    )


def test_thirty_days_are_read_by_the_day_where_the_reader_can() -> None:
    assert pieces(1_795_174_807, 1_797_766_807, by_day=True) == (
        Piece("shares", 1_795_174_807, 1_795_175_400),
        Piece("shares_10m", 1_795_175_400, 1_795_176_000),
        Piece("shares_1h", 1_795_176_000, 1_795_219_200),
        Piece("shares_1d", 1_795_219_200, 1_797_724_800),
        Piece("shares_1h", 1_797_724_800, 1_797_764_400),
        Piece("shares_10m", 1_797_764_400, 1_797_766_800),
        Piece("shares", 1_797_766_800, 1_797_766_807),
    )


async def test_a_window_of_minutes_is_read_without_the_rest_of_its_day(client: AsyncClient) -> None:
    day = 1_789_000_000 // 86_400 * 86_400
    await client.command(
        "INSERT INTO shares (ts, worker, verdict) SELECT"
        " toDateTime64({day:Int64}, 3, 'UTC') + number * 0.4, toString(number % 10), 'accepted' FROM numbers(200000)",
        parameters={"day": day},
    )
    await client.command("OPTIMIZE TABLE shares FINAL")  # parts as they are in the end: one a day
    sql, bound = sums_by_worker([(day + 43_000, day + 43_300)], "")
    answer = await client.query(sql, parameters=bound)
    assert sum(row[1] for row in answer.result_rows) == 750
    plan = await client.query(f"EXPLAIN indexes = 1 {sql}", parameters=bound)
    read = [row[0].strip() for row in plan.result_rows if " | Granules: " in row[0]]
    assert read == ["Parts: 1 | Granules: 1"]
