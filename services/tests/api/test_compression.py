"""Bodies are compressed for whoever takes it, once for all who ask the same, and none twice."""

from __future__ import annotations

import asyncio
import gzip
import time
import zlib
from typing import TYPE_CHECKING

from services.tests.api.conftest import READ, api, keep
from services.tests.api.known_shares import known_shares

if TYPE_CHECKING:
    import httpx
    import pytest

    from services.warehouse.address import ClickHouseAddress

NOW = int(time.time())
STATS = "/api/workers/stats"
LARGE = (STATS, "/openapi.json", "/static/swagger-ui.css", "/static/docs.js")


async def raw_body(client: httpx.AsyncClient, path: str, coding: str) -> tuple[httpx.Response, bytes]:
    """An answer, and its body as it came."""
    async with client.stream("GET", path, headers={**READ, "Accept-Encoding": coding}) as answer:
        return answer, b"".join([piece async for piece in answer.aiter_raw()])


async def test_who_takes_gzip_gets_the_same_in_less(store: ClickHouseAddress) -> None:
    await keep(store, known_shares(NOW, spread=100))
    async with api(store, now=NOW) as client:
        for path in LARGE:
            plain, body = await raw_body(client, path, "identity")
            assert (plain.status_code, plain.headers.get("Content-Encoding")) == (200, None)
            for refusing in ("gzip;q=0", "br", "gzip;q=0, *"):
                refused, same = await raw_body(client, path, refusing)
                assert (refused.headers.get("Content-Encoding"), same) == (None, body)
            for taking in ("gzip", "br, gzip;q=0.2", "*"):
                packed, smaller = await raw_body(client, path, taking)
                if len(body) < 1024:
                    assert smaller == body
                    continue
                assert packed.headers["Content-Encoding"] == "gzip"
                assert packed.headers["Content-Length"] == str(len(smaller))
                assert "Accept-Encoding" in packed.headers["Vary"]
                assert gzip.decompress(smaller) == body
                assert packed.headers["ETag"].removeprefix("W/") == plain.headers["ETag"].removeprefix("W/")
                known = {**READ, "If-None-Match": packed.headers["ETag"], "Accept-Encoding": taking}
                again = await client.get(path, headers=known)
                assert (again.status_code, again.content) == (304, b"")
                assert "Content-Encoding" not in again.headers


async def test_a_hundred_clients_cost_one_compression(
    store: ClickHouseAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    await keep(store, known_shares(NOW, spread=100))
    done: list[bytes] = []
    compress = zlib.compress

    def counted(body: bytes, *more: int) -> bytes:
        done.append(body)
        return compress(body, *more)

    monkeypatch.setattr("services.api.shared_body.zlib.compress", counted)
    async with api(store, now=NOW) as client:
        asked = (client.get(STATS, headers={**READ, "Accept-Encoding": "gzip"}) for _ in range(100))
        bodies = {answer.content for answer in await asyncio.gather(*asked)}
    assert bodies == {done[0]}
    assert len(done) == 1


async def test_columns_that_are_compressed_already_are_sent_as_they_are(store: ClickHouseAddress) -> None:
    await keep(store, known_shares(NOW, spread=100))
    period = {"start_time": NOW - 86_400, "end_time": NOW}
    async with api(store) as client:
        for kind, coding in (("vnd.apache.parquet", None), ("vnd.apache.arrow.stream", None), ("x-ndjson", "gzip")):
            headers = {**READ, "Accept": f"application/{kind}", "Accept-Encoding": "gzip"}
            answer = await client.get("/api/shares/raw", params=period, headers=headers)
            assert answer.headers.get("Content-Encoding") == coding
