"""docs/SETUP.md names what is there."""

from __future__ import annotations

import re
from pathlib import Path

from services.command.settings import Settings

ROOT = Path(__file__).parents[3]
SETUP = (ROOT / "docs" / "SETUP.md").read_text()
OPERATIONS = (ROOT / "docs" / "OPERATIONS.md").read_text()


def test_every_setting_that_it_names_is_one_of_docker() -> None:
    named = set(re.findall(r"(?<![\w`/-])([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)\b", SETUP))
    there = set(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]*)=", (ROOT / "docker" / ".env.example").read_text(), re.MULTILINE))
    assert len(named) > 10
    assert named - there - {"DOCKER_BUILDKIT"} <= {name.upper() for name in Settings.model_fields}


def test_every_script_that_it_names_is_there() -> None:
    for text in (SETUP, OPERATIONS):
        for script in re.findall(r"\.\./scripts/([a-z-]+)", text):
            assert (ROOT / "scripts" / script).is_file(), script


def test_every_image_is_listed_with_its_size() -> None:
    targets = re.findall(r"^FROM runtime AS ([a-z-]+)", (ROOT / "docker" / "Dockerfile").read_text(), re.MULTILINE)
    listed = re.findall(r"^\| ([a-z-]+) \| \d+ \|", SETUP, re.MULTILINE)
    assert sorted(listed) == sorted(targets)
