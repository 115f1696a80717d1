"""Headers of real Bitcoin blocks, with what the chain says of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RealBlock:
    height: int
    header: bytes
    hash: str
    network_difficulty: float


GENESIS = RealBlock(
    0,
    bytes.fromhex(
        "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e67768f61"
        "7fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c"
    ),
    "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f",
    1.0,
)
BLOCK_125552 = RealBlock(
    125552,
    bytes.fromhex(
        "0100000081cd02ab7e569e8bcd9317e2fe99f2de44d49ab2b8851ba4a308000000000000e320b6c2fffc8d750423db8b1eb942ae"
        "710e951ed797f7affc8892b0f1fc122bc7f5d74df2b9441a42a14695"
    ),
    "00000000000000001e8d6829a8a21adc5d38d0a473b144b6765798e61f98bd1d",
    244112.48777434,
)
# Its version, 0x2a5fe000, was rolled: bits under the mask 0x1fffe000 are set.
BLOCK_840000 = RealBlock(
    840000,
    bytes.fromhex(
        "00e05f2aab948491071265ad552351d0ad625745668da54b0172010000000000000000004f89a5d73bd4d4887f25981fe81892cc"
        "afda10c27f52d6f3dd28183a7c411b03b7072366194203177d9863ea"
    ),
    "0000000000000000000320283a032748cef8227873ff4872689bf23f1cda83a5",
    86388558925171.02,
)
REAL_BLOCKS = (GENESIS, BLOCK_125552, BLOCK_840000)
