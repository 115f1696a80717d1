"""GET /api/shares/raw against the shares that were kept: every field, every format, every page."""

from __future__ import annotations

import csv
import io
import json
import random
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from services.api import raw_shares as endpoint
from services.tests.api.conftest import ADMIN, READ, api
from services.tests.api.listed_share import said
from services.tests.api.test_access import assert_error
from services.tests.warehouse.rows import make_share
from services.tests.warehouse.test_rowbinary import insert
from services.warehouse import share_export
from services.warehouse.client import Connection
from services.warehouse.rowbinary import RowEncoder, Stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx
    from clickhouse_connect.driver.asyncclient import AsyncClient

    from services.warehouse.address import ClickHouseAddress


START, END = 1_789_000_000, 1_789_000_000 + 7200
HOSTILE = 'quote " comma , newline \n <script>alert(1)</script> ü'
# Two proxies' processes, whose numbers begin alike.
SEGMENTS = (UUID(int=77), UUID(int=7))
PERIOD = {"start_time": START, "end_time": END}


@pytest.fixture
async def client(store: ClickHouseAddress) -> AsyncIterator[AsyncClient]:
    connection = Connection(store)
    yield await connection.client()
    await connection.close()


@pytest.fixture
async def kept(client: AsyncClient) -> list[dict[str, Any]]:
    """4,000 shares of two proxies, on both sides of every edge, hundreds in one second; what the API must say."""
    rng = random.Random(6)
    moments = [START * 1000 + rng.randrange(-600_000, 7_800_000) for _ in range(1500)]
    moments += [(START + 3000) * 1000 + rng.randrange(1000) for _ in range(400)]
    moments += [edge * 1000 + offset for edge in (START, END) for offset in (-1, 0, 1)] * 10
    found: list[tuple[tuple[int, str, int], dict[str, Any]]] = []
    for segment in SEGMENTS:
        encoder = RowEncoder(segment)
        rows = []
        for seq, ts_ms in enumerate(moments, start=1):
            worker = HOSTILE if seq % 9 == 0 else f"rig{seq % 5}"
            share = make_share(rng, ts_ms=ts_ms, worker=worker, pool_label=rng.choice(("normal", "tiny")))
            rows.append(encoder.share(share, seq))
            if share.accepted and START * 1000 <= ts_ms < END * 1000:
                found.append(((ts_ms, str(segment), seq), said(share, segment, seq)))
        await insert(client, Stream.SHARES, b"".join(rows))
    return [row for _, row in sorted(found, key=lambda one: one[0])]


