"""What was acknowledged before a SIGKILL is there after it, once."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from services.tests.conftest import PASSWORD, ClickHouseProcess, unused_port
from services.tests.warehouse.embedded.conftest import Http
from services.warehouse.embedded.options import EmbeddedOptions

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 50


class Inserter(threading.Thread):
    """Inserts numbered batches, repeating each with its token until it is acknowledged."""

    def __init__(self, http: Http) -> None:
        super().__init__(daemon=True)
        self._http = http
        self.acknowledged = 0
        self.stopped = False

    def run(self) -> None:
        while not self.stopped:
            first = self.acknowledged * ROWS
            rows = "".join(f'{{"n":{number}}}\n' for number in range(first, first + ROWS))
            try:
                reply = self._http.sql(
                    f"INSERT INTO t FORMAT JSONEachRow\n{rows}",
                    insert_deduplication_token=f"batch {self.acknowledged}",
                    deduplicate_blocks_in_dependent_materialized_views="1",
                )
            except OSError:
                time.sleep(0.02)
                continue
            if reply.status == 503:  # it listens before its tables are loaded
                time.sleep(0.02)
                continue
            assert reply.status == 200, reply.text
            self.acknowledged += 1


def test_acknowledged_inserts_survive_kills(tmp_path: Path) -> None:
    options = EmbeddedOptions(data=tmp_path / "clickhouse", port=unused_port(), password=PASSWORD)
    server = ClickHouseProcess(options)
    server.start()
    http = Http(server.address)
    window = "SETTINGS non_replicated_deduplication_window = 1000"
    assert http.sql(f"CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n {window}").status == 200
    assert http.sql(f"CREATE TABLE s (k UInt8, c UInt64) ENGINE = SummingMergeTree ORDER BY k {window}").status == 200
    assert http.sql("CREATE MATERIALIZED VIEW v TO s AS SELECT 1 AS k, count() AS c FROM t GROUP BY k").status == 200
    inserter = Inserter(http)
    inserter.start()
    for _ in range(4):
        seen = inserter.acknowledged
        deadline = time.monotonic() + 45
        while inserter.acknowledged < seen + 5 and time.monotonic() < deadline:
            time.sleep(0.005)
        server.kill()
        server = ClickHouseProcess(options)
        server.start()
    inserter.stopped = True
    inserter.join(60)
    assert not inserter.is_alive()
    rows = inserter.acknowledged * ROWS
    assert inserter.acknowledged >= 20
    assert http.value("SELECT concat(toString(count()), ' ', toString(uniqExact(n))) FROM t") == f"{rows} {rows}"
    assert http.value("SELECT sum(c) FROM s") == str(rows)
    server.kill()
