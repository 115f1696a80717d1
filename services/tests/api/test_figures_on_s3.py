"""Every share on a real S3 server: figures and shares are what plain Python says, as they were on the local disk."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from services.tests.api.conftest import READ, api, keep, listed, segment_of
from services.tests.api.known_shares import (
    DAY,
    expected_period,
    expected_pool,
    expected_workers,
    known_shares,
)
from services.tests.api.test_figures import same
from services.tests.conftest import PASSWORD, ClickHouseProcess, run_sql, unused_port
from services.tests.warehouse.embedded.test_tiering import BUCKET, CONFIGURATION, KEY, SECRET, S3Process
from services.tests.warehouse.embedded.test_tiering import s3 as s3
from services.warehouse.embedded.options import EmbeddedOptions
from services.warehouse.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

NOW = int(time.time())
PARTS = "SELECT DISTINCT disk_name FROM system.parts WHERE active AND table = 'shares' ORDER BY 1"


@pytest.fixture
def tiered(tmp_path: Path, s3: S3Process, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClickHouseProcess]:
    """A server whose volume `cold` is a bucket."""
    monkeypatch.setenv("STORAGE_S3_ENDPOINT", f"{s3.url}/{BUCKET}/here/")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    storage = CONFIGURATION / "storage-s3.xml"
    options = EmbeddedOptions(data=tmp_path / "clickhouse", port=unused_port(), password=PASSWORD, storage=storage)
    server = ClickHouseProcess(options)
    server.start(deadline_seconds=60)
    yield server
    server.kill()


def move_to_s3(server: ClickHouseProcess, days: list[str]) -> None:
    """All of them; those that are old enough are on their way already, and a move of theirs is refused."""
    address = server.address
    deadline = time.monotonic() + 90
    while run_sql(address, PARTS) != b"cold\n":
        assert time.monotonic() < deadline
        for day in days:
            with suppress(OSError):
                run_sql(address, f"ALTER TABLE {address.database}.shares MOVE PARTITION {day} TO VOLUME 'cold'")


async def ask(client: httpx.AsyncClient, path: str, **parameters: Any) -> Any:
    """The answer, asked for again where S3 was too slow on a busy machine."""
    async with asyncio.timeout(60):
        while (answer := await client.get(path, params=parameters, headers=READ)).status_code == 503:
            await asyncio.sleep(0.2)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.timeout(240)
async def test_figures_of_shares_on_s3(tiered: ClickHouseProcess, s3: S3Process) -> None:
    address = tiered.address
    await migrate(address)
    shares = known_shares(NOW, spread=300)
    await keep(address, shares)
    days = sorted({time.strftime("%Y%m%d", time.gmtime(share.ts_ms // 1000)) for share in shares})
    await asyncio.to_thread(move_to_s3, tiered, days)
    assert s3.keys()

    async with api(address, now=NOW) as client:
        for pool in (None, "tiny", "nosuch"):
            only = {"pool": pool} if pool else {}
            same(
                (await ask(client, "/api/pool/stats", **only))["btc"],
                expected_pool(shares, NOW, pool=pool, basis="actual"),
            )
            same_each(
                (await ask(client, "/api/workers/stats", **only))["btc"]["workers"],
                expected_workers(shares, NOW, worker=None, pool=pool, basis="actual"),
            )
        summary = await ask(client, "/api/stats/summary")
        pool_figures = expected_pool(shares, NOW, pool=None, basis="actual")
        same(
            {name: summary[name] for name in summary.keys() & pool_figures},
            {name: value for name, value in pool_figures.items() if name in summary},
        )
        start, end = NOW - 2 * DAY - 777, NOW - 5
        found = await ask(client, "/api/workers/timerange", start_time=start, end_time=end)
        same_each(found["btc"]["workers"], expected_period(shares, start, end, basis="actual"))
        for midnight in (NOW - NOW % DAY - DAY, NOW - NOW % DAY):
            day = time.strftime("%Y-%m-%d", time.gmtime(midnight))
            found = await ask(client, f"/api/workers/share-value/{day}")
            expected = expected_period(shares, midnight, midnight + DAY, basis="actual")
            without = {
                name: {field: value for field, value in figures.items() if field not in ("state", "last_share")}
                for name, figures in expected.items()
            }
            same_each(found["btc"]["workers"], without)
        inside = sorted(
            (one.ts_ms, segment_of(number), number)
            for number, one in enumerate(shares)
            if one.accepted and start * 1000 <= one.ts_ms < end * 1000
        )
        wanted = [listed(shares[number], number) for *_, number in inside]
        raw = await ask(client, "/api/shares/raw", start_time=start, end_time=end)
        assert (raw["total_count"], raw["shares"]) == (len(wanted), wanted)
        by_id = {share["id"]: share for share in wanted}
        sample = (await ask(client, "/api/shares/audit", start_time=start, end_time=end, sample=7, seed=3))["shares"]
        assert len(sample) == 7
        for share in (*sample, await ask(client, f"/api/shares/{wanted[5]['id']}/proof")):
            assert {name: share[name] for name in by_id[share["id"]]} == by_id[share["id"]]


def same_each(got: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert got.keys() == wanted.keys()
    for name, figures in wanted.items():
        same(got[name], figures)
