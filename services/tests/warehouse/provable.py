"""Shares that prove themselves, as an honest proxy stores them, and the job that they were made for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from services.demo.coinbase import build_coinbase
from services.stratum.difficulty import actual_difficulty
from services.stratum.header import merkle_root, pack_header, sha256d
from services.stratum.job import Job
from services.tests.warehouse.rows import make_job, make_share

if TYPE_CHECKING:
    import random

    from services.warehouse.records import JobRecord, Share

EXTRANONCE1_BYTES, EXTRANONCE2_BYTES = 4, 8


def genuine_job(generator: random.Random, **changes: Any) -> JobRecord:
    """A job whose key is that of its content."""
    coinbase = build_coinbase(
        generator.randrange(800_000, 900_000),
        generator.randbytes(8),
        EXTRANONCE1_BYTES + EXTRANONCE2_BYTES,
        generator.randbytes(32),
    )
    return keyed(make_job(generator, coinbase1=coinbase.coinbase1, coinbase2=coinbase.coinbase2, **changes))


def keyed(job: JobRecord) -> JobRecord:
    """The job with the key that its content gives."""
    content = (job.prevhash, job.coinbase1, job.coinbase2, job.merkle_branch, job.version, job.nbits, job.ntime)
    return replace(job, job=Job("", *content, clean_jobs=False).content_key())


def genuine_share(generator: random.Random, job: JobRecord, **changes: Any) -> Share:
    """An accepted share of the job, a few seconds after it was sent; `header` may be given in its fields."""
    extranonce1, extranonce2 = generator.randbytes(EXTRANONCE1_BYTES), generator.randbytes(EXTRANONCE2_BYTES)
    seconds = generator.randrange(60)
    coinbase = job.coinbase1 + extranonce1 + extranonce2 + job.coinbase2
    fields: dict[str, Any] = {
        "version": job.version | generator.randrange(1 << 16) << 13,
        "prevhash": job.prevhash,
        "merkle_root": merkle_root(coinbase, job.merkle_branch),
        "ntime": job.ntime + generator.randrange(seconds + 1),
        "nbits": job.nbits,
        "nonce": generator.randrange(1 << 32),
    }
    header = pack_header(**{name: changes.pop(name, value) for name, value in fields.items()})
    actual = actual_difficulty(sha256d(header))
    chosen: dict[str, Any] = {
        "ts_ms": job.ntime * 1000 + seconds * 1000 + generator.randrange(1000),
        "accepted": True,
        "header": header,
        "actual_difficulty": actual,
        "pool_difficulty": actual * generator.uniform(0.01, 1),
        "job": job.job,
        "extranonce1": extranonce1,
        "extranonce2": extranonce2,
    }
    return make_share(generator, **(chosen | changes))
