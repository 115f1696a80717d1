from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

from services.command import configuration
from services.command.database import migrate, sentence
from services.command.mistake import Mistake
from services.warehouse.storage_status import storage_status

if TYPE_CHECKING:
    from pathlib import Path

    from services.warehouse.address import ClickHouseAddress


def _told(
    database: ClickHouseAddress, monkeypatch: pytest.MonkeyPatch, folder: Path, **environment: str
) -> tuple[list[str], tuple[str, ...]]:
    """What it said, and what it refused with."""
    monkeypatch.chdir(folder)
    reached = {
        "CLICKHOUSE_HOST": database.host,
        "CLICKHOUSE_PORT": str(database.port),
        "CLICKHOUSE_USER": database.user,
        "CLICKHOUSE_PASSWORD": database.password,
        "CLICKHOUSE_DATABASE": database.database,
    }
    for name, value in {**reached, **environment}.items():
        monkeypatch.setenv(name, value)
    said: list[str] = []
    try:
        migrate(configuration.load(), said.append)
    except Mistake as mistake:
        return said, mistake.problems
    return said, ()


def test_what_was_applied_is_told(database: ClickHouseAddress, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said, refused = _told(database, monkeypatch, tmp_path)
    assert said[0] == "applied 0001_shares"
    assert _told(database, monkeypatch, tmp_path) == (["nothing to apply: the tables are up to date"], ())
    assert refused == ()


@pytest.mark.parametrize("wrong", [{"CLICKHOUSE_PASSWORD": "hunter2"}, {"CLICKHOUSE_USER": "nobody"}])
def test_a_wrong_password_or_user_is_said_in_one_plain_line(
    wrong: dict[str, str], database: ClickHouseAddress, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said, (problem,) = _told(database, monkeypatch, tmp_path, **wrong)
    user = wrong.get("CLICKHOUSE_USER", database.user)
    assert problem == (
        f"ClickHouse at {database.host}:{database.port} refuses user {user} or its password;"
        " correct CLICKHOUSE_USER and CLICKHOUSE_PASSWORD"
    )
    assert said == []


async def test_a_store_without_tables_is_told_with_what_makes_them(database: ClickHouseAddress) -> None:
    with pytest.raises(ClickHouseError) as raised:
        await storage_status(database)
    assert "sharehouse db migrate makes them" in sentence(raised.value, database.user)
