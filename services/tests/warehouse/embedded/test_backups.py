"""BACKUP and RESTORE reach one folder, and nothing else: neither another statement nor another place passes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from services.tests.conftest import PASSWORD, ClickHouseProcess, unused_port
from services.tests.warehouse.embedded.conftest import Http
from services.warehouse.embedded.options import EmbeddedOptions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


REFUSED = (
    "BACKUP DATABASE sharehouse TO File('{outside}/x')",
    "BACKUP DATABASE sharehouse TO File('x')",
    "BACKUP DATABASE sharehouse TO Disk('default', 'x')",
    "BACKUP DATABASE sharehouse TO Disk('backups', '../x')",
    "BACKUP DATABASE sharehouse TO Disk('backups', '{outside}/x')",
    "BACKUP DATABASE sharehouse TO Disk('backups', '.x')",
    "BACKUP DATABASE sharehouse TO S3('http://127.0.0.1:1/b/x', 'a', 'b')",
    "BACKUP DATABASE sharehouse TO Memory('x')",
    "BACKUP DATABASE system TO Disk('backups', 'x')",
    "BACKUP TABLE sharehouse.t TO Disk('backups', 'x')",
    "BACKUP ALL TO Disk('backups', 'x')",
    "BACKUP DATABASE sharehouse TO Disk('backups', 'x') SETTINGS base_backup = File('{outside}/x')",
    "BACKUP DATABASE sharehouse TO Disk('backups', 'x') SETTINGS structure_only = 1",
    "BACKUP DATABASE sharehouse TO Disk('backups', 'x'); SELECT 1",
    "RESTORE DATABASE system FROM Disk('backups', 'x')",
    "RESTORE DATABASE sharehouse FROM File('{outside}/x')",
    "RESTORE DATABASE sharehouse AS other FROM Disk('backups', 'x')",
    "EXPLAIN BACKUP DATABASE sharehouse TO Disk('backups', 'x')",
    "CREATE TABLE d (a UInt8) ENGINE = MergeTree ORDER BY a SETTINGS disk = 'backups'",
)


_BY_READER = "BACKUP DATABASE sharehouse TO Disk('backups', 'by-a-reader')"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("backups")


@pytest.fixture(scope="module")
def http(folder: Path) -> Iterator[Http]:
    server = ClickHouseProcess(
        EmbeddedOptions(data=folder / "data", port=unused_port(), password=PASSWORD, backups=folder / "kept")
    )
    server.start()
    yield Http(server.address)
    server.kill()


def test_only_one_form_is_served(http: Http, folder: Path) -> None:
    (folder / "outside").mkdir()
    for statement in REFUSED:
        reply = http.sql(statement.format(outside=folder / "outside"))
        assert reply.status != 200, statement
    assert list((folder / "outside").iterdir()) == list((folder / "kept").iterdir()) == []


def test_it_goes_there_and_back(http: Http, folder: Path) -> None:
    assert http.sql("CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n").status == 200
    http.sql("INSERT INTO t SELECT number FROM numbers(1000)")
    for reply in (http.get(_BY_READER), http.sql(_BY_READER, readonly="2"), http.sql(_BY_READER, readonly="1")):
        assert reply.exception_code == 164
    assert "BACKUP_CREATED" in http.value("backup database sharehouse to Disk('backups', 'b.tar.gz')")
    assert [entry.name for entry in (folder / "kept").iterdir()] == ["b.tar.gz"]
    http.sql("DROP TABLE t SYNC")
    assert "RESTORED" in http.value("RESTORE DATABASE sharehouse FROM Disk('backups', 'b.tar.gz')")
    assert http.value("SELECT count() FROM t") == "1000"


def test_without_a_folder_there_is_no_backup(http_client: Http) -> None:
    reply = http_client.sql("BACKUP DATABASE sharehouse TO Disk('backups', 'x')")
    assert (reply.status, reply.exception_code) == (403, 497)
