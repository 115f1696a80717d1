"""POST /api/reload: from a request, by ClickHouse, to every proxy, and back."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx

from services.api import reload as reload_api
from services.api.app import create_app
from services.api.options import ApiOptions
from services.proxy import revision_follower
from services.proxy.options import PoolOptions, ProxyOptions
from services.proxy.reloading import ConfigurationRefused, Reloading
from services.proxy.server import Proxy
from services.tests.proxy.scripted_pool import ScriptedPool
from services.tests.serving import running_app
from services.tests.warehouse.test_proxies import make_heartbeat
from services.warehouse.analysis import Analysis
from services.warehouse.proxy_state import StateWriter
from services.warehouse.queries import Queries, StoreUnavailable
from services.warehouse.reload_history import reloads
from services.warehouse.revisions import Revisions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import pytest

    from services.warehouse.address import ClickHouseAddress

ADMIN = {"Authorization": "Bearer admin-token"}
READ = {"Authorization": "Bearer reader-token"}


class Replica:
    """A proxy, and its file."""

    def __init__(self, name: str, folder: Path, store: ClickHouseAddress, pool: ScriptedPool) -> None:
        pools = (PoolOptions("normal", 0, "127.0.0.1", pool.port, "wallet"),)
        self.file: ProxyOptions | Exception = ProxyOptions(
            name, pools, folder / name, store, host="127.0.0.1", metrics_port=0, drain_seconds=0.5
        )
        self.options = self.file
        self.reloading = Reloading(self._load)
        self.proxy = Proxy(self.file, self.reloading)

    def _load(self) -> ProxyOptions:
        if isinstance(self.file, Exception):
            raise self.file
        return self.file


@asynccontextmanager
async def api(store: ClickHouseAddress) -> AsyncIterator[httpx.AsyncClient]:
    options = ApiOptions(clickhouse=store, read_tokens=("reader-token",), admin_tokens=("admin-token",))
    async with (
        running_app(create_app(options)) as url,
        httpx.AsyncClient(base_url=url, timeout=30, headers=ADMIN) as client,
    ):
        yield client


async def reload(client: httpx.AsyncClient) -> dict[str, Any]:
    """A busy machine may make the database too slow for once."""
    async with asyncio.timeout(40):
        while (answer := await client.post("/api/reload")).status_code == 503:
            await asyncio.sleep(1.0)
    assert answer.status_code == 200
    told: dict[str, Any] = answer.json()
    return told


async def alive(store: ClickHouseAddress, count: int) -> None:
    """Until ClickHouse knows of so many proxies."""
    queries = Queries(store)
    async with asyncio.timeout(50):
        found = 0
        while found < count:
            with suppress(StoreUnavailable):
                found = sum(row.alive for row in await queries.proxies(int(time.time())))
            await asyncio.sleep(0.1)
    await queries.close()


async def test_every_replica_answers_for_itself(
    store: ClickHouseAddress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reload_api, "WAIT_SECONDS", 20.0)
    async with ScriptedPool() as pool:
        one, two = (Replica(name, tmp_path, store, pool) for name in ("one", "two"))
        async with one.proxy, two.proxy, api(store) as client:
            await alive(store, 2)
            pools = (replace(one.options.pools[0], user="other"),)
            for replica in (one, two):
                replica.file = replace(replica.options, pools=pools)
            first = await reload(client)
            assert first["applied_everywhere"] is True
            assert [(r["proxy"], r["status"], r["changed_pools"], r["reason"]) for r in first["replicas"]] == [
                ("one", "applied", ["normal"], ""),
                ("two", "applied", ["normal"], ""),
            ]
            assert [r["instance"] for r in first["replicas"]] == [str(p.spool.segment) for p in (one.proxy, two.proxy)]
            assert one.proxy.listeners["normal"].pool.options.user == "other"
            two.file = ConfigurationRefused("config.toml: pools.normal.host: missing")
            second = await reload(client)
    assert second["revision"] != first["revision"]
    assert second["applied_everywhere"] is False
    assert [(r["status"], r["changed_pools"], r["reason"]) for r in second["replicas"]] == [
        ("applied", [], ""),
        ("refused", [], "config.toml: pools.normal.host: missing"),
    ]


async def test_a_reload_asked_for_on_the_machine_itself_is_written_down_too(
    store: ClickHouseAddress, tmp_path: Path
) -> None:
    analysis, now = Analysis(store), int(time.time())
    async with ScriptedPool() as pool:
        one = Replica("one", tmp_path, store, pool)
        async with one.proxy:
            one.file = replace(one.options, pools=(replace(one.options.pools[0], user="other"),))
            one.reloading.ask("file")
            async with asyncio.timeout(60):
                while not (told := await reloads(analysis, now - 60, now + 3600)):
                    await asyncio.sleep(0.1)
            assert [(found.proxies, found.changed_pools, found.refusal) for found in told] == [
                (("one",), ("normal",), "")
            ]
            one.file = ConfigurationRefused("config.toml: pools.normal.host: missing")
            one.reloading.ask("signal")
            async with asyncio.timeout(60):
                while not (told := await reloads(analysis, now - 60, now + 3600))[0].refusal:
                    await asyncio.sleep(0.1)
            assert told[0].refusal == "config.toml: pools.normal.host: missing"
    await analysis.close()


async def test_a_replica_that_has_just_died_is_silent(
    store: ClickHouseAddress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reload_api, "WAIT_SECONDS", 4.0)
    writer, dead, gone = StateWriter(store), str(uuid4()), str(uuid4())
    now_ms = time.time_ns() // 1_000_000
    async with ScriptedPool() as pool, Replica("one", tmp_path, store, pool).proxy, api(store) as client:
        await alive(store, 1)
        # Its last word was a moment ago; the other's is too old for it to be waited for.
        await writer.write([], make_heartbeat(proxy="dead", instance=dead, ts_ms=now_ms))
        await writer.write([], make_heartbeat(proxy="gone", instance=gone, ts_ms=now_ms - 60_000))
        answer = await reload(client)
    await writer.close()
    assert answer["applied_everywhere"] is False
    replicas = {replica["proxy"]: replica for replica in answer["replicas"]}
    assert replicas.keys() == {"dead", "one"}
    assert (replicas["dead"]["status"], replicas["dead"]["instance"]) == ("silent", dead)
    assert replicas["one"]["status"] == "applied"


async def test_only_administrators_may_and_without_proxies_it_says_so(store: ClickHouseAddress) -> None:
    async with api(store) as client:
        assert (await client.post("/api/reload", headers=READ)).status_code == 403
        assert (await client.post("/api/reload", headers={"Authorization": ""})).status_code == 401
        revisions = Revisions(store)
        assert await revisions.younger_than(60) == []
        answer = await reload(client)
        assert (answer["applied_everywhere"], answer["replicas"]) == (False, [])
        (asked,) = await revisions.younger_than(60)
        assert asked.requested_by.startswith("admin")
        await revisions.close()


async def test_one_reload_does_for_all_that_were_asked_meanwhile(
    store: ClickHouseAddress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an outage of ClickHouse; each is answered all the same."""
    monkeypatch.setattr(revision_follower, "EVERY_SECONDS", 0.2)
    revisions = Revisions(store)
    asked = [await revisions.request("admin-1") for _ in range(3)]
    async with ScriptedPool() as pool:
        one = Replica("one", tmp_path, store, pool)
        async with one.proxy:
            for revision in asked:
                async with asyncio.timeout(50):
                    while not (answers := await revisions.answers(revision)):
                        await asyncio.sleep(0.05)
                assert [(answer.proxy, answer.applied) for answer in answers] == [("one", True)]
            counted = {"result": "applied"}
            assert one.proxy.registry.get_sample_value("sharehouse_reloads_total", counted) == 1
            # What was followed once is not followed again.
            await asyncio.sleep(1.0)
            assert one.proxy.registry.get_sample_value("sharehouse_reloads_total", counted) == 1
    await revisions.close()
