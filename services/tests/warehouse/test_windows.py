from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.warehouse.windows import Piece, pieces

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
