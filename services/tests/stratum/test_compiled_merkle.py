from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.stratum import header
from services.stratum.compiled_merkle import compiled_merkle_root, is_supported
from services.stratum.header import plain_merkle_root

hashes = st.binary(min_size=32, max_size=32)
# Where the CPU lacks the instructions there is nothing to compare; its own kind of machine runs the plain twin alone.
compiled = compiled_merkle_root() if is_supported() else plain_merkle_root


@given(coinbase=st.binary(max_size=400), branch=st.lists(hashes, max_size=14).map(tuple))
def test_the_compiled_root_is_the_plain_one(coinbase: bytes, branch: tuple[bytes, ...]) -> None:
    assert compiled(coinbase, branch) == plain_merkle_root(coinbase, branch)


def test_every_length_of_padding() -> None:
    branch = (bytes(range(32)),)
    for size in range(200):
        coinbase = bytes(range(size % 256)) + b"\xff" * (size - size % 256)
        assert compiled(coinbase, branch) == plain_merkle_root(coinbase, branch)


def test_a_root_once_given_does_not_change() -> None:
    first = compiled(b"first", ())
    assert compiled(b"second", ()) != first
    assert first == plain_merkle_root(b"first", ())


def test_it_is_used_where_it_can_be() -> None:
    assert header.compile_merkle_root() is is_supported()
    assert header.merkle_root(b"coinbase", ()) == plain_merkle_root(b"coinbase", ())
