from __future__ import annotations

from pathlib import Path

import pytest

from services.command.config_file import ConfigFile
from services.command.layers import Layer
from services.command.mistake import Mistake
from services.command.pools import Pool, parse
from services.command.settings import Settings
from services.proxy.vardiff import VardiffOptions

SHARED = {"host": "pool.test", "port": 3333, "user": "wallet", "pass": "x", "mode": "shared"}


def _pool(**more: object) -> Pool:
    (pool,) = parse(ConfigFile(Path("c.toml"), {"normal": {**SHARED, **more}}, Layer("c.toml", {})), Settings())
    return pool


def test_a_shared_pool_needs_no_table() -> None:
    pool = _pool()
    assert (pool.mode, pool.vardiff) == ("shared", None)


def test_what_the_table_says_holds_and_the_rest_is_as_shipped() -> None:
    pool = _pool(vardiff={"target_seconds": 5, "min": 0.001, "max": 1_000_000})
    assert pool.vardiff == VardiffOptions(target_seconds=5.0, min=0.001, max=1e6)


def test_the_shipped_comments_name_every_key_with_its_default() -> None:
    shipped = (Path(__file__).parents[3] / "config" / "config.toml").read_text()
    table = shipped.split("# [pools.normal.vardiff]\n")[1].split("\n\n")[0]
    lines = dict(line.lstrip("# ").split(" = ") for line in table.splitlines())
    assert VardiffOptions(**{key: float(value) for key, value in lines.items()}) == VardiffOptions()
    assert list(lines) == list(VardiffOptions.__slots__)


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ([], ": must be a table, [pools.normal.vardiff]"),
        ({"seconds": 5}, ".seconds: unknown; there are: target_seconds, window_seconds, start, min, max"),
        ({"min": "1"}, ".min: must be a number, not '1'"),
        ({"min": True}, ".min: must be a number, not True"),
        ({"max": 0}, ".max: must be a finite number above 0, not 0"),
        ({"max": float("inf")}, ".max: must be a finite number above 0, not inf"),
        ({"start": float("nan")}, ".start: must be a finite number above 0, not nan"),
        ({"min": 3, "max": 3.5}, ": has no power of two between min = 3 and max = 3.5"),
        ({"window_seconds": 1}, ": window_seconds must not be below target_seconds"),
    ],
)
def test_what_cannot_stand_is_named_with_file_key_and_reason(table: object, problem: str) -> None:
    with pytest.raises(Mistake) as mistake:
        _pool(vardiff=table)
    (told,) = mistake.value.problems
    assert told.startswith(f"c.toml: pools.normal.vardiff{problem}")


def test_a_dedicated_pool_has_none() -> None:
    with pytest.raises(Mistake, match="in dedicated mode the pool sets the difficulty"):
        _pool(mode="dedicated", vardiff={"min": 1})
