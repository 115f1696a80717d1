"""Rows for the store's tests: realistic, and different from each other."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

from services.warehouse.records import BlockCandidate, FoundBlock, JobRecord, Share

if TYPE_CHECKING:
    import random

MAX_TARGET = 0xFFFF << 208


def display_hash(header: bytes) -> str:
    return sha256(sha256(header).digest()).digest()[::-1].hex()


def make_job(generator: random.Random, **changes: Any) -> JobRecord:
    fields: dict[str, Any] = {
        "job": generator.randbytes(16),
        "pool_label": "normal",
        "pool": "pool.example:3333",
        "prevhash": generator.randbytes(32),
        "coinbase1": generator.randbytes(90),
        "coinbase2": generator.randbytes(120),
        "merkle_branch": tuple(generator.randbytes(32) for _ in range(generator.randrange(13))),
        "version": 0x20000000,
        "nbits": 0x17034219,
        "ntime": 1_789_000_000,
        "sent_ms": 1_789_000_000_000,
    }
    return JobRecord(**(fields | changes))


def make_share(generator: random.Random, **changes: Any) -> Share:
    header = generator.randbytes(80)
    accepted = changes.get("accepted", generator.random() < 0.9)
    difficulty = float(2 ** generator.randrange(-4, 16))
    fields: dict[str, Any] = {
        "ts_ms": 1_789_000_000_000 + generator.randrange(3_600_000),
        "proxy": "proxy-1",
        "pool_label": generator.choice(("normal", "high_diff")),
        "pool": "pool.example:3333",
        "miner": f"10.0.0.{generator.randrange(5)}:4000{generator.randrange(3)}",
        "worker": f"account.rig{generator.randrange(7)}",
        "accepted": accepted,
        "reason": "" if accepted else generator.choice(("stale", "low_difficulty", "pool_stale")),
        "pool_difficulty": difficulty,
        "pool_requested_difficulty": difficulty / 2,
        "actual_difficulty": MAX_TARGET / int.from_bytes(sha256(sha256(header).digest()).digest(), "little"),
        "job": generator.randbytes(16),
        "job_id": f"{generator.randrange(1 << 16):x}",
        "extranonce1": generator.randbytes(4),
        "extranonce2": generator.randbytes(8),
        "header": header,
    }
    return Share(**(fields | changes))


def make_found_block(generator: random.Random, **changes: Any) -> FoundBlock:
    header = generator.randbytes(80)
    fields: dict[str, Any] = {
        "ts_ms": 1_789_000_000_000,
        "chain": "BTC",
        "height": generator.randrange(1_000_000),
        "nonce": generator.randrange(1 << 32),
        "hash": display_hash(header),
        "header": header,
        "worker": "account.rig1",
        "pool": "pool.example:3333",
    }
    return FoundBlock(**(fields | changes))


def make_block_candidate(generator: random.Random, **changes: Any) -> BlockCandidate:
    fields: dict[str, Any] = {
        "ts_ms": 1_789_000_000_000,
        "updated_ms": 1_789_000_000_000,
        "proxy": "proxy-1",
        "pool_label": "normal",
        "pool": "pool.example:3333",
        "miner": "10.0.0.1:40001",
        "worker": "account.rig1",
        "height": generator.randrange(1_000_000),
        "actual_difficulty": 2.0**70,
        "network_difficulty": 2.0**69,
        "forwarded": True,
        "refusal": "",
        "pool_verdict": "",
        "job": generator.randbytes(16),
        "job_id": "a1",
        "extranonce1": generator.randbytes(4),
        "extranonce2": generator.randbytes(8),
        "header": generator.randbytes(80),
    }
    return BlockCandidate(**(fields | changes))
