"""`sharehouse clickhouse` with old rows on S3, started while S3 is away, lacks its objects, or is not set."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from services.command.cold_bucket import ColdBucket, refuse_another_place
from services.command.data_folder import DataFolder
from services.command.mistake import Mistake
from services.command.storage import Bucket
from services.tests.command.s3_server import KEY, SECRET
from services.tests.free_port import free_ports
from services.tests.warehouse.embedded.test_tiering import BUCKET, S3Process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PREFIX, PASSWORD = "here", "a password of the tests"


class Server:
    """The command as a process of its own."""

    def __init__(self, folder: Path, **environment: str) -> None:
        (self.port,) = free_ports(1)
        self.log = folder / f"clickhouse-{self.port}.log"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        settings = {"CLICKHOUSE_PORT": str(self.port), "CLICKHOUSE_PASSWORD": PASSWORD, "LOG_FORMAT": "json"}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services.command", "clickhouse", "--data", str(folder / "data")],
                env={**kept, **settings, **environment},
                stdout=log,
                stderr=log,
            )

    def answer(self, sql: str) -> tuple[int, str]:
        """Status and reason or result; 0 while nobody listens."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/",
            sql.encode(),
            {"X-ClickHouse-User": "default", "X-ClickHouse-Key": PASSWORD},
        )
        try:
            with urllib.request.urlopen(request, timeout=15) as reply:
                return reply.status, reply.read().decode().strip()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, f"{error.reason}: {error.read().decode()}"
        except OSError:
            return 0, ""

    def until(self, sql: str, status: int, text: str) -> None:
        deadline = time.monotonic() + 90
        while (found := self.answer(sql))[0] != status or not found[1].startswith(text):
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < deadline, (sql, found, self.log.read_text()[-3000:])
            time.sleep(0.1)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(90)


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[S3Process]:
    folder = tmp_path / "s3"
    folder.mkdir()
    server = S3Process(folder)
    server.start()
    server.ensure_bucket()
    yield server
    server.kill()


def _settings(s3: S3Process) -> dict[str, str]:
    return {
        "AWS_S3_ENDPOINT": s3.url,
        "AWS_S3_BUCKET": BUCKET,
        "AWS_S3_PREFIX": PREFIX,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }


TOTAL = "SELECT concat(toString(count()), ' ', toString(sum(n))) FROM t"
EXPECTED = f"1500 {sum(range(1500))}"


@pytest.mark.timeout(240)
def test_it_waits_for_s3_and_loses_nothing(tmp_path: Path, s3: S3Process) -> None:
    settings = _settings(s3)
    server = Server(tmp_path, **settings)
    server.until("SELECT 1", 200, "1")
    created = server.answer(
        "CREATE TABLE t (ts DateTime, n UInt64) ENGINE = MergeTree ORDER BY n PARTITION BY toYYYYMMDD(ts)"
        " TTL ts + INTERVAL 2 DAY TO VOLUME 'cold' SETTINGS storage_policy = 'tiered'"
    )
    assert created[0] == 200, created
    server.answer("INSERT INTO t SELECT now() - INTERVAL 3 DAY, number FROM numbers(1000)")
    server.answer("INSERT INTO t SELECT now(), number FROM numbers(1000, 500)")
    server.until("SELECT sum(rows) FROM system.parts WHERE active AND disk_name = 'cold'", 200, "1000")
    place = tmp_path / "data" / "s3_place"
    deadline = time.monotonic() + 90
    while place.read_text() != f"{BUCKET}/{PREFIX}\nmarked\n":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    server.stop()

    s3.kill()
    server = Server(tmp_path, **settings)
    server.until(
        "SELECT 1", 503, "Waiting for S3: Code: 499. DB::Exception: ClickHouse is not open yet: S3 shares: list"
    )
    log = server.log.read_text()
    assert log.count('"clickhouse_waits_for_s3"') == 1
    assert f"{s3.url}/{BUCKET}/{PREFIX}/" in log
    assert "AWS_S3_ENDPOINT" in log
    assert "Traceback" not in log
    s3.start()
    server.until(TOTAL, 200, EXPECTED)
    server.stop()

    # S3 is there, and the objects are not: opened now, the tables would be without them for good.
    s3.delete(f"{PREFIX}/sharehouse-store")
    server = Server(tmp_path, **settings)
    server.until("SELECT 1", 503, "Waiting for S3")
    assert "nothing of this data folder is at" in server.log.read_text()
    s3.put(f"{PREFIX}/sharehouse-store")
    server.until(TOTAL, 200, EXPECTED)
    server.stop()

    server = Server(tmp_path)
    assert server.process.wait(90) == 2
    assert server.log.read_text().startswith("sharehouse: AWS_S3_BUCKET is not set, but old shares of ")
    assert server.log.read_text().count("\n") == 1

    # A data folder of before its use of S3 was remembered: the engine's own refusal is told as plainly.
    place.unlink()
    server = Server(tmp_path)
    assert server.process.wait(90) == 2
    told = server.log.read_text().splitlines()
    assert told[-1].startswith("sharehouse: old shares of this data folder go to S3, which is not configured now")
    assert "Traceback" not in server.log.read_text()


def test_wrong_keys_are_told_at_the_start(tmp_path: Path, s3: S3Process) -> None:
    server = Server(tmp_path, **{**_settings(s3), "AWS_SECRET_ACCESS_KEY": "wrong"})
    server.until("SELECT 1", 200, "1")
    deadline = time.monotonic() + 90
    while '"s3_unusable"' not in server.log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    (line,) = [line for line in server.log.read_text().splitlines() if '"s3_unusable"' in line]
    assert "correct AWS_SECRET_ACCESS_KEY" in line
    assert '"warning"' in line
    server.stop()


def test_another_place_is_refused_once_the_first_was_used(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    first = Bucket("one", "p/q", "us-east-1", None, KEY, SECRET)
    other = Bucket("two", "p/q", "us-east-1", None, KEY, SECRET)
    refuse_another_place(None, folder)
    ColdBucket(first, folder).keep()
    # It was never usable, so a slip in its name can be mended.
    refuse_another_place(other, folder)
    ColdBucket(other, folder).keep()
    assert (tmp_path / "s3_place").read_text() == "two/p/q\n"
    (tmp_path / "s3_place").write_text("two/p/q\nmarked\n")
    with pytest.raises(Mistake, match="go to two/p/q on S3, but AWS_S3_BUCKET and AWS_S3_PREFIX now say one/p/q"):
        refuse_another_place(first, folder)
    with pytest.raises(Mistake, match="AWS_S3_BUCKET is not set"):
        refuse_another_place(None, folder)
    refuse_another_place(other, folder)
