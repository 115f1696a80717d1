"""The [limits] table: refused loudly, explained in the docs and in the shipped file."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, fields
from pathlib import Path

import pytest

from services.command import options
from services.command.check import check
from services.command.config_file import ConfigFile, read
from services.command.configuration import load
from services.command.layers import Layer
from services.command.limits import parse
from services.command.mistake import Mistake
from services.proxy.options import Limits

ROOT = Path(__file__).parents[3]
POOL = '[pools.normal]\nhost = "pool.test"\nport = 3333\nuser = "wallet"\npass = "x"\n'


def _parse(**limits: object) -> Limits:
    return parse(ConfigFile(Path("c.toml"), {}, Layer("c.toml", {}), limits))


def test_without_a_table_the_defaults_hold() -> None:
    assert _parse() == Limits()


def test_what_the_file_says_reaches_the_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "c.toml"
    config.write_text(f"{POOL}[limits]\nconnections_per_address = 7\nban_seconds = 60\n")
    limits = options.proxy(load(config, tmp_path, need_config=True)).limits
    assert limits == Limits(connections_per_address=7, ban_seconds=60.0)
    said: list[str] = []
    check(config, tmp_path, said.append)
    (line,) = [line for line in said if line.startswith("limit connections_per_address")]
    assert line.split()[2:] == ["7", str(config)]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("conections", 1, "unknown; there are: connections,"),
        ("connections", 0, "must be a whole number above 0, not 0"),
        ("connections", -1, "above 0"),
        ("connections", 1.5, "must be a whole number, not 1.5"),
        ("connections", "9", "must be a whole number, not '9'"),
        ("connections", True, "must be a whole number, not True"),
        ("connections", 10**30, "above 0"),
        ("ban_seconds", float("nan"), "must be a number above 0, not nan"),
        ("ban_seconds", float("inf"), "above 0"),
        ("pool_line_bytes", 100, "of at least 65536"),
        ("verdict_timeout_seconds", 0, "above 0"),
        ("line_bytes", 100, "must be a whole number of at least 512, not 100"),
    ],
)
def test_what_cannot_stand_is_named_with_file_key_and_reason(name: str, value: object, reason: str) -> None:
    with pytest.raises(Mistake) as mistake:
        _parse(**{name: value})
    (problem,) = mistake.value.problems
    assert problem.startswith(f"c.toml: limits.{name}: ")
    assert reason in problem


def test_the_shipped_file_shows_every_limit_with_its_default() -> None:
    text = (ROOT / "config" / "config.toml").read_text()
    table = text[text.index("# [limits]") :].split("\n\n")[0].split("\n#\n")[0]
    shown = tomllib.loads("\n".join(line.removeprefix("# ") for line in table.splitlines()))["limits"]
    assert shown == asdict(Limits())
    assert read(ROOT / "config" / "config.toml").limits == {}


@pytest.mark.parametrize("name", [field.name for field in fields(Limits)])
def test_every_limit_is_documented(name: str) -> None:
    assert f"`{name}`" in (ROOT / "docs" / "LIMITS.md").read_text()
