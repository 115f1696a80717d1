"""The page as the server sends it, read without JavaScript."""

from __future__ import annotations

import asyncio
import json
import re
import time
from html.parser import HTMLParser
from typing import Any
from uuid import uuid4

import httpx
import pytest

from services.command.status import line
from services.dashboard.options import DashboardOptions
from services.dashboard.server import serve
from services.tests.conftest import unused_port
from services.tests.dashboard.conftest import connect, dashboard, keep, tell
from services.tests.warehouse.test_proxies import make_session
from services.warehouse.address import ClickHouseAddress
from services.warehouse.proxy_state import PoolState
from services.warehouse.queries import Queries

EVIL = "<script>document.title='owned'</script>\"'onmouseover=alert(1) &amp; </td>"


class Table(HTMLParser):
    """The cells of the table of miners, and every tag and attribute of the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[dict[str, str]] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self._cell: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        facts = dict(attrs)
        self.tags.add(tag)
        self.attributes |= facts.keys()
        if tag == "tr" and "data-row" in facts:
            self.rows.append({})
        if tag == "td":
            self._cell = (facts.get("class") or "").split()[0]

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self.rows[-1][self._cell] = self.rows[-1].get(self._cell, "") + data

    def handle_endtag(self, tag: str) -> None:
        if tag == "td":
            self._cell = None


def sentence(page: str) -> str:
    found = re.search(r'data-cell="sentence">([^<]*)<', page)
    assert found
    return found[1]


def figure(page: str, name: str) -> str:
    found = re.search(rf'data-cell="{name}"[^>]*>([^<]*)<', page)
    assert found
    return found[1]


async def page_of(address: ClickHouseAddress, query: str = "?state=all") -> str:
    """The page with figures: on a busy machine the database may be too slow for it at first."""
    async with dashboard(address) as url, httpx.AsyncClient(timeout=30) as client, asyncio.timeout(50):
        while True:
            answer = await client.get(f"{url}/{query}")
            assert answer.status_code == 200
            if not sentence(answer.text).startswith("The database "):
                return answer.text


async def test_an_empty_store_teaches_how_to_connect(store: ClickHouseAddress) -> None:
    await tell(store)
    page = await page_of(store)
    assert sentence(page) == "Ready, and no miner yet."
    assert "stratum+tcp://127.0.0.1:3331" in page
    assert "stratum+tcp://127.0.0.1:3332" in page
    assert re.search(r"<details\s+open", page)
    assert figure(page, "hash_rate") == "0 H/s"
    assert figure(page, "acceptance") == "–"
    assert Table(page).rows == []


async def test_figures_are_what_the_shares_say(store: ClickHouseAddress) -> None:
    await keep(store, "rig.a", count=60, difficulty=65536.0, pool="high_diff")
    await keep(store, "rig.a", count=2, difficulty=65536.0, pool="high_diff", miner="10.0.0.2:6000", connected=False)
    await keep(store, "rig.a", count=2, reason="stale", pool="high_diff", difficulty=65536.0)
    await keep(store, "rig.a", count=1, reason="pool_low_difficulty", pool="high_diff", difficulty=65536.0)
    await keep(store, "rig.b", count=30, difficulty=0.5)
    await keep(store, "rig.b", count=10, difficulty=0.5, age_seconds=1800)
    await keep(store, "rig.c", count=7, age_seconds=4000)
    page = await page_of(store)
    table = Table(page)
    assert [row["worker"] for row in table.rows] == ["rig.a", "rig.b", "rig.c"]
    a, b, c = table.rows
    assert a["hash_rate"] == "58.2 TH/s"  # 62 * 65536 * 2^32 / 300
    assert a["accepted"] == "62"
    assert a["rejected"] == "3 (stale 2, pool low difficulty 1)"
    assert (a["state"], a["connected"]) == ("● active", "1 h ago")
    assert (a["difficulty"], a["best"], a["pool"]) == ("65.5 k", "5.00 M", "high_diff")
    assert (b["hash_rate"], b["accepted"], b["rejected"], b["difficulty"]) == ("215 MH/s", "40", "0", "0.5")
    assert re.fullmatch(r"\d s ago", b["last_share"])
    assert (c["hash_rate"], c["last_share"], c["state"]) == ("0 H/s", "1 h ago", "▲ silent")
    assert sentence(page) == "1 miner fell silent: rig.c."
    assert (figure(page, "connected"), figure(page, "connected_under")) == ("2", "3 workers, 3 connections")
    assert (figure(page, "shares"), figure(page, "acceptance")) == ("109", "97.32 %")


@pytest.mark.parametrize(
    ("shares", "wanted"),
    [
        ([("a", 2, 1, ""), ("b", 1500, 1, "")], "1 miner fell silent: b."),
        ([("a", 700, 1, "")], "No miner has had a share accepted for 10 minutes."),
        ([("a", 5, 3, "stale")], "No miner has had a share accepted for 10 minutes."),
        ([("a", 2, 90, ""), ("a", 2, 10, "duplicate")], "10.00 % of the shares of the last 24 hours were refused."),
        ([("a", 2, 9, ""), ("a", 2, 1, "duplicate")], "All is well: 1 miner, 1 pool, 132 GH/s."),
    ],
)
async def test_the_first_line_says_what_is_wrong(
    store: ClickHouseAddress, shares: list[tuple[str, float, int, str]], wanted: str
) -> None:
    for worker, age_seconds, count, reason in shares:
        await keep(store, worker, age_seconds=age_seconds, count=count, reason=reason)
    assert sentence(await page_of(store)) == wanted


async def test_connected_miners_show_before_their_first_share_and_go_with_their_proxy(
    store: ClickHouseAddress,
) -> None:
    await connect(store, "new", age_seconds=30, miner="10.0.0.1:1")
    page = await page_of(store)
    assert sentence(page) == "Ready: 1 miner connected, and no share yet."
    (row,) = Table(page).rows
    assert (row["worker"], row["state"], row["hash_rate"]) == ("new", "○ waiting", "0 H/s")
    assert re.fullmatch(r"\d+ s ago", row["connected"])
    await connect(store, "shareless", age_seconds=700, miner="10.0.0.1:2")
    await connect(store, age_seconds=30, miner="10.0.0.1:3")
    await connect(store, "one", "two", age_seconds=30, miner="10.0.0.1:4", pool="high_diff")
    await keep(store, "worker", miner="10.0.0.1:5")
    # Somebody submitted in the name of a worker that was not authorized: refused, and nobody's.
    await keep(store, "", miner="10.0.0.1:5", pool="high_diff", reason="unauthorized", connected=False)
    # Connected to a replica that died, with a share just before: mining nowhere.
    dead: dict[str, Any] = {"instance": str(uuid4()), "proxy": "replica-2", "ts_ms": int((time.time() - 60) * 1000)}
    await connect(store, "widow", age_seconds=900, miner="10.0.0.1:6", **dead)
    await keep(store, "widow", age_seconds=61, connected=False)
    page = await page_of(store)
    assert {row["worker"]: row["state"] for row in Table(page).rows} == {
        "new": "○ waiting",
        "shareless": "▲ silent",
        "(no name yet)": "○ waiting",
        "one": "○ waiting",
        "two": "○ waiting",
        "worker": "● active",
        "widow": "○ left",
    }
    assert {row["connected"] for row in Table(page).rows if row["worker"] == "widow"} == {"no"}
    assert re.fullmatch(r"The proxy replica-2 died, or cannot reach the database, \d+ (s|min) ago\.", sentence(page))
    assert (figure(page, "connected"), figure(page, "connected_under")) == ("2", "7 workers, 5 connections")


@pytest.mark.parametrize(
    ("heartbeat", "wanted"),
    [
        ({"spool_recording": False}, "The proxy proxy-1 does not record shares."),
        (
            {"pools": (PoolState(pool_label="normal", pool="pool:1", state="away", miners=1, upstreams=0),)},
            "The pool normal is away.",
        ),
        ({"stopped": True, "ts_ms": -90_000}, "No proxy runs: proxy-1 stopped 90 s ago."),
        ({"ts_ms": -90_000}, "No proxy runs: proxy-1 died, or cannot reach the database, 90 s ago."),
    ],
)
async def test_the_first_line_says_what_the_proxies_say(
    store: ClickHouseAddress, heartbeat: dict[str, Any], wanted: str
) -> None:
    if "ts_ms" in heartbeat:
        heartbeat = heartbeat | {"ts_ms": int(time.time() * 1000) + heartbeat["ts_ms"]}
    await connect(store, "rig", **heartbeat)
    said = re.sub(r"\d+ (s|min) ago", "90 s ago", sentence(await page_of(store)))
    assert said == wanted


async def test_a_connection_that_ends_in_this_very_second_is_no_connection(store: ClickHouseAddress) -> None:
    await tell(store, [make_session(disconnected_ms=int(time.time() * 1000) + 60_000, disconnect_reason="closed")])
    page = await page_of(store)
    assert (figure(page, "connected_under"), Table(page).rows) == ("0 workers, 0 connections", [])


async def test_the_page_counts_pools_as_the_api_does(store: ClickHouseAddress) -> None:
    await keep(store, "a", pool="normal")
    await keep(store, "b", pool="high_diff", age_seconds=40_000, connected=False)
    await keep(store, "c", pool="refusing", reason="stale")
    await keep(store, "d", pool="yesterday", age_seconds=90_000, connected=False)
    await connect(store, "e", pool="shareless", age_seconds=5)
    queries = Queries(store)
    stats = await queries.pool_stats(int(time.time()) + 1, None)
    await queries.close()
    assert stats.pools == ("high_diff", "normal")
    assert "2 pools" in line(stats)
    page = await page_of(store)
    assert ", 2 pools, " in page


async def test_a_hostile_worker_name_is_only_text(store: ClickHouseAddress) -> None:
    await keep(store, EVIL)
    await keep(store, "x", reason=EVIL)
    page = await page_of(store, "")
    plain = Table(page)
    assert [row["worker"] for row in plain.rows] == [EVIL, "x"]
    assert "document.title=" not in re.sub(r"&lt;script&gt;document\.title=", "", page)
    assert not any(name.startswith("on") for name in plain.attributes)


async def test_nothing_is_inline_and_nothing_from_elsewhere(store: ClickHouseAddress) -> None:
    async with dashboard(store) as url, httpx.AsyncClient(base_url=url, timeout=60) as client:
        answer = await client.get("/")
        policy = answer.headers["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        table = Table(answer.text)
        assert "style" not in table.tags | table.attributes
        assert not re.search(r"<script(?![^>]*\bsrc=)", answer.text)
        files = set(re.findall(r'(?:src|href)="\./(static/[^"#]+)"', answer.text))
        weight = 0
        for file in files:
            assert "//" not in file
            got = await client.get(f"/{file}")
            assert got.status_code == 200, file
            assert got.headers["Content-Security-Policy"] == policy
            weight += int(got.headers["Content-Length"]) if file.endswith(".js") else 0
        assert weight <= 150 * 1024


async def test_the_head_of_the_page_does_not_wait_for_the_database() -> None:
    asked, hung = asyncio.Event(), asyncio.Event()

    async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await hung.wait()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    address = ClickHouseAddress(port=server.sockets[0].getsockname()[1])
    async with dashboard(address) as url, httpx.AsyncClient(timeout=60) as client:
        for coding in ("gzip", "identity"):
            async with client.stream("GET", url, headers={"Accept-Encoding": coding}) as answer:
                assert answer.headers.get("Content-Encoding", "identity") == coding
                parts = answer.aiter_text()
                head = await anext(parts)
                assert "static/" in head
                assert head.rstrip().endswith("</header>")
                rest = "".join([part async for part in parts])
            assert asked.is_set()
            assert sentence(rest).startswith("The database ")
            assert rest.rstrip().endswith("</html>")
    hung.set()
    server.close()


async def test_an_event_stream_starts_whole_and_is_patched(store: ClickHouseAddress) -> None:
    await keep(store, "first")
    async with (
        dashboard(store) as url,
        httpx.AsyncClient(timeout=60) as client,
        client.stream("GET", f"{url}/events") as stream,
    ):
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        names, rows = [], []
        async for line in stream.aiter_lines():
            if line.startswith("event: "):
                names.append(line[7:])
            if line.startswith("data: "):
                rows.append(json.loads(line[6:])["miners"])
                if len(rows) == 1:
                    await keep(store, "second")
                if any("6:second@normal" in row for row in rows[1:]):
                    break
    assert names[0] == "view"
    assert set(names[1:]) == {"patch"}
    assert set(rows[0]) == {"5:first@normal"}


async def test_the_probe_answers_whatever_the_database_does() -> None:
    async with dashboard(ClickHouseAddress(port=unused_port())) as url, httpx.AsyncClient(timeout=60) as client:
        assert (await client.get(f"{url}/healthz")).json() == {"status": "ok"}
        page = (await client.get(url)).text
        assert sentence(page).startswith("The database is away since ")
        assert figure(page, "hash_rate") == "–"


async def test_a_stop_ends_open_streams(store: ClickHouseAddress, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.web.serving._GRACE_SECONDS", 600)
    async with httpx.AsyncClient(timeout=60) as client:
        async with dashboard(store) as url:
            request = client.build_request("GET", f"{url}/events")
            stream = await client.send(request, stream=True)
            lines = stream.aiter_lines()
            await anext(lines)
        async with asyncio.timeout(30):
            async for _ in lines:
                pass


async def test_a_port_in_use_is_named() -> None:
    listener = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    with pytest.raises(OSError, match=rf"the dashboard cannot listen on 127.0.0.1:{port} .*: set DASHBOARD_PORT"):
        await serve(DashboardOptions(port=port))
    listener.close()
