"""The API's wish reaches every proxy, and their answers come back."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from msgspec.structs import replace

from services.tests.conftest import unused_port
from services.warehouse.address import ClickHouseAddress
from services.warehouse.client import StoreUnavailable
from services.warehouse.revisions import Revision, RevisionAnswer, Revisions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from clickhouse_connect.driver.asyncclient import AsyncClient


@pytest.fixture
async def revisions(store: ClickHouseAddress) -> AsyncIterator[Revisions]:
    revisions = Revisions(store)
    yield revisions
    await revisions.close()


def answer_to(revision: Revision, **changes: Any) -> RevisionAnswer:
    fields: dict[str, Any] = {
        "revision": revision.revision,
        "answered_ms": time.time_ns() // 1_000_000,
        "proxy": "proxy-1",
        "instance": str(uuid4()),
        "applied": True,
        "changed_pools": ("normal", "high'\"\n"),
        "error": "",
    }
    return RevisionAnswer(**(fields | changes))


async def test_a_wish_is_seen_by_age(revisions: Revisions, client: AsyncClient) -> None:
    assert await revisions.younger_than(3600) == []
    first = await revisions.request("admin-1")
    await asyncio.sleep(0.01)
    second = await revisions.request("O'Brien {x} \\")
    assert await revisions.younger_than(3600) == [first, second]
    old = uuid4()
    await client.command(f"INSERT INTO config_revisions SELECT '{old}', now64(3) - INTERVAL 60 SECOND, 'before'")
    assert await revisions.younger_than(50) == [first, second]
    assert await revisions.younger_than(70) == [Revision(str(old), "before"), first, second]


async def test_answers_come_out_as_they_were_and_the_later_one_counts(revisions: Revisions) -> None:
    asked, other = await revisions.request("admin-1"), await revisions.request("admin-1")
    one = answer_to(asked, applied=False, changed_pools=(), error='config.toml: pools.normal.host: "missing"')
    two = answer_to(asked, proxy="proxy-2")
    await revisions.answer(answer_to(other))
    for answer in (replace(two, answered_ms=two.answered_ms - 1, applied=False), two, one, one):
        await revisions.answer(answer)
    assert await revisions.answers(asked) == [one, two]


async def test_with_clickhouse_away_it_says_so_soon() -> None:
    revisions = Revisions(ClickHouseAddress(port=unused_port()))
    async with asyncio.timeout(30):
        with pytest.raises(StoreUnavailable):
            await revisions.request("admin-1")
        with pytest.raises(StoreUnavailable):
            await revisions.younger_than(10)
    await revisions.close()
