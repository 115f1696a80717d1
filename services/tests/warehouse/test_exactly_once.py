"""What a deduplication token cannot tell: one that is forgotten, and two copies of one segment."""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from services.tests.waiting import until
from services.tests.warehouse.rows import display_hash, make_job, make_share
from services.tests.warehouse.shipping import ROOM, counts, stored_hashes
from services.tests.warehouse.test_shipper import DAY_MS, begun, spooled
from services.warehouse import rollup_repair
from services.warehouse.delivery import deliver
from services.warehouse.migrate import migrations
from services.warehouse.segment import BATCH_ROWS
from services.warehouse.segment_files import segment_paths
from services.warehouse.shipper import Shipper
from services.warehouse.spool import Spool

if TYPE_CHECKING:
    from pathlib import Path

    from clickhouse_connect.driver.asyncclient import AsyncClient

    from services.warehouse.address import ClickHouseAddress


WINDOW = 3
ROLL_UPS = {
    "shares_10m": "toStartOfTenMinutes(ts)",
    "shares_1h": "toStartOfHour(ts)",
    "shares_1d": "toStartOfDay(ts)",
}
TABLES = ("shares", *ROLL_UPS)
ROLLED_UP = (
    "SELECT pool_label, worker, {bucket} AS bucket, {accepted}, {rejected}, {reasons}, {credited}, {actual}, {best},"
    " {last} FROM {table} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
)


