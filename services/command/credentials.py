"""Passwords and tokens that `up` makes where nobody set them, kept in the data folder for this user alone."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

from services.command.layers import Layer
from services.command.mistake import Mistake

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_MAX_BYTES = 1024
# Field of Settings -> file.
FILES = {
    "clickhouse_password": "clickhouse_password",
    "api_tokens": "api_token",
    "rewards_post_token": "rewards_post_token",
    "dashboard_password": "dashboard_password",
}


def layer(folder: Path) -> Layer:
    """What was made earlier."""
    values = {}
    for field, name in FILES.items():
        try:
            with (folder / name).open() as file:
                value = file.read(_MAX_BYTES).strip()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise Mistake(
                f"{folder / name}: cannot be read ({error}); give this user the right to, or remove it"
            ) from None
        if value:
            values[field] = value
    return Layer(str(folder), values)


def make(fields: Iterable[str]) -> dict[str, str]:
    """A random value for each of these fields."""
    return {field: secrets.token_urlsafe(32) for field in fields}


def keep(folder: Path, values: Mapping[str, str]) -> None:
    """Write what was made. The folder gets mode 0700, each file 0600."""
    if not values:
        return
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)
        for field, value in values.items():
            descriptor = os.open(folder / FILES[field], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(value + "\n")
    except OSError as error:
        raise Mistake(
            f"{folder}: cannot keep secrets there ({error.strerror}); name another folder with --data DIR"
        ) from None
