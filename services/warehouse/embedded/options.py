from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.warehouse.embedded.access import is_loopback
from services.warehouse.embedded.configuration import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

    from services.warehouse.embedded.cold import ColdStorage


@dataclass(frozen=True, slots=True)
class EmbeddedOptions:
    """What the embedded ClickHouse server is told at start.

    `storage` names an XML file with ClickHouse's <storage_configuration>, config/clickhouse/storage-local.xml or
    storage-s3.xml; without one, the policy `tiered` has its local volume alone. `database` is the one that a request
    works in when it names none; it is created at start. `max_whole_bytes` bounds a result that cannot be sent block by
    block (as the engine holds it, before it is encoded). `backups` is the folder that BACKUP writes to; there is none
    without. A client that takes nothing of its reply for
    `stalled_seconds` is dropped, for it keeps one of `max_reads` places; so is one that the server has waited for
    during `patience_seconds` of its answer, once others wait for a place. `cold` is whom to ask whether S3 can be used,
    where `storage` has a volume on it.

    Raises ConfigurationError for an address beyond this machine without a password.
    """

    data: Path
    host: str = "127.0.0.1"
    port: int = 8123
    user: str = "default"
    password: str = field(default="", repr=False)
    storage: Path | None = None
    backups: Path | None = None
    database: str = "sharehouse"
    max_body_bytes: int = 1 << 30
    max_reads: int = 8
    max_writes: int = 4
    max_waiting: int = 256
    max_whole_bytes: int = 128 << 20
    stalled_seconds: float = 30.0
    patience_seconds: float = 5.0
    cold: ColdStorage | None = None

    def __post_init__(self) -> None:
        if not (is_loopback(self.host) or self.password):
            raise ConfigurationError(
                f"CLICKHOUSE_HOST is {self.host}: other machines could reach ClickHouse without a password;"
                " set CLICKHOUSE_PASSWORD, or CLICKHOUSE_HOST=127.0.0.1"
            )
