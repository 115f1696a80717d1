from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.stratum.extranonce import divided, filler, fresh, handed_through, kept

POOL = b"\xaa\xbb\xcc\xdd"


def test_a_roomy_pool_is_divided_with_the_upstreams_number_as_filler() -> None:
    layout = fresh(POOL, 8, 0x010203, b"\x12\x34")

    assert layout.miner_extranonce1 == b"\x12\x34"
    assert layout.miner_extranonce2_size == 4
    assert layout.coinbase1_tail == POOL + b"\x02\x03"
    assert layout.pool_extranonce2(b"wxyz") == b"\x02\x03\x12\x34wxyz"


def test_a_pool_with_exactly_enough_has_no_filler() -> None:
    assert fresh(POOL, 6, 77, b"\x12\x34") == divided(POOL, b"", b"\x12\x34")


def test_a_pool_with_too_little_is_handed_through() -> None:
    assert fresh(POOL, 4, 77, b"\x12\x34") == handed_through(POOL, 4)


def test_the_miner_keeps_what_it_was_shown_on_another_pool_with_room() -> None:
    shown = fresh(POOL, 8, 1, b"\x12\x34")

    assert kept(b"\x01", 7, 5, shown) == divided(b"\x01", b"\x05", b"\x12\x34")


def test_an_extranonce_that_was_handed_through_fits_into_a_larger_one() -> None:
    shown = handed_through(b"\x01\x02", 4)

    assert kept(POOL, 8, 0x0506, shown) == divided(POOL, b"\x05\x06", b"\x01\x02", 4)
    assert kept(b"\x01\x02", 4, 9, shown) == shown


def test_a_pool_that_gives_too_little_does_not_fit() -> None:
    assert kept(b"\x09\x09", 4, 9, handed_through(b"\x01\x02", 4)) is None
    assert kept(POOL, 5, 9, fresh(POOL, 8, 1, b"\x12\x34")) is None


@given(st.binary(max_size=32), st.integers(1, 16), st.integers(0, 2**64), st.binary(min_size=2, max_size=2))
def test_the_pool_finds_its_own_sizes_in_every_layout(en1: bytes, size: int, unique: int, own: bytes) -> None:
    layout = fresh(en1, size, unique, own)
    miner_extranonce2 = bytes(layout.miner_extranonce2_size)

    assert layout.pool_extranonce1 == en1
    assert len(layout.pool_extranonce2(miner_extranonce2)) == size
    seen_by_miner = layout.coinbase1_tail + layout.miner_extranonce1 + miner_extranonce2
    assert seen_by_miner == layout.full(miner_extranonce2) == en1 + layout.pool_extranonce2(miner_extranonce2)


@given(st.integers(0, 2**80), st.integers(0, 10))
def test_a_filler_has_the_size_asked_for(unique: int, size: int) -> None:
    assert len(filler(unique, size)) == size
