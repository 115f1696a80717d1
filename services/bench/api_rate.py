"""Requests a second and their time: /api/workers/stats of 1,000 workers, against a constant body of the same size.

Both come from the same FastAPI app in one process, with the same token check, limits, tags and headers, by turns; the
clients keep 100 connections busy from another process' core. Then, with nothing in store: all clients ask at once at
the begin of a second, so that the time holds the database's query and the making of the body, compressed (as most
clients ask for it) and not. Where other load makes the database miss its deadline, such answers (503) are counted, and
told.
Run: python -m services.bench.api_rate [--seconds S] [--clients N] [--workers N]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from typing import TYPE_CHECKING, Final

import aiohttp
import uvloop
from fastapi import Depends, Response

from services.api.app import create_app
from services.api.authorization import require_scope
from services.api.options import ApiOptions
from services.bench.conformance import TOKEN, UNLIMITED
from services.bench.empty_clickhouse import empty_clickhouse
from services.bench.page_queries import fill
from services.bench.processes import free_port, service, wait_for_port
from services.web.serving import serve_app

if TYPE_CHECKING:
    from collections.abc import Sequence

SHARES: Final = 200_000
STATS, CONSTANT = "/api/workers/stats", "/api/constant"


async def serve_both(options: ApiOptions) -> None:
    """The API, with one route more that gives the bytes that the first answer of STATS had."""
    app = create_app(options)
    body = b""

    async def constant() -> Response:
        nonlocal body
        if not body:
            async with aiohttp.ClientSession() as session:
                body = await _body(session, options.port)
        return Response(body, media_type="application/json")

    app.get(CONSTANT, dependencies=[Depends(require_scope("read"))])(constant)
    await serve_app(app, options.host, options.port, name="API", port_setting="API_PORT")


async def _body(session: aiohttp.ClientSession, port: int) -> bytes:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    for _ in range(60):
        async with session.get(f"http://127.0.0.1:{port}{STATS}", headers=headers) as answer:
            if answer.status == 200:
                return await answer.read()
        await asyncio.sleep(1)
    raise SystemExit("the database gives no answer in time")


class Load:
    """So many clients, each with a connection of its own. What comes compressed is thrown away as it is."""

    def __init__(self, port: int, clients: int, coding: str = "identity") -> None:
        self._base = f"http://127.0.0.1:{port}"
        self._clients = clients
        headers = {"Authorization": f"Bearer {TOKEN}", "Accept-Encoding": coding}
        self.refused = 0
        self._session = aiohttp.ClientSession(
            headers=headers, connector=aiohttp.TCPConnector(limit=clients), auto_decompress=False
        )

    async def close(self) -> None:
        await self._session.close()

    async def ask(self, path: str) -> float:
        """How long one answer took, seconds."""
        began = time.perf_counter()
        async with self._session.get(self._base + path) as answer:
            await answer.read()
            if answer.status not in (200, 503):
                raise SystemExit(f"{path} answered {answer.status}: this run does not count")
            self.refused += answer.status == 503
        return time.perf_counter() - began

    async def steadily(self, path: str, seconds: float) -> tuple[float, list[float]]:
        """Requests a second, and the time of each."""
        times: list[float] = []
        end = time.perf_counter() + seconds

        async def client() -> None:
            while time.perf_counter() < end:
                times.append(await self.ask(path))

        began = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(self._clients)))
        return len(times) / (time.perf_counter() - began), times

    async def at_once(self, path: str, rounds: int) -> list[float]:
        """All clients ask at the begin of a second, when nothing is in store."""
        times: list[float] = []
        for _ in range(rounds):
            await asyncio.sleep(1.02 - time.time() % 1)
            times += await asyncio.gather(*(self.ask(path) for _ in range(self._clients)))
        return times


def percentile(times: Sequence[float], part: float) -> float:
    """In milliseconds."""
    return sorted(times)[min(len(times) - 1, int(len(times) * part))] * 1000


async def measure(port: int, clients: int, seconds: float, rounds: int) -> None:
    load = Load(port, clients)
    size = len(await _body(load._session, port))
    print(f"body: {size:,} bytes; {clients} clients")
    # Lest the first of many clients all fetch the bytes that it is to give.
    await load.ask(CONSTANT)
    rates: dict[str, list[float]] = {STATS: [], CONSTANT: []}
    for number in range(rounds):
        for path, rate in rates.items():
            found, times = await load.steadily(path, seconds)
            rate.append(found)
            print(
                f"round {number + 1} {path:<20} {found:8.0f} requests/s"
                f"   p50 {percentile(times, 0.5):6.1f} ms   p99 {percentile(times, 0.99):6.1f} ms",
                flush=True,
            )
    ratio = sum(rates[STATS]) / sum(rates[CONSTANT])
    print(f"ratio {ratio:.2f} (target 0.50 or more)")
    await load.close()
    refused = 0
    for coding in ("identity", "gzip"):
        alone, crowd = Load(port, 1, coding), Load(port, clients, coding)
        for name, times in (
            ("one client, nothing in store", await alone.at_once(STATS, 10)),
            (f"{clients} clients at once, nothing in store", await crowd.at_once(STATS, 10)),
            (f"{clients} clients at once, constant body", await crowd.at_once(CONSTANT, 10)),
        ):
            p50, p99 = percentile(times, 0.5), percentile(times, 0.99)
            print(f"{coding:<8} {name}: p50 {p50:.1f} ms, p99 {p99:.1f} ms (target 250)", flush=True)
        refused += alone.refused + crowd.refused
        await alone.close()
        await crowd.close()
    if load.refused + refused:
        print(f"the database was too slow for {load.refused + refused} requests: other load spoils this run")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5, help="for each round of each of the two")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--workers", type=int, default=1000)
    asked = parser.parse_args()
    with empty_clickhouse(core=1) as address:
        options = ApiOptions(clickhouse=address, port=free_port(), read_tokens=(TOKEN,), rate_limits=UNLIMITED)
        client = await fill(address, int(time.time()) + 120, SHARES, asked.workers)
        await client.close()
        with service(serve_both, options, core=0):
            wait_for_port(options.port)
            # The API has its core for itself, as in any place where its clients are elsewhere.
            os.sched_setaffinity(0, {1})
            await measure(options.port, asked.clients, asked.seconds, asked.rounds)


if __name__ == "__main__":
    uvloop.run(main())
