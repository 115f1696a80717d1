from __future__ import annotations

import struct

import pytest

from services.stratum.difficulty import actual_difficulty, bits_to_target, difficulty_of, hash_value
from services.stratum.header import display, merkle_root, pack_header, sha256d
from services.stratum.version import GENERAL_PURPOSE_MASK, parse_mask, rolled
from services.tests.stratum.blocks import BLOCK_840000, REAL_BLOCKS, RealBlock


@pytest.mark.parametrize("block", REAL_BLOCKS, ids=lambda block: str(block.height))
def test_real_blocks_hash_and_rate_as_the_chain_says(block: RealBlock) -> None:
    block_hash = sha256d(block.header)
    assert display(block_hash) == block.hash
    target = bits_to_target(block.header[72:76][::-1])
    assert hash_value(block_hash) <= target
    assert difficulty_of(target) == pytest.approx(block.network_difficulty, rel=1e-9)
    assert actual_difficulty(block_hash) == pytest.approx((0xFFFF << 208) / int(block.hash, 16), rel=1e-15)


@pytest.mark.parametrize("block", REAL_BLOCKS, ids=lambda block: str(block.height))
def test_pack_header_is_the_chains_serialisation(block: RealBlock) -> None:
    version, prevhash, root, ntime, nbits, nonce = struct.unpack("<I32s32sIII", block.header)
    packed = pack_header(version=version, prevhash=prevhash, merkle_root=root, ntime=ntime, nbits=nbits, nonce=nonce)
    assert packed == block.header


def test_the_version_of_a_rolled_block_comes_back() -> None:
    version = int.from_bytes(BLOCK_840000.header[:4], "little")
    assert version & GENERAL_PURPOSE_MASK
    job_version = version & ~GENERAL_PURPOSE_MASK
    assert rolled(job_version, GENERAL_PURPOSE_MASK, version) == version
    assert rolled(job_version, 0, 0xFFFFFFFF) == job_version


def test_merkle_root_without_branch_is_the_coinbase_id() -> None:
    # The genesis block's only transaction.
    coinbase = bytes.fromhex(
        "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff4d04ffff001d0104455468652054"
        "696d65732030332f4a616e2f32303039204368616e63656c6c6f72206f6e206272696e6b206f66207365636f6e64206261696c6f757420"
        "666f722062616e6b73ffffffff0100f2052a01000000434104678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61"
        "deb649f6bc3f4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5fac00000000"
    )
    assert display(merkle_root(coinbase, ())) == "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b"


@pytest.mark.parametrize(
    ("text", "mask"),
    [("1fffe000", 0x1FFFE000), ("FFFF", 0xFFFF), ("", 7), (None, 7), ("xyz", 7), ("1ffffe0000", 7), (5, 7)],
)
def test_masks_are_read_leniently(text: object, mask: int) -> None:
    assert parse_mask(text, default=7) == mask
