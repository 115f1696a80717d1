"""Rows in ClickHouse's RowBinary: encoded once, when they are spooled, and posted later as they are.

The order of columns is this module's own, fixed-width ones first so that one struct.pack makes them; the INSERT names
them (COLUMNS). Format: https://clickhouse.com/docs/interfaces/formats/RowBinary (integers and floats little-endian,
strings with a LEB128 length in front, a UUID as two little-endian 64-bit halves).
"""

from __future__ import annotations

from enum import Enum
from struct import Struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from uuid import UUID

    from services.warehouse.records import BlockCandidate, FoundBlock, JobRecord, Share


class Stream(Enum):
    """A kind of row, by the name of its table."""

    JOBS = "jobs"
    SHARES = "shares"
    FOUND_BLOCKS = "found_blocks"
    BLOCK_CANDIDATES = "block_candidates"


COLUMNS: Final[dict[Stream, tuple[str, ...]]] = {
    Stream.SHARES: (
        "ts",
        "segment",
        "seq",
        "verdict",
        "pool_difficulty",
        "pool_requested_difficulty",
        "actual_difficulty",
        "job",
        # The header's fields: their RowBinary, one after the other, is the header byte for byte.
        "version",
        "prevhash",
        "merkle_root",
        "ntime",
        "nbits",
        "nonce",
        "proxy",
        "pool_label",
        "pool",
        "miner",
        "worker",
        "reason",
        "job_id",
        "extranonce1",
        "extranonce2",
    ),
    Stream.JOBS: (
        "job",
        "prevhash",
        "version",
        "nbits",
        "ntime",
        "first_sent",
        "last_sent",
        "pool_label",
        "pool",
        "coinbase1",
        "coinbase2",
        "merkle_branch",
    ),
    Stream.FOUND_BLOCKS: ("ts", "height", "nonce", "header", "chain", "hash", "worker", "pool"),
    Stream.BLOCK_CANDIDATES: (
        "ts",
        "updated",
        "height",
        "actual_difficulty",
        "network_difficulty",
        "forwarded",
        "job",
        "header",
        "proxy",
        "pool_label",
        "pool",
        "miner",
        "worker",
        "refusal",
        "pool_verdict",
        "job_id",
        "extranonce1",
        "extranonce2",
    ),
}

_SHARE = Struct("<q16sQbddd16s80s")
_JOB = Struct("<16s32sIIIqq")
_FOUND_BLOCK = Struct("<qQQ80s")
_BLOCK_CANDIDATE = Struct("<qqQdd?16s80s")
_ACCEPTED, _REJECTED = 1, 2
_CACHED_STRINGS = 50_000


def uuid_bytes(value: UUID) -> bytes:
    """A UUID as RowBinary writes it."""
    raw = value.bytes
    return raw[7::-1] + raw[:7:-1]


def length_prefix(length: int) -> bytes:
    """LEB128 of a length."""
    if length < 0x80:
        return bytes((length,))
    out = bytearray()
    while length >= 0x80:
        out.append(length & 0x7F | 0x80)
        length >>= 7
    out.append(length)
    return bytes(out)


def encode_bytes(value: bytes) -> bytes:
    return length_prefix(len(value)) + value


