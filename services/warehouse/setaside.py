"""Batches that ClickHouse will never take, kept where a person sees them: SPOOL/set-aside/TOKEN.{json,rowbinary}."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from services.warehouse.segment import Batch

FOLDER = "set-aside"


def set_aside(spool: Path, batch: Batch, body: bytes, error: str) -> Path:
    """Writes the batch durably and returns the file of its rows. Raises OSError if it cannot; safe to repeat."""
    folder = spool / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    facts = {
        "table": batch.stream.value,
        "columns": batch.columns,
        "insert_deduplication_token": batch.token,
        "rows": batch.rows,
        "first_seq": batch.first_seq,
        "last_seq": batch.last_seq,
        "first_sent_ms": batch.first_sent_ms,
        "error": error,
    }
    _write(folder / f"{batch.token}.json", json.dumps(facts, indent=2).encode())
    rows = folder / f"{batch.token}.rowbinary"
    _write(rows, body)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return rows


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
