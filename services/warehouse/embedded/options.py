from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class EmbeddedOptions:
    """What the embedded ClickHouse server is told at start.

    `storage` names an XML file with ClickHouse's <storage_configuration>, config/clickhouse/storage-local.xml or
    storage-s3.xml; without one, the policy `tiered` has its local volume alone. `database` is the one that a request
    works in when it names none; it is created at start.
    """

    data: Path
    host: str = "127.0.0.1"
    port: int = 8123
    user: str = "default"
    password: str = field(default="", repr=False)
    storage: Path | None = None
    database: str = "sharehouse"
    max_body_bytes: int = 1 << 30
    max_reads: int = 8
    max_writes: int = 4
    max_waiting: int = 256
