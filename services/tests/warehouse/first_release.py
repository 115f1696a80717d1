"""A spool segment as the first release wrote it, spelled out: it has to be shipped by every later one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from services.warehouse.rowbinary import RowEncoder

if TYPE_CHECKING:
    from pathlib import Path

    from services.warehouse.records import FoundBlock, JobRecord, Share

_COLUMNS = {
    "jobs": "job,prevhash,version,nbits,ntime,first_sent,last_sent,pool_label,pool,coinbase1,coinbase2,merkle_branch",
    "shares": "ts,segment,seq,verdict,pool_difficulty,pool_requested_difficulty,actual_difficulty,job,version,prevhash,"
    "merkle_root,ntime,nbits,nonce,proxy,pool_label,pool,miner,worker,reason,job_id,extranonce1,extranonce2",
    "found_blocks": "ts,height,nonce,header,chain,hash,worker,pool",
}
_SCHEMA = """
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
CREATE TABLE streams (stream TEXT PRIMARY KEY, columns TEXT NOT NULL);
CREATE TABLE probe (id INTEGER PRIMARY KEY, written_ms INTEGER NOT NULL);
CREATE TABLE batches (
    number INTEGER PRIMARY KEY AUTOINCREMENT, stream TEXT NOT NULL UNIQUE, columns TEXT NOT NULL,
    first_id INTEGER NOT NULL, last_id INTEGER NOT NULL, rows INTEGER NOT NULL, bytes INTEGER NOT NULL,
    first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL, first_ts_ms INTEGER NOT NULL, last_ts_ms INTEGER NOT NULL,
    first_sent_ms INTEGER NOT NULL
);
"""
_STREAM = """
CREATE TABLE {stream} (
    id INTEGER PRIMARY KEY, rows INTEGER NOT NULL, bytes INTEGER NOT NULL, committed_ms INTEGER NOT NULL,
    first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL, first_ts_ms INTEGER NOT NULL, last_ts_ms INTEGER NOT NULL,
    body BLOB NOT NULL
);
"""


def write_segment(folder: Path, job: JobRecord, shares: list[Share], block: FoundBlock) -> Path:
    """One group commit with all of them; the process that wrote it is gone."""
    segment = uuid4()
    encoder = RowEncoder(segment)
    rows = {
        "jobs": (encoder.job(job),),
        "shares": tuple(encoder.share(share, seq) for seq, share in enumerate(shares, 1)),
        "found_blocks": (encoder.found_block(block),),
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{UUID(int=segment.int)}.sqlite"
    times = [share.ts_ms for share in shares]
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(_SCHEMA)
        for stream, bodies in rows.items():
            body = b"".join(bodies)
            connection.executescript(_STREAM.format(stream=stream))
            connection.execute("INSERT INTO streams VALUES (?, ?)", (stream, _COLUMNS[stream]))
            connection.execute(
                f"INSERT INTO {stream} VALUES (1, ?, ?, 1789000000000, 1, ?, ?, ?, ?)",
                (len(bodies), len(body), len(bodies), min(times), max(times), body),
            )
        connection.commit()
    return path