class RowEncoder:
    """Encodes rows of one segment. Strings that repeat from share to share (worker, pool, ...) are encoded once."""

    def __init__(self, segment: UUID) -> None:
        self._segment = uuid_bytes(segment)
        self._strings: dict[str, bytes] = {}
        self._contexts: dict[tuple[str, ...], bytes] = {}

    def share(self, share: Share, seq: int) -> bytes:
        """One row of `shares`. Raises ValueError if a fixed-width field has another width."""
        if len(share.header) != 80 or len(share.job) != 16:
            raise ValueError(f"share with a header of {len(share.header)} and a job of {len(share.job)} bytes")
        return b"".join(
            (
                _SHARE.pack(
                    share.ts_ms,
                    self._segment,
                    seq,
                    _ACCEPTED if share.accepted else _REJECTED,
                    share.pool_difficulty,
                    share.pool_requested_difficulty,
                    share.actual_difficulty,
                    share.job,
                    share.header,
                ),
                self._context(share.proxy, share.pool_label, share.pool, share.miner, share.worker, share.reason),
                self._string(share.job_id),
                encode_bytes(share.extranonce1),
                encode_bytes(share.extranonce2),
            )
        )

    def job(self, job: JobRecord) -> bytes:
        """One row of `jobs`. Raises ValueError if a fixed-width field has another width."""
        if len(job.job) != 16 or len(job.prevhash) != 32 or any(len(node) != 32 for node in job.merkle_branch):
            raise ValueError(
                "job whose key is not 16 bytes, or whose prevhash or merkle branch is not of 32 bytes each"
            )
        return b"".join(
            (
                _JOB.pack(job.job, job.prevhash, job.version, job.nbits, job.ntime, job.sent_ms, job.sent_ms),
                self._string(job.pool_label),
                self._string(job.pool),
                encode_bytes(job.coinbase1),
                encode_bytes(job.coinbase2),
                length_prefix(len(job.merkle_branch)),
                *job.merkle_branch,
            )
        )

    def found_block(self, block: FoundBlock) -> bytes:
        """One row of `found_blocks`. Raises ValueError if the header has not 80 bytes."""
        if len(block.header) != 80:
            raise ValueError(f"found block with a header of {len(block.header)} bytes")
        return b"".join(
            (
                _FOUND_BLOCK.pack(block.ts_ms, block.height, block.nonce, block.header),
                self._string(block.chain),
                self._string(block.hash),
                self._string(block.worker),
                self._string(block.pool),
            )
        )

    def block_candidate(self, candidate: BlockCandidate) -> bytes:
        """One row of `block_candidates`. Raises ValueError if a fixed-width field has another width."""
        if len(candidate.header) != 80 or len(candidate.job) != 16:
            raise ValueError(
                f"block candidate with a header of {len(candidate.header)} and a job of {len(candidate.job)} bytes"
            )
        return b"".join(
            (
                _BLOCK_CANDIDATE.pack(
                    candidate.ts_ms,
                    candidate.updated_ms,
                    candidate.height,
                    candidate.actual_difficulty,
                    candidate.network_difficulty,
                    candidate.forwarded,
                    candidate.job,
                    candidate.header,
                ),
                self._string(candidate.proxy),
                self._string(candidate.pool_label),
                self._string(candidate.pool),
                self._string(candidate.miner),
                self._string(candidate.worker),
                self._string(candidate.refusal),
                self._string(candidate.pool_verdict),
                self._string(candidate.job_id),
                encode_bytes(candidate.extranonce1),
                encode_bytes(candidate.extranonce2),
            )
        )

    def _context(self, *values: str) -> bytes:
        encoded = self._contexts.get(values)
        if encoded is None:
            if len(self._contexts) >= _CACHED_STRINGS:
                self._contexts.clear()
            encoded = self._contexts[values] = b"".join([self._string(value) for value in values])
        return encoded

    def _string(self, value: str) -> bytes:
        encoded = self._strings.get(value)
        if encoded is None:
            if len(self._strings) >= _CACHED_STRINGS:
                self._strings.clear()
            # A lone surrogate cannot be stored; it must not cost the share either.
            encoded = self._strings[value] = encode_bytes(value.encode("utf-8", "replace"))
        return encoded


class RowReader:
    """Reads rows back out of bytes that this module has encoded: their sequence numbers and bounds."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def shares(self) -> list[tuple[int, bytes]]:
        """(sequence number, encoded row) of every share."""
        rows = []
        while self._at < len(self._body):
            start = self._at
            seq = int.from_bytes(self._body[start + 24 : start + 32], "little")
            self._at += _SHARE.size
            for _ in range(9):
                self.skip_string()
            rows.append((seq, self._body[start : self._at]))
        return rows

    def skip_string(self) -> None:
        length = shift = 0
        while True:
            byte = self._body[self._at]
            self._at += 1
            length |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
        self._at += length
