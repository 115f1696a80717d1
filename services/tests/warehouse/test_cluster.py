"""The schema of a cluster. Nothing here has a Keeper: what is tried is each statement's form, and reading from it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from services.tests.warehouse.one_shard import alone
from services.warehouse import audit_sql, export_sql
from services.warehouse.audit_record import LAST_AUDIT_SQL
from services.warehouse.cluster import UnrenderableError, rendered, shard_of
from services.warehouse.migrate import migrations
from services.warehouse.proxies import PROXIES_SQL
from services.warehouse.shards import Shards, UnknownClusterError
from services.warehouse.sums import sums_by_worker, worker_table

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from services.warehouse.address import ClickHouseAddress

NOW = 1_789_000_000
FILL = (
    (
        "INSERT INTO shares (ts, segment, seq, worker, pool_label, verdict, job, merkle_root, actual_difficulty)"
        f" SELECT toDateTime64({NOW} - number * 7, 3, 'UTC'), toUUID('0f8fad5b-d9cb-469f-a165-70867728950e'), number,"
        " concat('w', toString(number % 7)), 'normal', if(number % 5 = 0, 'rejected', 'accepted'),"
        " toFixedString(toString(number % 3), 16), SHA256(toString(number)), number FROM numbers(20000)"
    ),
    "INSERT INTO jobs (job, coinbase1) SELECT toFixedString(toString(number), 16), 'c' FROM numbers(2)",
    "INSERT INTO audits (started, shares) SELECT now64(3), 5",
)


def everything() -> list[str]:
    return [statement for migration in migrations() for statement in migration.statements]


def without_comments(statement: str) -> str:
    lines = [line for line in statement.splitlines() if not line.strip().startswith("--")]
    return " ".join(" ".join(lines).split())


def test_a_server_by_itself_runs_the_migrations_as_they_are() -> None:
    assert [rendered(statement, "store", "") for statement in everything()] == [(one,) for one in everything()]


def test_nothing_is_changed_but_where_it_runs() -> None:
    for statement in everything():
        local = alone(rendered(statement, "store", "one")[0]).replace("store_all.", "").replace("store.", "")
        assert without_comments(local) == without_comments(statement)


def test_every_table_is_replicated_and_read_everywhere() -> None:
    statements = [one for statement in everything() for one in rendered(statement, "store", "c1")]
    assert all("ON CLUSTER c1" in one or one.startswith("INSERT INTO store.shares_1d_since") for one in statements)
    local = [one for one in statements if "ENGINE" in one and "Distributed" not in one]
    assert len(local) > 10
    assert all(re.search(r"MergeTree\('/clickhouse/tables/(\{shard\}|all)/store/", one) for one in local)
    assert sum("Distributed(c1, store, " in one for one in statements) >= len(local)
    assert any(
        "ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/store/sessions', '{replica}', updated)" in one
        for one in local
    )


def test_what_was_applied_is_one_truth_for_all_shards() -> None:
    statement = (
        "CREATE TABLE IF NOT EXISTS schema_migrations\n(\n    v UInt8\n)\nENGINE = ReplacingMergeTree\nORDER BY v"
    )
    assert (
        "('/clickhouse/tables/all/store/schema_migrations', '{shard}-{replica}')"
        in rendered(statement, "store", "c1")[0]
    )


@pytest.mark.parametrize(
    "statement", ["OPTIMIZE TABLE shares FINAL", "CREATE TABLE IF NOT EXISTS t (a UInt8)\nENGINE = Log"]
)
def test_a_statement_of_another_kind_is_not_guessed_at(statement: str) -> None:
    with pytest.raises(UnrenderableError):
        rendered(statement, "store", "c1")


def test_segments_spread_evenly_and_stay_where_they_are(generator: random.Random) -> None:
    segments = [UUID(bytes=generator.randbytes(16)) for _ in range(4000)]
    before = [shard_of(segment, (1, 2, 3)) for segment in segments]
    assert before == [shard_of(segment, (3, 1, 2)) for segment in segments]
    assert all(1200 < before.count(shard) < 1470 for shard in (1, 2, 3))
    moved = [(old, new) for old, new in zip(before, [shard_of(one, (1, 2, 3, 4)) for one in segments], strict=True)]
    assert {new for old, new in moved if old != new} == {4}
    assert 850 < sum(old != new for old, new in moved) < 1150


def test_the_readers_sql_is_the_same_over_every_shard(tmp_path: Path) -> None:
    """Every statement is parsed as it is rendered; the tables stand on one engine, read directly and as a cluster."""
    period = {"start": str((NOW - 200_000) * 1000), "end": str(NOW * 1000)}
    sliced = {**period, "slice": "0", "slices": "1"}
    by_worker, moments = sums_by_worker([(NOW - 300, NOW), (NOW - 86_400, NOW)], "")
    table, moments_of_table = worker_table(NOW)
    ask = [
        ("SELECT count(), uniqExact(header), sum(seq) FROM shares", {}),
        (f"SELECT * FROM ({by_worker}) ORDER BY 1", {name: str(at) for name, at in moments.items()}),
        (f"SELECT * FROM ({table}) ORDER BY 1", {name: str(at) for name, at in moments_of_table.items()}),
        (PROXIES_SQL, {"now": str(NOW)}),
        (LAST_AUDIT_SQL, {}),
        (audit_sql.count_headers(audit_sql.WITHIN), period),
        (audit_sql.count_jobs(audit_sql.WITHIN), period),
        (audit_sql.jobs(audit_sql.WITHIN), period),
        (audit_sql.count_repeats(audit_sql.WITHIN), sliced),
        (audit_sql.find_repeats(audit_sql.WITHIN), sliced),
        (export_sql.jobs_count(audit_sql.WITHIN), period),
        (export_sql.jobs(audit_sql.WITHIN), sliced),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "services.tests.warehouse.one_shard", str(tmp_path)],
        input=json.dumps({"fill": FILL, "ask": ask}),
        capture_output=True,
        text=True,
        timeout=80,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answers = json.loads(done.stdout)
    for (sql, _), (directly, everywhere) in zip(ask, answers, strict=True):
        assert directly == everywhere, sql
    assert answers[0][1].startswith("20000\t20000\t")
    assert answers[5][1].startswith("19999\t")


async def test_a_server_that_knows_no_such_cluster(clickhouse: ClickHouseAddress) -> None:
    shards = Shards(replace(clickhouse, cluster="nobody_has_this"), timeout_seconds=5)
    with pytest.raises(UnknownClusterError, match="knows no cluster nobody_has_this"):
        await shards.client(uuid4())
    await shards.close()


async def test_a_server_by_itself_takes_every_segment(store: ClickHouseAddress) -> None:
    shards = Shards(store, timeout_seconds=5)
    assert await shards.client(uuid4()) is await shards.client(uuid4())
    await shards.close()


def test_where_readers_look(clickhouse: ClickHouseAddress) -> None:
    assert clickhouse.everywhere is clickhouse
    assert replace(clickhouse, cluster="c").everywhere.database == "sharehouse_all"
