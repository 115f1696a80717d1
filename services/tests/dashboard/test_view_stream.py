from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import Any

from services.dashboard.miners import Miner
from services.dashboard.view import Cell, View, change
from services.dashboard.view_stream import ViewStream

INTERVAL_SECONDS = 0.1


class Looks:
    """Counts looks; each sees one more share, and miner `b` in every second one only."""

    def __init__(self) -> None:
        self.count = 0
        self.failing = False

    async def __call__(self) -> View:
        self.count += 1
        await asyncio.sleep(0.02)
        if self.failing:
            raise RuntimeError("a fault in the look")
        miners = {"a": miner(1), **({"b": miner(2)} if self.count % 2 else {})}
        return view(str(self.count), miners)


def miner(accepted: int) -> Miner:
    return Miner("rig", "normal", "active", 1.0, accepted, {}, 1.0, 1.0, 9, 2.0, "", 1, "10.0.0.1:1")


def view(shares: str, miners: dict[str, Miner], charts_at: int = 0) -> View:
    cells = {"shares": Cell(shares), "constant": Cell("same")}
    return View(0, INTERVAL_SECONDS, "good", "title", cells, ("normal",), miners, charts_at)


def parsed(event: bytes) -> tuple[str, dict[str, Any]]:
    name, data, *_ = event.decode().split("\n")
    return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))


async def first(views: ViewStream, count: int) -> list[tuple[str, dict[str, Any]]]:
    events = []
    async with aclosing(views.events()) as stream:
        async for event in stream:
            events.append(parsed(event))
            if len(events) == count:
                break
    return events


async def test_a_stream_starts_whole_and_goes_on_with_what_changed() -> None:
    events = await first(ViewStream(Looks(), INTERVAL_SECONDS), 3)
    assert [name for name, _ in events] == ["view", "patch", "patch"]
    assert events[0][1]["cells"]["constant"]["text"] == "same"
    assert set(events[0][1]["miners"]) == {"a", "b"}
    assert events[1][1]["cells"] == {"shares": {"text": "2", "title": "", "unix": None}}
    assert (events[1][1]["miners"], events[1][1]["gone"]) == ({}, ["b"])
    assert set(events[2][1]["miners"]) == {"b"}


async def test_fifty_streams_and_page_loads_cost_one_look_per_interval() -> None:
    looks = Looks()
    views = ViewStream(looks, INTERVAL_SECONDS)
    streams = await asyncio.gather(*(first(views, 5) for _ in range(50)), *(first(views, 1) for _ in range(50)))
    assert 5 <= looks.count <= 6
    assert [data["cells"]["shares"]["text"] for _, data in streams[0]] == ["1", "2", "3", "4", "5"]
    await asyncio.gather(*(views.view() for _ in range(50)))
    assert looks.count <= 7


async def test_nobody_watching_costs_nothing() -> None:
    looks = Looks()
    views = ViewStream(looks, INTERVAL_SECONDS)
    await first(views, 2)
    seen = looks.count
    await asyncio.sleep(3 * INTERVAL_SECONDS)
    assert looks.count == seen


async def test_a_slow_reader_gets_the_whole_view_instead_of_a_backlog() -> None:
    views = ViewStream(Looks(), INTERVAL_SECONDS)
    async with aclosing(views.events()) as stream:
        await anext(stream)
        await asyncio.sleep(5 * INTERVAL_SECONDS)
        name, data = parsed(await anext(stream))
    assert name == "view"
    assert int(data["cells"]["shares"]["text"]) > 3


async def test_a_failing_look_does_not_end_the_streams() -> None:
    looks = Looks()
    views = ViewStream(looks, INTERVAL_SECONDS)
    async with aclosing(views.events()) as stream:
        await anext(stream)
        looks.failing = True
        await asyncio.sleep(3 * INTERVAL_SECONDS)
        looks.failing = False
        async with asyncio.timeout(30):
            await anext(stream)


async def test_close_ends_every_stream() -> None:
    views = ViewStream(Looks(), INTERVAL_SECONDS)

    async def count() -> int:
        return len([event async for event in views.events()])

    watching = [asyncio.create_task(count()) for _ in range(3)]
    await asyncio.sleep(2.5 * INTERVAL_SECONDS)
    views.close()
    async with asyncio.timeout(30):
        assert all(number >= 1 for number in await asyncio.gather(*watching))
        assert await count() == 0


def test_a_miner_is_sent_as_an_array_and_only_when_it_changed() -> None:
    same = json.loads(change(view("1", {"a": miner(1)}), view("2", {"a": miner(1)}, 60)))
    other = json.loads(change(view("1", {"a": miner(1)}), view("2", {"a": miner(2)})))
    assert (same["miners"], same["charts_at"]) == ({}, 60)
    assert other["miners"]["a"][:5] == ["rig", "normal", "active", 1.0, 2]
