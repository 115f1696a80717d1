"""GET /api/events: what happens now, as server-sent events."""

from __future__ import annotations

from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Header
from fastapi.sse import format_sse_event
from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from services.api.authorization import require_scope
from services.api.errors import ApiError
from services.api.models import Body, HashRateUnit
from services.api.refusals import LIMITED, PARAMETER_REFUSED, TOKEN_REFUSED, TOLD, TOO_MANY_STREAMS
from services.api.watched_stream import WatchedStream
from services.api.window_figures import GIGA
from services.warehouse.feed import FeedGap, FeedOutage, event_id
from services.warehouse.feed_steps import FeedStep

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from services.warehouse.feed import Feed
    from services.warehouse.feed_steps import Failover, FeedSession

_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_RECONNECT_MS: Final = 2_000

Accepted = Annotated[int, Field(ge=0, description="Accepted shares in the step", examples=[12])]
Rejected = Annotated[int, Field(ge=0, description="Rejected shares in the step", examples=[0])]
Rate = Annotated[float, Field(ge=0, description="Hash rate of the 5 minutes that end with the step, Gh/s")]
Moment = Annotated[str, Field(description="When, in UTC, ISO 8601", examples=["2026-11-21T10:30:00.125Z"])]


class EventStream(WatchedStream):
    # The route names WatchedStream: else its errors would be described as events too.
    media_type = "text/event-stream"


class PoolStep(Body):
    """One pool in a step."""

    shares_accepted: Accepted
    shares_rejected: Rejected
    hash_rate_5m: Rate


class Connect(Body):
    """A miner came, or went."""

    time: Moment
    proxy: str
    pool: str
    miner: Annotated[str, Field(description="ip:port", examples=["10.0.0.7:52114"])]
    workers: list[str]
    reason: Annotated[str, Field(description="Why it went; empty for one that came")]


class PoolChange(Body):
    """A proxy went from one address of a pool to another, or back."""

    time: Moment
    proxy: str
    pool: str
    left: Annotated[str, Field(description="host:port", examples=["pool.example:3333"])]
    taken: Annotated[str, Field(description="host:port", examples=["backup.example:3333"])]


class Step(Body):
    """The data of an event `step`; its id is `end`."""

    start: Annotated[int, Field(description="Unix seconds, inclusive", examples=[1749000000])]
    end: Annotated[int, Field(description="Unix seconds, exclusive", examples=[1749000002])]
    shares_accepted: Accepted
    shares_rejected: Rejected
    accepted_per_second: Annotated[float, Field(ge=0, examples=[6.0])]
    hash_rate_unit: HashRateUnit
    hash_rate_5m: Rate
    pools: Annotated[dict[str, PoolStep], Field(description="Pools with a share in the last 5 minutes, by name")]
    connected: Annotated[int, Field(ge=0, description="How many miners came")]
    disconnected: Annotated[int, Field(ge=0, description="How many went")]
    connects: Annotated[list[Connect], Field(description="The first 100 of them")]
    disconnects: Annotated[list[Connect], Field(description="The first 100 of them")]
    failovers: list[PoolChange]


class Gap(Body):
    """The data of an event `gap`: these seconds are too old to be told again."""

    start: int
    end: int


class Outage(Body):
    """The data of an event `outage`: the database gives no answer; steps follow once it does again."""

    since: Moment
    trouble: Literal["unreachable", "opening", "slow", "refused"]


LastEventId = Annotated[
    str | SkipJsonSchema[None],
    Header(
        alias="Last-Event-ID",
        max_length=64,
        description="The id of the last event seen: the stream goes on behind it, up to 15 minutes back",
        examples=["1749000002"],
    ),
]
_ANSWERED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A stream without end: `step` every 2 seconds, with an `id`; `gap` and `outage` when need be",
        "headers": TOLD,
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


def event_routes(feed: Feed) -> APIRouter:
    """For holders of the scope `read`."""
    router = APIRouter(
        prefix="/api",
        tags=["live"],
        dependencies=[Depends(require_scope("read"))],
        responses={**_ANSWERED, **LIMITED, **TOKEN_REFUSED, **PARAMETER_REFUSED, **TOO_MANY_STREAMS},
    )

    @router.get("/events", summary="What happens now, as server-sent events", response_class=WatchedStream)
    async def events(last_event_id: LastEventId = None) -> EventStream:
        if feed.full:
            raise ApiError(503, "TOO_MANY_STREAMS", "As many streams are open as may be", {"Retry-After": "30"})
        return EventStream(_stream(feed, event_id(last_event_id)), headers=_HEADERS)

    return router


async def _stream(feed: Feed, after: int | None) -> AsyncGenerator[bytes]:
    # At once, so that a client knows that it is connected, and how soon to come back once it is not.
    yield f"retry: {_RECONNECT_MS}\n\n".encode()
    async with aclosing(feed.entries(after)) as entries:
        async for entry in entries:
            yield _event(entry)


def _event(entry: FeedStep | FeedGap | FeedOutage) -> bytes:
    name: str
    body: Body
    identity: str | None = None
    if isinstance(entry, FeedStep):
        name, body, identity = "step", _step(entry), str(entry.end)
    elif isinstance(entry, FeedGap):
        name, body = "gap", Gap(start=entry.start, end=entry.end)
    else:
        name, body = "outage", Outage(since=_moment(entry.since), trouble=entry.trouble)
    return format_sse_event(event=name, id=identity, data_str=body.model_dump_json())


def _step(step: FeedStep) -> Step:
    return Step(
        start=step.start,
        end=step.end,
        shares_accepted=step.accepted,
        shares_rejected=step.rejected,
        accepted_per_second=step.accepted_per_second,
        hash_rate_unit="Gh/s",
        hash_rate_5m=step.hash_rate_5m / GIGA,
        pools={
            label: PoolStep(
                shares_accepted=pool.accepted,
                shares_rejected=pool.rejected,
                hash_rate_5m=pool.hash_rate_5m / GIGA,
            )
            for label, pool in step.pools.items()
        },
        connected=step.connected,
        disconnected=step.disconnected,
        connects=[_session(one) for one in step.connects],
        disconnects=[_session(one) for one in step.disconnects],
        failovers=[_failover(one) for one in step.failovers],
    )


def _session(one: FeedSession) -> Connect:
    return Connect(
        time=_moment(one.time),
        proxy=one.proxy,
        pool=one.pool_label,
        miner=one.miner,
        workers=list(one.workers),
        reason=one.reason,
    )


def _failover(one: Failover) -> PoolChange:
    return PoolChange(time=_moment(one.time), proxy=one.proxy, pool=one.pool_label, left=one.left, taken=one.taken)


def _moment(unix_seconds: float) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
