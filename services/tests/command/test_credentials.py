from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from services.command import credentials
from services.command.mistake import Mistake

if TYPE_CHECKING:
    from pathlib import Path


def test_made_for_this_user_alone_and_found_again(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    made = credentials.make(["clickhouse_password", "api_tokens"])
    credentials.keep(folder, made)
    files = sorted(folder.iterdir())
    assert [path.name for path in files] == ["api_token", "clickhouse_password"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    layer = credentials.layer(folder)
    assert layer.values == made
    assert {len(value) for value in layer.values.values()} == {43}
    assert len(set(layer.values.values())) == 2


def test_nothing_made_is_an_empty_layer(tmp_path: Path) -> None:
    assert credentials.layer(tmp_path / "secrets").values == {}


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secrets").touch()
    with pytest.raises(Mistake, match="cannot keep secrets there"):
        credentials.keep(tmp_path / "secrets", credentials.make(["api_tokens"]))


def test_an_open_folder_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    credentials.keep(tmp_path, credentials.make(["api_tokens"]))
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
