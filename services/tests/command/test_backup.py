"""`sharehouse backup` against real servers: what comes back from a backup, into an empty folder, passes an audit."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from typer.testing import CliRunner

from services.command.database import sentence
from services.command.main import app
from services.command.mistake import Mistake
from services.tests.command.test_shares import keep
from services.tests.conftest import PASSWORD, ClickHouseProcess, run_sql, unused_port
from services.tests.warehouse.provable import genuine_job, genuine_share
from services.warehouse.backup import BackupNameError, checked_name, restore_backup
from services.warehouse.embedded.options import EmbeddedOptions
from services.warehouse.migrate import migrate
from services.warehouse.retention import Retention
from services.warehouse.rollup_rebuild import rebuild_differing
from services.warehouse.shipper import Shipper
from services.warehouse.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from typer.testing import Result

    from services.warehouse.address import ClickHouseAddress

FIRST = 1_789_000_000
COUNTS = (
    "SELECT (SELECT count() FROM sharehouse.shares), (SELECT uniq(job) FROM sharehouse.jobs),"
    " (SELECT sum(accepted) FROM sharehouse.shares_10m), (SELECT sum(accepted) FROM sharehouse.shares_1h)"
)


def point_at(address: ClickHouseAddress, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("host", "port", "user", "password", "database"):
        monkeypatch.setenv(f"CLICKHOUSE_{name.upper()}", str(getattr(address, name)))


@pytest.fixture
def servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[ClickHouseProcess]]:
    """Two, on folders of their own, with one folder for backups: the first has its tables and is the one that commands
    ask; the second is not running yet.
    """
    monkeypatch.chdir(tmp_path)
    made = [
        ClickHouseProcess(
            EmbeddedOptions(data=tmp_path / name, port=unused_port(), password=PASSWORD, backups=tmp_path / "backups")
        )
        for name in ("first", "second")
    ]
    try:
        made[0].start()
        point_at(made[0].address, monkeypatch)
        asyncio.run(migrate(made[0].address))
        yield made
    finally:
        for server in made:
            if server.process.pid is not None:
                server.kill()


def drop_all(address: ClickHouseAddress) -> None:
    names = run_sql(address, "SELECT name FROM system.tables WHERE database = 'sharehouse' ORDER BY engine DESC")
    for name in names.decode().split():
        run_sql(address, f"DROP TABLE sharehouse.{name} SYNC")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments])


def test_a_backup_restored_into_an_empty_folder_passes_an_audit(
    servers: list[ClickHouseProcess], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = servers
    generator = random.Random(7)
    job = genuine_job(generator, ntime=FIRST)
    keep(first.address, job, [genuine_share(generator, job) for _ in range(500)])

    one_file = run("backup", "create", "whole.tar.gz")
    assert (one_file.exit_code, one_file.exception) == (0, None)
    assert "backed up to whole.tar.gz: " in one_file.stdout
    assert (tmp_path / "backups" / "whole.tar.gz").is_file()
    assert run("backup", "create", "folder").exit_code == 0
    assert (tmp_path / "backups" / "folder" / ".backup").is_file()
    again = run("backup", "create", "folder").exception
    assert isinstance(again, Mistake)
    assert "already exists" in str(again)
    assert "choose another name" in str(again)
    full = run("backup", "restore", "folder").exception
    assert isinstance(full, Mistake)
    assert "holds 501 rows already" in str(full)

    second.start()
    point_at(second.address, monkeypatch)
    for name in ("whole.tar.gz", "folder"):
        drop_all(second.address)
        # As `up` leaves a folder on which nobody has mined yet.
        asyncio.run(migrate(second.address))
        restored = run("backup", "restore", name)
        assert (restored.exit_code, restored.exception) == (0, None)
        assert run_sql(second.address, COUNTS) == run_sql(first.address, COUNTS) == b"500\t1\t500\t500\n"
        audit = run("shares", "audit", "--from", str(FIRST), "--to", str(FIRST + 3600))
        assert (audit.exit_code, audit.stdout.splitlines()[-1]) == (0, "every share is as it says")
    keep(second.address, job, [genuine_share(generator, job)])
    assert run_sql(second.address, COUNTS) == b"501\t1\t501\t501\n"


def test_roll_ups_that_a_backup_caught_at_another_moment_than_the_shares_are_made_equal_to_them(
    servers: list[ClickHouseProcess],
) -> None:
    """A backup takes one table after the other, while shares come in."""
    server = servers[0]
    generator = random.Random(11)
    job = genuine_job(generator, ntime=FIRST)
    keep(server.address, job, [genuine_share(generator, job) for _ in range(40)])
    # As if 7 shares had come between `shares` and shares_10m, and 9 between shares_1h, which was first, and `shares`.
    run_sql(
        server.address,
        "INSERT INTO sharehouse.shares_10m (bucket, pool_label, worker, accepted, best_share)"
        f" SELECT {FIRST} - {FIRST} % 600, 'late', 'w', 7, 1e9",
    )
    run_sql(server.address, "DROP VIEW sharehouse.shares_to_1h")
    keep(server.address, job, [genuine_share(generator, job) for _ in range(9)])
    assert run_sql(server.address, COUNTS) == b"49\t1\t56\t40\n"
    assert run("backup", "create", "skewed").exit_code == 0
    drop_all(server.address)

    restored = run("backup", "restore", "skewed")
    assert (restored.exit_code, restored.exception) == (0, None)
    assert "buckets of the roll-ups made anew" in restored.stdout
    assert run_sql(server.address, COUNTS) == b"49\t1\t49\t49\n"
    best = "SELECT max(best_share) FROM sharehouse.shares_10m"
    assert run_sql(server.address, best) == run_sql(
        server.address, "SELECT max(actual_difficulty) FROM sharehouse.shares WHERE verdict = 'accepted'"
    )


def test_no_restored_share_lacks_its_job_because_the_backup_caught_the_jobs_earlier(
    servers: list[ClickHouseProcess],
) -> None:
    server = servers[0]
    generator = random.Random(13)
    earlier, between = (genuine_job(generator, ntime=FIRST + 3600 * hour) for hour in (0, 1))
    keep(server.address, earlier, [genuine_share(generator, earlier) for _ in range(20)])
    keep(server.address, between, [genuine_share(generator, between) for _ in range(5)])
    # One that has lacked its job for an hour: no backup's doing.
    keep(server.address, between, [msgspec.structs.replace(genuine_share(generator, earlier), job=b"l" * 16)])
    its = f"lower(hex(job)) = '{between.job.hex()}'"
    run_sql(server.address, f"ALTER TABLE sharehouse.jobs DELETE WHERE {its} SETTINGS mutations_sync = 2")
    assert run("backup", "create", "between").exit_code == 0
    drop_all(server.address)
    restored = run("backup", "restore", "between")
    assert (restored.exit_code, restored.exception) == (0, None)
    assert "5 shares left out" in restored.stdout
    assert run_sql(server.address, COUNTS) == b"21\t1\t21\t21\n"
    audit = run("shares", "audit", "--from", str(FIRST), "--to", str(FIRST + 7200))
    assert audit.stdout.count("MISMATCH job_unknown") == 1


async def mined(address: ClickHouseAddress, folder: Path, stopped: threading.Event) -> int:
    """Ships shares, each of a job of its own, until it is told to stop; how many."""
    generator = random.Random(17)
    spool = Spool.open(folder, max_bytes=1 << 30)
    shipper = Shipper(folder, spool, address)
    count = 0
    while not stopped.is_set():
        count += 1
        job = genuine_job(generator, ntime=int(time.time()), sent_ms=time.time_ns() // 1_000_000)
        spool.append_job(job)
        spool.append_share(genuine_share(generator, job, ts_ms=job.sent_ms), lambda durable: None)
        await shipper._own_round()
    await spool.close()
    await shipper.drain(30)
    return count


def test_backups_under_load_hold_no_share_without_its_job(
    servers: list[ClickHouseProcess], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = servers
    stopped = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        mining = threads.submit(lambda: asyncio.run(mined(first.address, tmp_path / "spool", stopped)))
        try:
            while run_sql(first.address, "SELECT count() > 0 FROM sharehouse.shares") != b"1\n":
                assert not mining.done()
                time.sleep(0.05)
            for number in range(2):
                assert run("backup", "create", f"under-load-{number}").exit_code == 0
        finally:
            stopped.set()
        assert mining.result(60) > 0
    second.start()
    point_at(second.address, monkeypatch)
    for number in range(2):
        drop_all(second.address)
        assert run("backup", "restore", f"under-load-{number}").exit_code == 0
        audit = run("shares", "audit")
        assert (audit.exit_code, audit.stdout.splitlines()[-1]) == (0, "every share is as it says")
        shares, _, in_10m, in_1h = run_sql(second.address, COUNTS).split()
        assert shares == in_10m == in_1h


def test_what_an_old_backup_holds_is_kept_as_long_as_is_set_where_it_is_restored(
    servers: list[ClickHouseProcess],
) -> None:
    """Not as long as was set where it was made: it would be deleted at once. What was deleted there stays counted."""
    server = servers[0]
    generator = random.Random(19)
    # TTLs that nobody applies.
    run_sql(server.address, "ALTER TABLE sharehouse.shares MODIFY SETTING max_number_of_merges_with_ttl_in_pool = 0")
    asyncio.run(migrate(server.address, Retention(keep_days=5)))
    now = int(time.time())
    for moment in (now - 6 * 86_400, now):
        job = genuine_job(generator, ntime=moment, sent_ms=moment * 1000)
        keep(server.address, job, [genuine_share(generator, job, ts_ms=moment * 1000) for _ in range(8)])
    # Three more, whose part has gone already.
    for table in ("shares_10m", "shares_1h", "shares_1d"):
        run_sql(
            server.address,
            f"INSERT INTO sharehouse.{table} (bucket, pool_label, worker, accepted)"
            f" SELECT toStartOfDay(toDateTime({now - 6 * 86_400}, 'UTC')), 'p', 'w', 3",
        )
    assert run("backup", "create", "old").exit_code == 0
    drop_all(server.address)
    restored = asyncio.run(restore_backup(server.address, "old", Retention(), lambda state: None))
    assert restored.kept_days == 5
    assert b"TTL" not in run_sql(server.address, "SELECT engine_full FROM system.tables WHERE name = 'shares'")
    assert asyncio.run(rebuild_differing(server.address, restored.kept_days)) == 0
    assert run_sql(server.address, COUNTS) == b"16\t2\t19\t19\n"


def test_what_cannot_be_restored(servers: list[ClickHouseProcess], monkeypatch: pytest.MonkeyPatch) -> None:
    server = servers[0]
    missing = run("backup", "restore", "nothing").exception
    assert isinstance(missing, Mistake)
    assert "DATA/backups" in str(missing)
    # An empty store, as before.
    assert asyncio.run(migrate(server.address)) == []
    run_sql(
        server.address,
        "INSERT INTO sharehouse.heartbeats (ts, proxy, instance)"
        " SELECT now64(3) + INTERVAL 1 HOUR, 'p', generateUUIDv4()",
    )
    written_to = run("backup", "restore", "nothing").exception
    assert isinstance(written_to, Mistake)
    assert "1 proxy processes write to database sharehouse" in str(written_to)
    point_at(replace(server.address, port=unused_port()), monkeypatch)
    away = run("backup", "create").exception
    assert isinstance(away, Mistake)
    assert "does not answer" in str(away)


def test_a_server_without_a_place_for_backups(database: ClickHouseAddress, monkeypatch: pytest.MonkeyPatch) -> None:
    point_at(database, monkeypatch)
    error = run("backup", "create").exception
    assert isinstance(error, Mistake)
    assert "grant the user BACKUP" in str(error)


def test_old_shares_that_cannot_be_read_are_told_as_such() -> None:
    told = sentence(DatabaseError("Code: 499. DB::Exception: ... (S3_ERROR)", code=499), "default")
    assert told == "cannot read old shares, for S3 does not give them; sharehouse s3 check says why"


@pytest.mark.parametrize("name", ["", "..", "a/b", "/tmp/x", ".hidden", "a'b", "a b", "ä", "a" * 129, "a\n"])
def test_names_that_lead_elsewhere(name: str) -> None:
    with pytest.raises(BackupNameError, match="without a folder"):
        checked_name(name)