@pytest.fixture
async def forgetful(client: AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables that know the last three tokens."""
    for table in TABLES:
        await client.command(f"ALTER TABLE {table} MODIFY SETTING non_replicated_deduplication_window = {WINDOW}")
    monkeypatch.setattr(rollup_repair, "PAUSE_SECONDS", 0.05)


async def age_out(client: AsyncClient, folder: Path, generator: random.Random) -> int:
    """Inserts so many batches that every earlier token is forgotten; how many shares that made."""
    for _ in range(WINDOW + 1):
        segment = await spooled(folder, generator, 20)
        await deliver(client, *begun(segment))
        segment.release()
    return 20 * (WINDOW + 1)


async def assert_roll_ups_equal_raw(client: AsyncClient) -> None:
    for table, bucket in zip(
        ROLL_UPS, ("toStartOfTenMinutes(ts)", "toStartOfHour(ts)", "toStartOfDay(ts)"), strict=True
    ):
        raw = await client.query(
            ROLLED_UP.format(
                table="shares",
                bucket=bucket,
                accepted="countIf(verdict = 'accepted')",
                rejected="countIf(verdict = 'rejected')",
                reasons="sumMapIf(map(toString(reason), toUInt64(1)), verdict = 'rejected')",
                credited="sumIf(pool_difficulty, verdict = 'accepted')",
                actual="round(log2(sumIf(actual_difficulty, verdict = 'accepted')), 9)",
                best="maxIf(actual_difficulty, verdict = 'accepted')",
                last="maxIf(ts, verdict = 'accepted')",
            )
        )
        rolled_up = await client.query(
            ROLLED_UP.format(
                table=table,
                bucket="bucket",
                accepted="sum(accepted)",
                rejected="sum(rejected)",
                reasons="sumMap(rejected_by_reason)",
                credited="sum(credited_difficulty)",
                actual="round(log2(sum(actual_difficulty)), 9)",
                best="max(best_share)",
                last="max(last_share)",
            )
        )
        assert raw.result_rows == rolled_up.result_rows


@pytest.mark.usefixtures("forgetful")
async def test_a_batch_whose_token_was_forgotten_is_not_stored_twice(
    client: AsyncClient, folder: Path, generator: random.Random
) -> None:
    segment = await spooled(folder, generator, 300)
    batch, body = begun(segment)
    await deliver(client, batch, body)
    everything = 300 + await age_out(client, folder, generator)
    await deliver(client, replace(batch, repeated=True), body)
    assert await counts(client) == (everything,) * 4
    await assert_roll_ups_equal_raw(client)
    # The reason for all this: the token alone would not have told.
    await deliver(client, batch, body)
    assert (await counts(client))[0] == everything + 300
    segment.release()


@pytest.mark.usefixtures("forgetful")
@pytest.mark.parametrize("table", ["10m", "1h", "1d"])
async def test_a_roll_up_that_a_crash_left_behind_is_mended_when_the_token_is_forgotten(
    client: AsyncClient, folder: Path, generator: random.Random, table: str
) -> None:
    segment = await spooled(folder, generator, 300)
    batch, body = begun(segment)
    # As if ClickHouse had died between the raw table's part and this roll-up's.
    await client.command(f"DROP VIEW shares_to_{table}")
    await deliver(client, batch, body)
    for migration in migrations():
        for statement in migration.statements:
            await client.command(statement)
    everything = 300 + await age_out(client, folder, generator)
    lacking = await client.query(f"SELECT sum(accepted + rejected) FROM shares_{table}")
    assert lacking.result_rows[0][0] == everything - 300
    for _ in range(2):
        await deliver(client, replace(batch, repeated=True), body)
        assert await counts(client) == (everything,) * 4
    await assert_roll_ups_equal_raw(client)
    segment.release()


@pytest.mark.usefixtures("forgetful")
async def test_of_a_forgotten_batch_over_midnight_only_what_is_missing_is_sent(
    client: AsyncClient, folder: Path, generator: random.Random
) -> None:
    midnight = 1_789_000_000_000 // DAY_MS * DAY_MS
    spool = Spool.open(folder, max_bytes=ROOM)
    for offset in (-2, -1, 0, 1, 2):
        spool.append_share(make_share(generator, ts_ms=midnight + offset), lambda durable: None)
    await until(lambda: spool.depth_rows == 5)
    batch, body = begun(spool.held)
    await deliver(client, batch, body)
    day = time.strftime("%Y%m%d", time.gmtime(midnight / 1000))
    await client.command(f"ALTER TABLE shares DROP PARTITION {day}")
    for table in ROLL_UPS:
        await client.command(f"ALTER TABLE {table} DELETE WHERE toYYYYMMDD(bucket) = {day} SETTINGS mutations_sync = 2")
    assert await counts(client) == (2, 2, 2, 2)
    everything = 5 + await age_out(client, folder / "others", generator)
    await deliver(client, replace(batch, repeated=True), body)
    await deliver(client, replace(batch, repeated=True), body)
    assert await counts(client) == (everything,) * 4
    await assert_roll_ups_equal_raw(client)
    await spool.close()


async def copied(folder: Path, copy: Path, generator: random.Random, *, begin: int, commits: int = 4) -> list[str]:
    """A spool whose process dies, and a copy of its folder taken while it lived.

    Of its group commits the first `begin` are in a batch that was begun by then. Gives the hashes of its shares.
    """
    hashes = []
    spool = Spool.open(folder, max_bytes=ROOM)
    spool.append_job(make_job(generator))
    for commit in range(1, commits + 1):
        shares = [make_share(generator) for _ in range(10)]
        for share in shares:
            spool.append_share(share, lambda durable: None)
        hashes += [display_hash(share.header) for share in shares]
        await until(lambda commit=commit: spool.depth_rows == 10 * commit + 1)  # type: ignore[misc]
        if commit == begin:
            begun(spool.held)
    await asyncio.to_thread(shutil.copytree, folder, copy)
    await spool.close()
    return hashes


@pytest.mark.parametrize("begin", [0, 2])
@pytest.mark.parametrize("first", ["original", "copy"])
async def test_a_cloned_spool_loses_and_doubles_nothing(
    store: ClickHouseAddress,
    client: AsyncClient,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    first: str,
    begin: int,
) -> None:
    generator = random.Random(1)
    hashes = await copied(folder, tmp_path / "clone", generator, begin=begin)
    # The two cut their batches differently, as they do when one of them ships while rows come in.
    sizes = {folder: 15, tmp_path / "clone": BATCH_ROWS}
    for place in sorted(sizes, key=lambda place: (place == folder) != (first == "original")):
        monkeypatch.setattr("services.warehouse.segment.BATCH_ROWS", sizes[place])
        assert await Shipper(place, None, store).drain(20)
        assert segment_paths(place) == []
    assert sorted(await stored_hashes(store)) == sorted(hashes)
    assert await counts(client) == (len(hashes),) * 4
    await assert_roll_ups_equal_raw(client)


async def test_a_restored_spool_gives_what_its_lost_original_had_not_shipped(
    store: ClickHouseAddress, client: AsyncClient, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = await copied(folder, tmp_path / "backup", random.Random(2), begin=0)
    monkeypatch.setattr("services.warehouse.segment.BATCH_ROWS", 15)
    (segment_path,) = segment_paths(folder)
    lost = Shipper(folder, None, store)
    segment = await asyncio.to_thread(lost._claim_in_thread, segment_path)
    assert segment is not None
    await lost._round(segment)
    await lost._close()
    assert 0 < (await counts(client))[0] < len(hashes)
    monkeypatch.undo()
    assert await Shipper(tmp_path / "backup", None, store).drain(20)
    assert sorted(await stored_hashes(store)) == sorted(hashes)
    assert await counts(client) == (len(hashes),) * 4