@pytest.fixture
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if far more shares were there."""
    monkeypatch.setattr(share_export, "SLICE_ROWS", 100)
    monkeypatch.setattr(share_export, "_MOST_ROWS", 200)


async def get(client: httpx.AsyncClient, media_type: str = "application/json", **parameters: Any) -> httpx.Response:
    answer = await client.get("/api/shares/raw", params=PERIOD | parameters, headers={**READ, "Accept": media_type})
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith(media_type)
    return answer


@pytest.mark.usefixtures("small_slices")
async def test_every_field_of_every_share(store: ClickHouseAddress, kept: list[dict[str, Any]]) -> None:
    async with api(store) as client:
        answer = await get(client)
        assert answer.json() == {
            "total_count": len(kept),
            "start_time": START,
            "end_time": END,
            "next_cursor": None,
            "shares": kept,
        }
        assert answer.headers["X-Total-Count"] == str(len(kept))
        assert "X-Next-Cursor" not in answer.headers
        for wanted in ({"worker": HOSTILE}, {"pool": "tiny"}, {"pool": "normal", "worker": "rig1"}, {"worker": "none"}):
            names = {"worker": "worker", "pool": "pool_label"}
            chosen = [row for row in kept if all(row[names[key]] == value for key, value in wanted.items())]
            narrowed = (await get(client, **wanted)).json()
            assert (narrowed["shares"], narrowed["total_count"]) == (chosen, len(chosen))


@pytest.mark.usefixtures("small_slices")
async def test_other_formats_say_the_same(
    store: ClickHouseAddress, client: AsyncClient, kept: list[dict[str, Any]]
) -> None:
    async with api(store) as reader:
        lines = (await get(reader, "application/x-ndjson")).text.splitlines()
        assert [json.loads(line) for line in lines] == kept
        table = (await get(reader, "text/csv")).text
        rows: list[dict[str, Any]] = list(csv.DictReader(io.StringIO(table, newline="")))
        assert list(rows[0]) == list(kept[0])
        assert [typed(row, kept[0]) for row in rows] == kept
        for number, (media_type, form) in enumerate(
            {
                "application/vnd.apache.arrow.stream": "ArrowStream",
                "application/vnd.apache.parquet": "Parquet",
            }.items()
        ):
            data = (await get(reader, media_type)).content
            # Read back by the engine itself.
            columns = ", ".join(f"{name} {kind(value)}" for name, value in kept[0].items())
            await client.command(f"CREATE TABLE back{number} ({columns}) ENGINE = Memory")
            await client.raw_insert(f"back{number}", insert_block=data, fmt=form)
            found = await client.query(f"SELECT * FROM back{number}")
            got = [dict(zip(found.column_names, row, strict=True)) for row in found.result_rows]
            assert sorted(got, key=by_id) == sorted(kept, key=by_id)


def by_id(row: dict[str, Any]) -> str:
    return str(row["id"])


def kind(value: Any) -> str:
    return {int: "Int64", float: "Float64", str: "String"}[type(value)]


def typed(row: dict[str, str], like: dict[str, Any]) -> dict[str, Any]:
    return {name: type(value)(row[name]) for name, value in like.items()}


@pytest.mark.usefixtures("small_slices")
@pytest.mark.parametrize(("limit", "media_type"), [(397, "application/json"), (1000, "application/x-ndjson")])
async def test_pages_follow_each_other_without_a_gap_or_a_double(
    store: ClickHouseAddress, kept: list[dict[str, Any]], limit: int, media_type: str
) -> None:
    seen: list[dict[str, Any]] = []
    cursor: dict[str, Any] = {}
    async with api(store) as client:
        while True:
            answer = await get(client, media_type, limit=limit, **cursor)
            page = answer.json()["shares"] if media_type == "application/json" else lines_of(answer)
            seen += page
            assert answer.headers["X-Total-Count"] == str(len(kept))
            following = answer.headers.get("X-Next-Cursor")
            if media_type == "application/json":
                assert answer.json()["next_cursor"] == following
            if following is None:
                break
            assert len(page) == limit
            cursor = {"cursor": following}
    assert seen == kept


def lines_of(answer: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.text.splitlines()]


async def test_a_limit_that_is_just_enough_has_no_next_page(
    store: ClickHouseAddress, kept: list[dict[str, Any]]
) -> None:
    async with api(store) as client:
        assert (await get(client, limit=len(kept))).json()["next_cursor"] is None
        cursor = (await get(client, limit=len(kept) - 1)).json()["next_cursor"]
        last = (await get(client, limit=len(kept), cursor=cursor)).json()
        assert (last["shares"], last["next_cursor"]) == (kept[-1:], None)
        # A cursor from elsewhere in time gives what follows it, and nothing where nothing does.
        beyond = (await get(client, cursor=f"{END * 1000 + 5}-{SEGMENTS[0]}-1")).json()
        before = (await get(client, cursor=f"5-{SEGMENTS[0]}-1")).json()
        assert (beyond["shares"], len(before["shares"])) == ([], len(kept))


async def test_nothing_is_an_answer_in_every_format(store: ClickHouseAddress) -> None:
    async with api(store) as client:
        assert (await get(client)).json()["shares"] == []
        assert (await get(client, "application/x-ndjson")).text == ""
        assert (await get(client, "text/csv")).text.count("\n") == 1
        assert (await get(client, "application/vnd.apache.arrow.stream")).content.endswith(bytes(4))
        assert (await get(client, "application/vnd.apache.parquet")).content.endswith(b"PAR1")


async def test_what_cannot_be_answered(store: ClickHouseAddress, monkeypatch: pytest.MonkeyPatch) -> None:
    async with api(store) as client:

        async def ask(**parameters: Any) -> httpx.Response:
            return await client.get("/api/shares/raw", params=PERIOD | parameters, headers=READ)

        assert_error(await client.get("/api/shares/raw", params=PERIOD), 401, "MISSING_TOKEN")
        assert_error(await client.get("/api/shares/raw", params=PERIOD, headers=ADMIN), 403, "INSUFFICIENT_SCOPE")
        assert_error(await ask(start_time=END), 400, "INVALID_PERIOD")
        for cursor in ("", "x", f"5-{SEGMENTS[0]}-{1 << 64}", "٣-" + str(SEGMENTS[0]) + "-1"):
            assert_error(await ask(cursor=cursor), 400, "INVALID_CURSOR")
        for parameters in ({"limit": 0}, {"limit": 1_000_001}, {"end_time": "x"}, {"cursor": "1" * 129}):
            assert_error(await ask(**parameters), 422, "INVALID_PARAMETER")
        refused = await client.get("/api/shares/raw", params=PERIOD, headers={**READ, "Accept": "image/png"})
        assert_error(refused, 406, "NOT_ACCEPTABLE")
    monkeypatch.setattr(endpoint, "MOST_STREAMS", 0)
    async with api(store) as client:
        full = await client.get("/api/shares/raw", params=PERIOD, headers=READ)
        assert_error(full, 503, "TOO_MANY_STREAMS")
        assert full.headers["Retry-After"] == "5"
