"""`/api/events`: what happens now, step by step, out of the feed that the API serves to validators.

Read only while somebody listens, once per step for all of them; whoever comes back with the id of the step seen last
goes on behind it, up to 15 minutes back.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Header, Query
from fastapi.responses import JSONResponse, Response
from fastapi.sse import EventSourceResponse, format_sse_event

from services.dashboard.pages import NOT_STORED
from services.warehouse.feed import FeedGap, event_id
from services.warehouse.feed_steps import FeedStep

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from services.warehouse.feed import Feed, FeedOutage
    from services.warehouse.feed_steps import Failover, FeedSession

_HEADERS: Final = {**NOT_STORED, "X-Accel-Buffering": "no"}


def router(feed: Feed) -> APIRouter:
    """`/api/events`."""
    routes = APIRouter()

    @routes.get("/api/events")
    async def events(
        after: Annotated[str, Query()] = "", last_event_id: Annotated[str, Header(alias="Last-Event-ID")] = ""
    ) -> Response:
        if feed.full:
            return JSONResponse({"error": "As many streams are open as may be"}, 503, NOT_STORED)
        return EventSourceResponse(_stream(feed, event_id(last_event_id or after)), headers=_HEADERS)

    return routes


async def _stream(feed: Feed, after: int | None) -> AsyncGenerator[bytes]:
    async with aclosing(feed.entries(after)) as entries:
        async for entry in entries:
            yield _event(entry)


def _event(entry: FeedStep | FeedGap | FeedOutage) -> bytes:
    if isinstance(entry, FeedStep):
        return _written("step", _step(entry), str(entry.end))
    return _written("gap" if isinstance(entry, FeedGap) else "outage", asdict(entry))


def _written(name: str, facts: dict[str, Any], identity: str | None = None) -> bytes:
    return format_sse_event(event=name, id=identity, data_str=msgspec.json.encode(facts).decode())


def _step(step: FeedStep) -> dict[str, Any]:
    """As the API tells it (docs/API.md), but with hash rates in H/s and times in unix seconds, as all JSON here."""
    return {
        "start": step.start,
        "end": step.end,
        "shares_accepted": step.accepted,
        "shares_rejected": step.rejected,
        "accepted_per_second": step.accepted_per_second,
        "hash_rate_5m": step.hash_rate_5m,
        "pools": {
            label: {
                "shares_accepted": pool.accepted,
                "shares_rejected": pool.rejected,
                "hash_rate_5m": pool.hash_rate_5m,
            }
            for label, pool in step.pools.items()
        },
        "connected": step.connected,
        "disconnected": step.disconnected,
        "connects": [_session(one) for one in step.connects],
        "disconnects": [_session(one) for one in step.disconnects],
        "failovers": [_failover(one) for one in step.failovers],
    }


def _session(one: FeedSession) -> dict[str, Any]:
    return {
        "time": one.time,
        "proxy": one.proxy,
        "pool": one.pool_label,
        "miner": one.miner,
        "workers": one.workers,
        "reason": one.reason,
    }


def _failover(one: Failover) -> dict[str, Any]:
    return {"time": one.time, "proxy": one.proxy, "pool": one.pool_label, "left": one.left, "taken": one.taken}
