"""The locks hold every dependency with its hashes, and no address to download from."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PINNED = re.compile(r"^([a-z0-9-]+)==([^ ]+)(?: ; .*)? \\$")
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}(?: \\)?$")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def _lines(lock: str) -> list[str]:
    return (ROOT / "requirements" / f"{lock}.txt").read_text().splitlines()


def _pins(lock: str) -> dict[str, str]:
    return {match[1]: match[2] for match in map(PINNED.match, _lines(lock)) if match}


def _names(requirements: list[str]) -> set[str]:
    """As the locks write them: normalised, a dot is a hyphen (PyPA, "Names and normalization")."""
    return {re.split(r"[^A-Za-z0-9.-]", requirement)[0].replace(".", "-").lower() for requirement in requirements}


@pytest.mark.parametrize("lock", ["runtime", "dev"])
def test_nothing_but_pins_and_hashes(lock: str) -> None:
    odd = [line for line in _lines(lock) if not PINNED.match(line) and not HASH.match(line)]
    assert odd == []
    assert len(_pins(lock)) > 40


def test_every_dependency_is_locked() -> None:
    runtime = _names(PROJECT["project"]["dependencies"]) | _names(PROJECT["dependency-groups"]["build"])
    assert runtime <= set(_pins("runtime"))
    assert runtime | _names(PROJECT["dependency-groups"]["dev"]) <= set(_pins("dev"))


def test_the_runtime_lock_is_part_of_the_development_lock() -> None:
    assert _pins("runtime").items() <= _pins("dev").items()


def test_the_engine_comes_without_what_it_does_not_need() -> None:
    assert "chdb-core" in _pins("runtime")
    assert not {"chdb", "pandas", "pyarrow"} & set(_pins("dev"))
