from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from services.command.storage_report import lines, size
from services.tests.conftest import PASSWORD, ClickHouseProcess
from services.tests.warehouse.rows import make_share
from services.tests.warehouse.test_rowbinary import insert
from services.warehouse.client import Connection
from services.warehouse.embedded.options import EmbeddedOptions
from services.warehouse.migrate import migrate
from services.warehouse.rowbinary import RowEncoder, Stream
from services.warehouse.storage_status import StorageStatus, Waiting, storage_status

if TYPE_CHECKING:
    import random

STORAGE = Path(__file__).parents[3] / "config" / "clickhouse" / "storage-s3.xml"


@pytest.mark.timeout(180)
async def test_what_cannot_move_is_seen_to_wait(
    tmp_path: Path, free_port: int, generator: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 is away, so shares that are old enough stay on the local disk."""
    monkeypatch.setenv("STORAGE_S3_ENDPOINT", "http://127.0.0.1:1/bucket/here/")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.setenv(name, "something")
    server = ClickHouseProcess(EmbeddedOptions(data=tmp_path, port=free_port, password=PASSWORD, storage=STORAGE))
    await asyncio.to_thread(server.start)
    await migrate(server.address)
    now_ms = time.time_ns() // 1_000_000
    old_ms = now_ms - 5 * 86_400_000
    shares = [make_share(generator, ts_ms=ms) for ms in (old_ms, old_ms, old_ms, now_ms, now_ms)]
    encoder = RowEncoder(uuid4())
    connection = Connection(server.address)
    rows = b"".join(encoder.share(share, seq) for seq, share in enumerate(shares))
    await insert(await connection.client(), Stream.SHARES, rows)
    await connection.close()
    status = await storage_status(server.address)
    server.kill()

    assert status.volumes == ("hot", "cold")
    days = [datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y%m%d") for ms in (old_ms, now_ms)]
    assert [(day.day, day.volume, day.parts, day.rows) for day in status.days] == [
        (days[0], "hot", 1, 3),
        (days[1], "hot", 1, 2),
    ]
    assert all(day.bytes_on_disk > 0 and day.uncompressed_bytes > 0 for day in status.days)
    assert (status.waiting.parts, status.waiting.rows) == (1, 3)
    assert status.waiting.bytes_on_disk == status.days[0].bytes_on_disk
    assert status.oldest_hot is not None
    assert status.oldest_hot.replace(tzinfo=UTC).timestamp() == pytest.approx(old_ms / 1000)
    told = list(lines(status))
    assert told[1].split()[:4] == [f"{days[0][:4]}-{days[0][4:6]}-{days[0][6:]}", "hot", "1", "3"]
    assert told[4].split() == ["all", "cold", "0", "0", "0", "B", "-"]
    assert told[-1].startswith("waiting to move to volume cold: 3 shares, ")


def test_an_empty_store_on_the_local_disk() -> None:
    told = list(lines(StorageStatus(("hot",), (), None, Waiting(0, 0, 0))))
    assert told[1:] == [
        "all        hot         0               0        0 B             -",
        "oldest share on volume hot: none",
        "shares stay on the local disk: there is no volume cold (AWS_S3_BUCKET)",
    ]


def test_sizes() -> None:
    assert [size(count) for count in (0, 1023, 1024, 5 << 30, 3 << 50)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "5.0 GiB",
        "3072.0 TiB",
    ]
