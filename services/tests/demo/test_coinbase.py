from __future__ import annotations

import struct
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.demo.coinbase import build_coinbase, height_push, subsidy_satoshi


@dataclass
class Transaction:
    version: int
    script: bytes
    outputs: list[tuple[int, bytes]]


def parse_coinbase(raw: bytes) -> Transaction:
    """Reads a transaction without witness as a node would; all counts here are below 253."""
    (version,) = struct.unpack_from("<i", raw)
    assert raw[4] == 1, "one input"
    assert raw[5:41] == bytes(32) + b"\xff" * 4, "that spends nothing"
    size = raw[41]
    script = raw[42 : 42 + size]
    at = 42 + size
    assert raw[at : at + 4] == b"\xff" * 4, "sequence"
    count, at = raw[at + 4], at + 5
    outputs = []
    for _ in range(count):
        (value,) = struct.unpack_from("<Q", raw, at)
        length = raw[at + 8]
        outputs.append((value, raw[at + 9 : at + 9 + length]))
        at += 9 + length
    assert raw[at:] == bytes(4), "lock time, and nothing after it"
    return Transaction(version, script, outputs)


@pytest.mark.parametrize(
    ("height", "push"),
    [
        (1, "51"),
        (16, "60"),
        (17, "0111"),
        (127, "017f"),
        (128, "028000"),
        (32767, "02ff7f"),
        (32768, "03008000"),
        (227835, "03fb7903"),
        (900_000, "03a0bb0d"),
    ],
)
def test_heights_as_scripts_push_them(height: int, push: str) -> None:
    assert height_push(height).hex() == push


@pytest.mark.parametrize("height", [0, -1, 2**31])
def test_impossible_heights(height: int) -> None:
    with pytest.raises(ValueError, match="height"):
        height_push(height)


@given(height=st.integers(1, 2**31 - 1), tag=st.binary(min_size=8, max_size=8), extranonce=st.integers(4, 20))
def test_a_coinbase_is_a_valid_transaction(height: int, tag: bytes, extranonce: int) -> None:
    halves = build_coinbase(height, tag, extranonce, bytes(range(32)))
    transaction = parse_coinbase(halves.coinbase1 + b"\xee" * extranonce + halves.coinbase2)
    assert transaction.version == 2
    assert transaction.script.startswith(height_push(height))
    assert b"\xee" * extranonce in transaction.script
    assert 2 <= len(transaction.script) <= 100
    (reward, script), (nothing, commitment) = transaction.outputs
    assert reward == subsidy_satoshi(height)
    assert (script[:2], len(script)) == (b"\x00\x14", 22)
    assert (nothing, commitment) == (0, bytes.fromhex("6a24aa21a9ed") + bytes(range(32)))


def test_the_subsidy_halves() -> None:
    assert [subsidy_satoshi(height) for height in (1, 209_999, 210_000, 840_000, 210_000 * 64)] == [
        5_000_000_000,
        5_000_000_000,
        2_500_000_000,
        312_500_000,
        0,
    ]


def test_a_script_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="100 bytes"):
        build_coinbase(900_000, bytes(60), 20, bytes(32))
