from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.stratum.coinbase import Coinbase, CoinbaseError, Output
from services.stratum.payee import payee

# The transaction of Bitcoin's first block.
GENESIS = bytes.fromhex(
    "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff4d04ffff001d0104455468652054696d"
    "65732030332f4a616e2f32303039204368616e63656c6c6f72206f6e206272696e6b206f66207365636f6e64206261696c6f757420666f7220"
    "62616e6b73ffffffff0100f2052a01000000434104678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61deb649f6bc3f"
    "4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5fac00000000"
)


def test_the_first_coinbase() -> None:
    parsed = Coinbase.parse(GENESIS)
    assert parsed.version == 1
    assert b"Chancellor on brink of second bailout" in parsed.input_script
    assert (parsed.sequence, parsed.lock_time) == (0xFFFFFFFF, 0)
    (output,) = parsed.outputs
    assert output.satoshi == 50 * 100_000_000
    assert (len(output.script), output.payee) == (67, "")


def test_sizes_beyond_a_byte() -> None:
    script = bytes(300)
    output = (7).to_bytes(8, "little") + b"\xfd" + (300).to_bytes(2, "little") + script
    many = b"\xfd" + (260).to_bytes(2, "little") + output * 260
    parsed = Coinbase.parse(b"\2\0\0\0\1" + bytes(36) + b"\0" + b"\xff" * 4 + many + bytes(4))
    assert parsed.outputs == (Output(7, script),) * 260


@given(cut=st.integers(0, len(GENESIS) - 1))
def test_a_cut_transaction_is_refused(cut: int) -> None:
    with pytest.raises(CoinbaseError):
        Coinbase.parse(GENESIS[:cut])


@given(data=st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        Coinbase.parse(data)
    except CoinbaseError:
        return


@pytest.mark.parametrize("transaction", [GENESIS + b"\0", GENESIS[:4] + b"\2" + GENESIS[5:]])
def test_what_is_no_coinbase_is_refused(transaction: bytes) -> None:
    with pytest.raises(CoinbaseError):
        Coinbase.parse(transaction)


# From BIP 173 and BIP 350, and two well-known addresses.
@pytest.mark.parametrize(
    ("script", "address"),
    [
        ("0014751e76e8199196d454941c45d1b3a323f1433bd6", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"),
        ("5210751e76e8199196d454941c45d1b3a323", "bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs"),
        ("6002751e", "bc1sw50qgdz25j"),
        (
            "512079be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
            "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
        ),
        ("76a914751e76e8199196d454941c45d1b3a323f1433bd688ac", "1BgGZ9tcN4rm9KBzDn7KprQz87SZ26SAMH"),
        ("a914b472a266d0bd89c13706a4132ccfb16f7c3b9fcb87", "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy"),
        ("6a24aa21a9ed" + "00" * 32, "OP_RETURN"),
        ("0010751e76e8199196d454941c45d1b3a323", ""),
        ("51", ""),
        ("", ""),
    ],
)
def test_addresses(script: str, address: str) -> None:
    assert payee(bytes.fromhex(script)) == address
