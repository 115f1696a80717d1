"""Rows move to a real S3 server by TTL, are read back by SQL, and survive restarts of engine and S3 server."""

from __future__ import annotations

import os
import subprocess
import sysconfig
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.config import Config

from services.tests.conftest import PASSWORD, ClickHouseProcess, unused_port
from services.tests.warehouse.embedded.conftest import Http
from services.warehouse.embedded.options import EmbeddedOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client

CONFIGURATION = Path(__file__).parents[4] / "config" / "clickhouse"
KEY, SECRET, BUCKET = "testkey00001", "a secret of the tests", "shares"


class S3Process:
    """SeaweedFS on one set of ports, to be killed and started again on the same folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = {name: unused_port() for name in ("master", "volume", "filer", "s3")}
        self._grpc = {name: unused_port() for name in self._ports}
        self.url = f"http://127.0.0.1:{self._ports['s3']}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        weed = Path(sysconfig.get_path("scripts")) / "weed"
        ports = [f"-{name}.port={port}" for name, port in self._ports.items()]
        ports += [f"-{name}.port.grpc={port}" for name, port in self._grpc.items()]
        others = ["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false", "-volume.max=8"]
        # Started again, it would wait 15 s for other masters.
        others += ["-master.electionTimeout=1s", "-master.heartbeatInterval=100ms"]
        command = [str(weed), "server", f"-dir={self._folder}", "-ip=127.0.0.1", "-filer", "-s3", *ports, *others]
        environment = {**os.environ, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
        with (self._folder / "weed.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(self.url, timeout=1).close()
            except urllib.error.HTTPError:
                return
            except OSError:
                time.sleep(0.1)
            else:
                return
        self.kill()
        raise TimeoutError(f"the S3 server does not answer: {(self._folder / 'weed.log').read_text()[-4000:]}")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    def _client(self) -> S3Client:
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
            config=Config(retries={"total_max_attempts": 20}),
        )

    def ensure_bucket(self) -> None:
        self._client().create_bucket(Bucket=BUCKET)

    def keys(self) -> list[str]:
        return [item["Key"] for item in self._client().list_objects_v2(Bucket=BUCKET).get("Contents", [])]

    def put(self, key: str) -> None:
        self._client().put_object(Bucket=BUCKET, Key=key, Body=b"back")

    def delete(self, key: str) -> None:
        self._client().delete_object(Bucket=BUCKET, Key=key)


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[S3Process]:
    folder = tmp_path / "s3"
    folder.mkdir()
    server = S3Process(folder)
    server.start()
    server.ensure_bucket()
    yield server
    server.kill()


def wait_for(http: Http, statement: str, expected: str, *, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while (reply := http.sql(statement)).text.rstrip("\n") != expected:
        assert time.monotonic() < deadline, f"{statement}: {reply.text}, not {expected}"
        time.sleep(0.1)


VOLUMES = (
    "SELECT arrayStringConcat(groupArray(concat(disk_name, ' ', toString(rows))), ', ') FROM"
    " (SELECT disk_name, sum(rows) AS rows FROM system.parts WHERE active AND table = 't' GROUP BY 1 ORDER BY 1)"
)


def test_old_rows_live_on_s3(tmp_path: Path, s3: S3Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_S3_ENDPOINT", f"{s3.url}/{BUCKET}/here/")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    options = EmbeddedOptions(
        data=tmp_path / "clickhouse", port=unused_port(), password=PASSWORD, storage=CONFIGURATION / "storage-s3.xml"
    )
    server = ClickHouseProcess(options)
    server.start()
    http = Http(server.address)
    assert http.value("SELECT count() FROM system.storage_policies WHERE policy_name = 'tiered'") == "2"
    created = http.sql(
        "CREATE TABLE t (ts DateTime, n UInt64) ENGINE = MergeTree ORDER BY n PARTITION BY toYYYYMMDD(ts)"
        " TTL ts + INTERVAL 2 DAY TO VOLUME 'cold' SETTINGS storage_policy = 'tiered'"
    )
    assert created.status == 200, created.text
    http.sql("INSERT INTO t SELECT now() - INTERVAL 3 DAY, number FROM numbers(1000)")
    http.sql("INSERT INTO t SELECT now(), number FROM numbers(1000, 500)")
    wait_for(http, VOLUMES, "cold 1000, default 500")
    assert any(key.startswith("here/") for key in s3.keys())
    total = "SELECT concat(toString(count()), ' ', toString(sum(n))) FROM t"
    expected = f"1500 {sum(range(1500))}"
    assert http.value(total) == expected

    server.kill()
    server = ClickHouseProcess(options)
    server.start()
    assert http.value(total) == expected

    s3.kill()
    # Rows that come late are old already, and are taken all the same; they are moved once S3 is back.
    assert http.sql("INSERT INTO t SELECT now() - INTERVAL 4 DAY, 0 FROM numbers(3)").status == 200
    # Hot rows are read and written while S3 is away; cold ones fail soon, with an error.
    assert http.value("SELECT count() FROM t WHERE ts > now() - INTERVAL 1 DAY AND n >= 1000") == "500"
    assert http.sql("INSERT INTO t SELECT now(), number FROM numbers(1500, 500)").status == 200
    began = time.monotonic()
    assert http.sql("SELECT sum(n) FROM t WHERE ts < now() - INTERVAL 1 DAY SETTINGS max_threads = 1").status != 200
    assert time.monotonic() - began < 15

    s3.start()
    wait_for(http, "SELECT sum(n) FROM t", str(sum(range(2000))), seconds=40)
    server.kill()
