"""`.env.example` explains every setting, and shows its default."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from services.command.layers import Layer, load
from services.command.settings import Settings, is_secret

ROOT = Path(__file__).parents[3]
LINE = re.compile(r"^(?P<comment># )?(?P<name>[A-Z][A-Z0-9_]*)=(?P<value>\S*)$")


def _lines() -> dict[str, re.Match[str]]:
    matches = map(LINE.match, (ROOT / ".env.example").read_text().splitlines())
    return {match["name"]: match for match in matches if match}


def test_every_setting_stands_there_and_nothing_else() -> None:
    assert set(_lines()) == {name.upper() for name in Settings.model_fields}


@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_default_is_shown(name: str, tmp_path: Path) -> None:
    line = _lines()[name.upper()]
    default = Settings()
    shown = load(Layer("example", {name: line["value"]} if line["value"] else {}), dotenv=tmp_path / ".env")
    assert getattr(shown.settings, name) == getattr(default, name)


def test_secrets_are_empty() -> None:
    held = [name for name, line in _lines().items() if is_secret(name.lower()) and line["value"]]
    # "x" is what pools expect where there is no password.
    assert held == ["MINING_PASSWORD"]
