from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.stratum.difficulty import target_of
from services.stratum.extranonce import divided, filler_size, handed_through
from services.stratum.job import Job
from services.stratum.miner_request import Submit
from services.stratum.reject import StratumError
from services.stratum.seen import MAX_PREVHASHES, SeenHeaders
from services.stratum.share import check_ranges, rebuild
from services.stratum.version import GENERAL_PURPOSE_MASK

JOB = Job(
    "1", bytes(range(32)), b"coinbase1", b"coinbase2", (bytes(32), b"\x01" * 32), 0x20000000, 0x1D00FFFF, 1000, True
)
SUBMIT = Submit("farm.rig", "1", b"abcd", 1000, 7, None)


@given(
    st.binary(max_size=12), st.binary(max_size=6), st.binary(min_size=1, max_size=4), st.binary(min_size=4, max_size=4)
)
def test_the_pool_and_the_miner_see_the_same_coinbase(
    pool_extranonce1: bytes, filler: bytes, miner_extranonce1: bytes, miner_extranonce2: bytes
) -> None:
    layout = divided(pool_extranonce1, filler, miner_extranonce1)
    as_the_miner = JOB.coinbase1 + layout.coinbase1_tail + layout.miner_extranonce1 + miner_extranonce2 + JOB.coinbase2
    as_the_pool = JOB.coinbase1 + pool_extranonce1 + layout.pool_extranonce2(miner_extranonce2) + JOB.coinbase2
    assert as_the_miner == as_the_pool == JOB.coinbase1 + layout.full(miner_extranonce2) + JOB.coinbase2
    size = len(layout.pool_extranonce2(miner_extranonce2))
    assert filler_size(size, miner_extranonce1) == len(filler)


def test_a_pool_that_gives_too_little_is_handed_through() -> None:
    assert filler_size(4, b"\x00\x01") < 0
    layout = handed_through(b"pool", 4)
    assert (layout.miner_extranonce1, layout.miner_extranonce2_size, layout.coinbase1_tail) == (b"pool", 4, b"")
    assert layout.full(b"abcd") == b"poolabcd"


def test_the_header_is_rebuilt_as_the_definition_says() -> None:
    layout = divided(b"pool", b"fill", b"me")
    share = rebuild(JOB, layout, SUBMIT, 0)
    root = b"coinbase1" + b"pool" + b"fill" + b"me" + b"abcd" + b"coinbase2"
    root = sha256(sha256(root).digest()).digest()
    for sibling in JOB.merkle_branch:
        root = sha256(sha256(root + sibling).digest()).digest()
    expected = (0x20000000).to_bytes(4, "little") + JOB.prevhash + root
    expected += (1000).to_bytes(4, "little") + (0x1D00FFFF).to_bytes(4, "little") + (7).to_bytes(4, "little")
    assert share.header == expected
    assert share.hash == sha256(sha256(expected).digest()).digest()
    assert share.meets(target_of(share.actual_difficulty * 0.999))
    assert not share.meets(target_of(share.actual_difficulty * 1.001))


def test_version_bits_count_only_under_the_mask() -> None:
    layout = handed_through(b"", 4)
    rolling = rebuild(JOB, layout, SUBMIT._replace(version_bits=0x00FFE000), GENERAL_PURPOSE_MASK)
    assert rolling.header[:4] == (0x20FFE000).to_bytes(4, "little")
    assert rebuild(JOB, layout, SUBMIT._replace(version_bits=0x00FFE000), 0).header[:4] == b"\0\0\0\x20"
    # Without bits, a job under a mask keeps none of the job's own bits there: what BIP 310 says.
    own = replace(JOB, version=0x20002000)
    assert rebuild(own, layout, SUBMIT, 0).header[:4] == (0x20002000).to_bytes(4, "little")


@pytest.mark.parametrize(
    ("change", "mask", "reason"),
    [
        ({}, 0, None),
        ({"ntime": 999}, 0, "ntime_out_of_range"),
        ({"ntime": 5000 + 7200}, 0, None),
        ({"ntime": 5000 + 7201}, 0, "ntime_out_of_range"),
        ({"version_bits": 0}, 0, None),
        ({"version_bits": 0x2000}, 0, "version_bits"),
        ({"version_bits": 0x2000}, GENERAL_PURPOSE_MASK, None),
        ({"version_bits": 0x40000000}, GENERAL_PURPOSE_MASK, "version_bits"),
    ],
)
def test_ranges(change: dict[str, int], mask: int, reason: str | None) -> None:
    submit = SUBMIT._replace(**change)  # type: ignore[arg-type]
    if reason is None:
        check_ranges(JOB, submit, mask, now_seconds=5000)
        return
    with pytest.raises(StratumError) as refused:
        check_ranges(JOB, submit, mask, now_seconds=5000)
    assert refused.value.reason == reason


def test_extranonce2_of_another_length_is_malformed() -> None:
    with pytest.raises(StratumError, match="extranonce2 is not 4 bytes"):
        rebuild(JOB, divided(b"", b"", b"me"), SUBMIT._replace(extranonce2=b"abc"), 0)


def test_seen_headers() -> None:
    seen = SeenHeaders()
    first, second = bytes(32), b"\x01" * 32
    assert seen.add(first, first)
    assert not seen.add(first, first)
    assert seen.add(second, first)
    assert seen.add(first, second)
    assert len(seen) == 3


def test_a_header_that_nobody_judged_is_seen_all_the_same() -> None:
    seen = SeenHeaders()
    first, second = bytes(32), b"\x01" * 32
    seen.note_unjudged(first, first)
    assert len(seen) == 0
    assert not seen.is_unjudged(first, first)
    seen.add(first, first)
    seen.add(first, second)
    seen.note_unjudged(first, first)
    assert not seen.add(first, first)
    assert [seen.is_unjudged(first, header) for header in (first, second)] == [True, False]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 50)), max_size=200), st.integers(1, 40))
def test_seen_headers_are_bounded(submits: list[tuple[int, int]], limit: int) -> None:
    seen = SeenHeaders(limit)
    for prevhash, block in submits:
        seen.add(bytes([prevhash]) * 32, bytes([block]) * 32)
        assert len(seen) <= limit
        assert not seen.add(bytes([prevhash]) * 32, bytes([block]) * 32)
        assert len(seen._seen) <= MAX_PREVHASHES
        assert len(seen) == sum(map(len, seen._seen.values()))
