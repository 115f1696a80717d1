"""Rows a second through the embedded server, against the same engine in process, with the same batches.

Both tables take turns in one run; the figure is the ratio of the medians, which a busy machine moves less than rates.
Run: python -m services.bench.embedded_insert [--batches N] [--rows N]
"""

from __future__ import annotations

import argparse
import http.client
import io
import multiprocessing
import os
import statistics
import struct
import tempfile
import time
from pathlib import Path

from services.bench.processes import free_port, wait_for_clickhouse

TABLE = (
    "CREATE TABLE {name} (ts DateTime64(3), worker LowCardinality(String), accepted UInt8, difficulty Float64,"
    " header FixedString(80)) ENGINE = MergeTree ORDER BY ts SETTINGS non_replicated_deduplication_window = 100000"
)
INSERT = "INSERT INTO {name} (ts, worker, accepted, difficulty, header)"


def batch(rows: int, number: int) -> bytes:
    """Rows such as shares, in RowBinary."""
    parts = []
    noise = os.urandom(80 * rows)
    for row in range(rows):
        parts.append(struct.pack("<q", 1_700_000_000_000 + number * rows + row))
        parts.append(b"\x08worker%02d" % (row % 100))
        parts.append(struct.pack("<Bd", 1, row * 1.5))
        parts.append(noise[row * 80 : row * 80 + 80])
    return b"".join(parts)


def serve_in(folder: str, port: int) -> None:
    import asyncio

    from services.warehouse.embedded.options import EmbeddedOptions
    from services.warehouse.embedded.server import serve

    asyncio.run(serve(EmbeddedOptions(data=Path(folder), port=port)))


class Served:
    """Batches over HTTP, on one kept connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.sql(TABLE.format(name="t").encode())

    def sql(self, body: bytes) -> None:
        self._connection.request("POST", "/", body)
        reply = self._connection.getresponse()
        text = reply.read()
        if reply.status != 200:
            raise RuntimeError(text.decode())

    def insert(self, data: bytes) -> None:
        self.sql(INSERT.format(name="t").encode() + b" FORMAT RowBinary\n" + data)


class InProcess:
    """The engine itself, with chdb's own streaming insert."""

    def __init__(self, folder: Path) -> None:
        from services.warehouse.embedded.engine import Engine

        self._engine = Engine(folder, None, "bench")
        self._held = self._engine.session()
        self._session = self._held.__enter__()
        self._session.query(TABLE.format(name="t"))

    def insert(self, data: bytes) -> None:
        self._session.load(INSERT.format(name="t"), "RowBinary", io.BytesIO(data))

    def close(self) -> None:
        self._held.__exit__(None, None, None)
        self._engine.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=30)
    parser.add_argument("--rows", type=int, default=50_000)
    arguments = parser.parse_args()
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="embedded-insert-") as folder:
        process = multiprocessing.get_context("spawn").Process(
            target=serve_in, args=(f"{folder}/served", port), daemon=True
        )
        process.start()
        wait_for_clickhouse(port)
        served, inside = Served(port), InProcess(Path(folder) / "inside")
        seconds: dict[str, list[float]] = {"served": [], "in process": []}
        for number in range(arguments.batches + 2):
            data = batch(arguments.rows, number)
            for name, target in (("served", served), ("in process", inside)):
                began = time.perf_counter()
                target.insert(data)
                if number >= 2:  # the first two warm up
                    seconds[name].append(time.perf_counter() - began)
        rates = {name: arguments.rows / statistics.median(taken) for name, taken in seconds.items()}
        for name, rate in rates.items():
            print(
                f"{name:<12} {rate:>12,.0f} rows/s (median of {arguments.batches} batches of {arguments.rows:,} rows)"
            )
        print(f"ratio        {rates['served'] / rates['in process']:>12.2f} (target: 0.80 or more)")
        inside.close()
        process.terminate()
        process.join(10)


if __name__ == "__main__":
    main()
