from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from services.command.config_file import MAX_BYTES, read, read_if_there
from services.command.mistake import Mistake

if TYPE_CHECKING:
    from pathlib import Path


def _refusal(tmp_path: Path, content: str | bytes) -> str:
    path = tmp_path / "c.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(Mistake) as mistake:
        read(path)
    assert all(problem.startswith(f"{path}: ") for problem in mistake.value.problems)
    return str(mistake.value)


def test_settings_stand_beside_the_pools(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('[settings]\ndashboard_port = 5001\ncoin = "bch"\n[pools.normal]\nlisten = 4000\n')
    file = read(path)
    assert file.layer.values == {"dashboard_port": 5001, "coin": "bch", "proxy_port": 4000}
    assert file.layer.origin == str(path)
    assert list(file.pools) == ["normal"]


def test_a_missing_file_matters_only_where_it_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "missing.toml"
    assert read_if_there(path).pools == {}
    with pytest.raises(Mistake, match=r"missing\.toml: no such file; .* --config"):
        read(path)
    with pytest.raises(Mistake, match="--config"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[pools.normal\n", "not TOML: .*line 1"),
        (b"a = '\xff'", "not a UTF-8"),
        ("[pool.normal]\n", "pool: unknown; there are: pools, tls, limits, settings"),
        ("pools = 1\n", r"pools: must be a table, \[pools\]"),
        ("[settings]\nfoo = 1\n", "settings.foo: unknown"),
        ("[settings]\nclickhouse_password = 'hunter2'\n", r"a secret belongs in the environment .*CLICKHOUSE_PASSWORD"),
        ("[settings]\nproxy_port = 1\n[pools.normal]\nlisten = 2\n", "say the same thing"),
        ("#" * (MAX_BYTES + 1), "larger than 1 MiB"),
    ],
)
def test_what_cannot_stand_is_refused(tmp_path: Path, content: str | bytes, reason: str) -> None:
    refusal = _refusal(tmp_path, content)
    assert re.search(reason, refusal), refusal
    assert "hunter2" not in refusal
