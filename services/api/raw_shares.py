"""GET /api/shares/raw: the accepted shares themselves, streamed, in the format that the client accepts."""

from __future__ import annotations

import json
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Query
from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from services.api.accept import best_of
from services.api.authorization import require_scope
from services.api.errors import ApiError, ErrorBody
from services.api.models import Body
from services.api.periods import LATEST
from services.api.plain_integer import PLAIN_INTEGER
from services.api.refusals import LIMITED, PARAMETER_REFUSED, PERIOD_REFUSED, STORE_FAILED, TOKEN_REFUSED, TOLD
from services.api.routes import PoolName, WorkerName  # noqa: TC001 - FastAPI reads them at run time
from services.api.watched_stream import WatchedStream
from services.warehouse.raw_shares import CursorError, JsonArray, RawCursor, joiner
from services.warehouse.share_query import ShareQuery

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from services.warehouse.raw_shares import RawFormat, RawPage, RawShares

MEDIA_TYPES: Final[dict[str, RawFormat]] = {
    "application/json": "json",
    "application/x-ndjson": "ndjson",
    "text/csv": "csv",
    "application/vnd.apache.arrow.stream": "arrow",
    "application/vnd.apache.parquet": "parquet",
}
MOST_STREAMS: Final = 8
"""Each holds a slice of some ten thousand shares in memory."""
_PIECE_BYTES: Final = 1 << 18
LIMIT_AT_MOST: Final = 1_000_000
_BINARY: Final = {"schema": {"type": "string", "format": "binary"}}

Start = Annotated[
    int, Query(ge=0, le=LATEST, description="Unix seconds, inclusive", examples=[1749000000]), PLAIN_INTEGER
]
End = Annotated[
    int, Query(ge=0, le=LATEST, description="Unix seconds, exclusive", examples=[1749003600]), PLAIN_INTEGER
]
Limit = Annotated[
    # Bounds beside the whole union would not reach the schema.
    Annotated[int, Field(ge=1, le=LIMIT_AT_MOST), PLAIN_INTEGER] | SkipJsonSchema[None],
    Query(description="At most so many shares; omitted: all of the period", examples=[10000]),
]
Cursor = Annotated[
    str | SkipJsonSchema[None],
    Query(
        max_length=128,
        description="next_cursor of the page before",
        examples=["1749000000123-5f3a1c62-6d1b-4b0e-9a51-6a0f4c8d1e22-17"],
    ),
]
Accept = Annotated[
    str | SkipJsonSchema[None],
    Header(max_length=1024, description=f"One of {', '.join(MEDIA_TYPES)}; JSON where it says nothing"),
]


class RawShare(Body):
    """One accepted share."""

    id: Annotated[
        str,
        Field(
            description="Its name for ever, as /api/shares/{id}/proof takes it",
            examples=["5f3a1c62-6d1b-4b0e-9a51-6a0f4c8d1e22-17"],
        ),
    ]
    timestamp: Annotated[int, Field(description="When it was submitted, unix seconds", examples=[1749000553])]
    timestamp_ms: Annotated[int, Field(description="The same in milliseconds", examples=[1749000553218])]
    miner: Annotated[str, Field(description="The miner's address, ip:port", examples=["10.0.0.7:52114"])]
    worker: Annotated[str, Field(examples=["abelatent.worker01"])]
    pool: Annotated[str, Field(description="The pool's address, host:port", examples=["pool.example:3333"])]
    pool_label: Annotated[str, Field(description="The pool's name", examples=["normal"])]
    pool_difficulty: Annotated[
        float, Field(ge=0, description="Credited difficulty: what the share was checked against", examples=[16384.0])
    ]
    pool_requested_difficulty: Annotated[float, Field(ge=0, description="What the pool asked for", examples=[16384.0])]
    actual_difficulty: Annotated[float, Field(ge=0, description="0xFFFF * 2^208 / hash", examples=[20113.75])]
    block_hash: Annotated[
        str,
        Field(
            description="The header's hash as people write it; empty where no header is known",
            pattern="^([0-9a-f]{64})?$",
            examples=["00000000000009a9f2dd41ba5b5d1c17c2d9a1dd5be2e8ec9a9bd8a9c33a0001"],
        ),
    ]


