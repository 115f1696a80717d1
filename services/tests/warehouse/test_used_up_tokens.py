"""A batch whose every token was used up by crashes, and an earlier INSERT that ends while its rows are looked for."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import structlog

from services.tests.warehouse.first_release import write_segment
from services.tests.warehouse.rows import make_found_block, make_job, make_share
from services.tests.warehouse.shipping import counts
from services.tests.warehouse.test_exactly_once import assert_roll_ups_equal_raw
from services.tests.warehouse.test_shipper import begun, spooled
from services.warehouse import delivery, rollup_repair, shipper
from services.warehouse.delivery import deliver
from services.warehouse.rowbinary import RowReader
from services.warehouse.running_inserts import UsedUpError
from services.warehouse.segment import Segment
from services.warehouse.segment_files import segment_paths
from services.warehouse.shipper import Shipper

if TYPE_CHECKING:
    import random
    from pathlib import Path
    from uuid import UUID

    from clickhouse_connect.driver.asyncclient import AsyncClient

    from services.warehouse.address import ClickHouseAddress


TOKENS = 2


@pytest.fixture(autouse=True)
def short_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollup_repair, "PAUSE_SECONDS", 0.0)


@pytest.fixture(autouse=True)
def few_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "TOKENS", TOKENS)


async def use_up(client: AsyncClient, segment: Segment) -> None:
    """As crashes do, each of which notes a token and stores no rows."""
    batch, body = begun(segment)
    batch = replace(batch, repeated=True)
    for _ in range(TOKENS):
        await deliver(client, batch, body)
        await client.command("ALTER TABLE shares DELETE WHERE 1 SETTINGS mutations_sync = 2")
    with pytest.raises(UsedUpError):
        await deliver(client, batch, body)
    assert (await counts(client))[0] == 0


@pytest.mark.timeout(120)
@pytest.mark.parametrize("release", ["this", "first"])
async def test_a_batch_whose_tokens_are_used_up_goes_under_others_after_a_while(
    store: ClickHouseAddress,
    client: AsyncClient,
    folder: Path,
    generator: random.Random,
    monkeypatch: pytest.MonkeyPatch,
    release: str,
) -> None:
    if release == "first":
        shares = [make_share(generator) for _ in range(20)]
        path = await asyncio.to_thread(write_segment, folder, make_job(generator), shares, make_found_block(generator))
        claimed = await asyncio.to_thread(Segment.claim, path)
        assert claimed is not None
        segment = claimed
    else:
        segment = await spooled(folder, generator, 20)
    await use_up(client, segment)
    segment.release()

    waiting = Shipper(folder, None, store)
    with structlog.testing.capture_logs() as logs:
        for _ in range(2):
            await waiting._leftover_rounds()
    assert [entry["log_level"] for entry in logs if entry["event"] == "batch_tokens_used_up"] == ["error"]
    assert "has taken batch" in waiting.last_error
    assert (await counts(client))[0] == 0
    # Another process that has waited long enough.
    await waiting._close()
    monkeypatch.setattr(shipper, "RENEW_AFTER_SECONDS", 0.0)
    assert await Shipper(folder, None, store).drain(30) is True
    assert (await counts(client))[:2] == (20, 20)
    await assert_roll_ups_equal_raw(client)
    assert segment_paths(folder) == []


async def test_an_earlier_insert_that_ends_while_rows_are_looked_for_is_not_doubled(
    client: AsyncClient, folder: Path, generator: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment = await spooled(folder, generator, 30)
    batch, body = begun(segment)
    # Part of the batch, as if a day of it were stored.
    row_bytes = RowReader(body).shares()
    first = b"".join(row for _, row in row_bytes[:10])
    await deliver(client, replace(batch, token=f"{batch.token}-earlier"), first)

    async def ends_now(client: AsyncClient, segment: UUID) -> None:
        rest = b"".join(row for _, row in row_bytes[10:])
        await deliver(client, replace(batch, token=f"{segment}-under-way"), rest)

    monkeypatch.setattr(delivery, "none_running", ends_now)
    await deliver(client, replace(batch, repeated=True), body)
    assert await counts(client) == (30,) * 4
    await assert_roll_ups_equal_raw(client)
    segment.release()
