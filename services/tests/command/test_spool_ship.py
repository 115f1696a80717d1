"""`sharehouse spool ship`, with a real spool and a real ClickHouse."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from services.command import spool as spool_ship
from services.command.main import app
from services.command.mistake import Mistake
from services.tests.conftest import run_sql
from services.tests.warehouse.rows import make_share
from services.warehouse.segment import Segment
from services.warehouse.segment_files import segment_paths
from services.warehouse.spool import Spool

if TYPE_CHECKING:
    from pathlib import Path

    from services.warehouse.address import ClickHouseAddress


def leave_shares(folder: Path, count: int) -> None:
    """What a process that died has left in its spool."""

    async def leave() -> None:
        spool = Spool.open(folder, max_bytes=1 << 30)
        generator = random.Random(count)
        for _ in range(count):
            spool.append_share(make_share(generator), lambda durable: None)
        await spool.close()

    asyncio.run(leave())


@pytest.fixture
def ship(database: ClickHouseAddress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """A runner whose settings name the test's database, and no configuration file."""
    for name in ("host", "port", "user", "password", "database"):
        monkeypatch.setenv(f"CLICKHOUSE_{name.upper()}", str(getattr(database, name)))
    monkeypatch.chdir(tmp_path)
    return CliRunner()


def test_ships_the_spool_of_a_dead_replica(ship: CliRunner, database: ClickHouseAddress, tmp_path: Path) -> None:
    leave_shares(tmp_path / "dead" / "spool", 300)
    leave_shares(tmp_path / "dead" / "spool", 20)
    answer = ship.invoke(app, ["spool", "ship", str(tmp_path / "dead")], catch_exceptions=False)
    assert answer.exit_code == 0
    assert "320 rows shipped in 2 inserts" in answer.output
    assert run_sql(database, f"SELECT count() FROM {database.database}.shares") == b"320\n"
    assert segment_paths(tmp_path / "dead" / "spool") == []
    answer = ship.invoke(app, ["spool", "ship", str(tmp_path / "dead" / "spool")], catch_exceptions=False)
    assert "nothing to ship" in answer.output


def test_leaves_what_a_living_process_holds(ship: CliRunner, tmp_path: Path) -> None:
    leave_shares(tmp_path / "spool", 5)
    living = Segment.claim(segment_paths(tmp_path / "spool")[0])
    assert living is not None
    with pytest.raises(Mistake, match="held by a living process"):
        ship.invoke(app, ["spool", "ship", str(tmp_path / "spool")], catch_exceptions=False)
    living.release()
    assert segment_paths(tmp_path / "spool") != []


def test_tells_of_rows_that_are_left(
    ship: CliRunner, tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_shares(tmp_path / "spool", 5)
    monkeypatch.setenv("CLICKHOUSE_PORT", str(free_port))
    monkeypatch.setattr(spool_ship, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(spool_ship, "TELL_EVERY_SECONDS", 0.3)
    with pytest.raises(Mistake, match="5 rows are left; ClickHouse does not take them"):
        ship.invoke(app, ["spool", "ship", str(tmp_path / "spool")], catch_exceptions=False)
    assert segment_paths(tmp_path / "spool") != []


def test_says_where_there_is_no_such_folder(ship: CliRunner, tmp_path: Path) -> None:
    with pytest.raises(Mistake, match="there is no such folder"):
        ship.invoke(app, ["spool", "ship", str(tmp_path / "nowhere")], catch_exceptions=False)