class RawAnswer(Body):
    """Shares of the period, the oldest first."""

    total_count: Annotated[int, Field(ge=0, description="Shares of the period that match, on all pages")]
    start_time: Annotated[int, Field(description="As asked for")]
    end_time: Annotated[int, Field(description="As asked for")]
    next_cursor: Annotated[str | None, Field(description="Where the next page begins; null on the last")]
    shares: list[RawShare]


_HEADERS: Final[dict[str, Any]] = {
    **TOLD,
    "X-Total-Count": {"description": "total_count, whatever the format", "schema": {"type": "integer"}},
    "X-Next-Cursor": {"description": "next_cursor, whatever the format", "schema": {"type": "string"}},
}
_ANSWERED: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "model": RawAnswer,
        "headers": _HEADERS,
        "content": {media_type: _BINARY for media_type in MEDIA_TYPES if media_type != "application/json"},
    },
    406: {
        "model": ErrorBody,
        "description": "None of the formats that the header Accept names",
        "headers": TOLD,
    },
}


def raw_share_routes(raw: RawShares) -> APIRouter:
    """For holders of the scope `read`."""
    router = APIRouter(
        prefix="/api/shares",
        tags=["shares"],
        dependencies=[Depends(require_scope("read"))],
        responses={**_ANSWERED, **LIMITED, **PERIOD_REFUSED, **TOKEN_REFUSED, **PARAMETER_REFUSED, **STORE_FAILED},
    )
    streams = _Places(MOST_STREAMS)

    @router.get("/raw", summary="The accepted shares of a period, one by one", response_class=WatchedStream)
    async def shares_raw(
        start_time: Start,
        end_time: End,
        worker: WorkerName = None,
        pool: PoolName = None,
        limit: Limit = None,
        cursor: Cursor = None,
        accept: Accept = None,
    ) -> WatchedStream:
        if start_time >= end_time:
            raise ApiError(400, "INVALID_PERIOD", "start_time must be before end_time")
        media_type = best_of(accept, tuple(MEDIA_TYPES))
        if media_type is None:
            raise ApiError(406, "NOT_ACCEPTABLE", f"Accept must allow one of {', '.join(MEDIA_TYPES)}")
        try:
            after = None if cursor is None else RawCursor.parse(cursor)
        except CursorError:
            raise ApiError(400, "INVALID_CURSOR", "The cursor must be the next_cursor of another answer") from None
        query = ShareQuery(start_time, end_time, worker=worker, pool=pool, verdict="accepted")
        # Up to the first shares, what goes wrong is still an answer that says so, and comes in time.
        async with raw.in_time():
            page = await raw.page(query, after, limit)
            body = _document(raw, page, query, MEDIA_TYPES[media_type], streams)
            first = await anext(body)
        headers = {"X-Total-Count": str(page.total), "Cache-Control": "no-store", "Vary": "Accept"}
        if page.next_cursor is not None:
            headers["X-Next-Cursor"] = str(page.next_cursor)
        return WatchedStream(_pieces(first, body), media_type=media_type, headers=headers)

    return router


class _Places:
    """So many at a time; there is no queue."""

    def __init__(self, places: int) -> None:
        self._free = places

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        if not self._free:
            raise ApiError(503, "TOO_MANY_STREAMS", "As many streams are open as may be", {"Retry-After": "5"})
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1


async def _document(
    raw: RawShares, page: RawPage, query: ShareQuery, form: RawFormat, streams: _Places
) -> AsyncGenerator[bytes]:
    """The body in pieces; the first holds the first shares."""
    async with streams.one():
        join = joiner(form)
        before = _json_head(page, query) if isinstance(join, JsonArray) else join.head
        async for part in raw.parts(page, form):
            yield before + join.add(part)
            before = b""
        yield before + (b"]}\n" if isinstance(join, JsonArray) else join.end())


def _json_head(page: RawPage, query: ShareQuery) -> bytes:
    facts = {
        "total_count": page.total,
        "start_time": query.start,
        "end_time": query.end,
        "next_cursor": None if page.next_cursor is None else str(page.next_cursor),
    }
    return json.dumps(facts)[:-1].encode() + b', "shares": ['


async def _pieces(first: bytes, rest: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """Small enough that a slow reader does not make this process hold the same shares twice."""
    async with aclosing(rest):
        part: bytes | None = first
        while part is not None:
            for begin in range(0, len(part), _PIECE_BYTES):
                yield part[begin : begin + _PIECE_BYTES]
            part = await anext(rest, None)
