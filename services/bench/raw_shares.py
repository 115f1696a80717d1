"""Memory, rows a second and the wait for the first byte of /api/shares/raw over millions of shares, by format.

Each against a tenth of them: neither what the API's process holds nor the wait may grow with the period. The client
throws away what it reads.
Run: python -m services.bench.raw_shares [--millions N] [--formats ndjson,json,csv,arrow,parquet]
"""

from __future__ import annotations

import argparse
import asyncio
import time
from typing import TYPE_CHECKING, Final

import aiohttp

from services.api.options import ApiOptions
from services.api.raw_shares import MEDIA_TYPES
from services.api.server import serve as serve_api
from services.bench.conformance import TOKEN, UNLIMITED
from services.bench.empty_clickhouse import empty_clickhouse
from services.bench.page_queries import MILLION, WORKERS, fill
from services.bench.processes import free_port, resident_mib, service, wait_for_port
from services.warehouse.queries import DAY_SECONDS

if TYPE_CHECKING:
    from clickhouse_connect.driver.asyncclient import AsyncClient

_READ_BYTES: Final = 1 << 20


async def stream(port: int, pid: int, media_type: str, start: int, end: int) -> tuple[int, int, float, float, float]:
    """Shares and bytes that came, seconds to the first and to the last, and the most that the process held, MiB."""
    most, size = 0.0, 0
    began = time.perf_counter()
    timeout = aiohttp.ClientTimeout(total=None, sock_read=120)
    # No compression: it would be measured too.
    headers = {"Authorization": f"Bearer {TOKEN}", "Accept": media_type, "Accept-Encoding": "identity"}
    async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:
        url = f"http://127.0.0.1:{port}/api/shares/raw?start_time={start}&end_time={end}"
        async with session.get(url) as answer:
            if answer.status != 200:
                raise SystemExit(f"{media_type}: {answer.status} {await answer.text()}")
            waited = time.perf_counter() - began
            async for chunk in answer.content.iter_chunked(_READ_BYTES):
                size += len(chunk)
                most = max(most, resident_mib(pid))
            count = int(answer.headers["X-Total-Count"])
    return count, size, waited, time.perf_counter() - began, most


async def merged(client: AsyncClient) -> None:
    """Returns once ClickHouse has merged what was written at once here, and over days elsewhere."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        running = await client.query("SELECT count() FROM system.merges")
        if running.result_rows[0][0] == 0:
            return
        await asyncio.sleep(1)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millions", type=float, default=10)
    parser.add_argument("--formats", default=",".join(MEDIA_TYPES.values()))
    asked = parser.parse_args()
    chosen = [media_type for media_type, form in MEDIA_TYPES.items() if form in asked.formats.split(",")]
    with empty_clickhouse(core=None) as address:
        options = ApiOptions(clickhouse=address, port=free_port(), read_tokens=(TOKEN,), rate_limits=UNLIMITED)
        now = int(time.time())
        client = await fill(address, now, int(asked.millions * MILLION), WORKERS)
        await merged(client)
        await client.close()
        with service(serve_api, options, core=None) as pid:
            wait_for_port(options.port, 90)
            print(f"the API's process, idle: {resident_mib(pid):.0f} MiB")
            print(
                f"{'format':<8} {'shares':>11} {'MB':>8} {'first, ms':>10} {'shares/s':>10} {'process, MiB':>13}",
                flush=True,
            )
            for media_type in chosen:
                for seconds in (DAY_SECONDS // 10, DAY_SECONDS):
                    count, size, waited, took, most = await stream(options.port, pid, media_type, now - seconds, now)
                    form = MEDIA_TYPES[media_type]
                    print(
                        f"{form:<8} {count:>11,} {size / 1e6:>8.0f} {waited * 1000:>10.0f} {count / took:>10,.0f}"
                        f" {most:>13.0f}",
                        flush=True,
                    )


if __name__ == "__main__":
    asyncio.run(main())
