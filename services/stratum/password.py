"""What a miner asks for in its password: ``x;md=10000;``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from services.stratum.difficulty import GREATEST_ASKED, LEAST_ASKED

_SEPARATORS = re.compile(r"[;,\s]+")
_KEYS = {"md": "minimum", "d": "fixed"}
MAX_PASSWORD_CHARS = 512


@dataclass(frozen=True, slots=True)
class PasswordOptions:
    """``md=N`` is the minimum difficulty, ``d=N`` the fixed one; ``ignored`` holds fields that made no sense."""

    minimum: float | None = None
    fixed: float | None = None
    ignored: tuple[str, ...] = ()


def parse_password(password: str) -> PasswordOptions:
    """Reads fields separated by ``;``, ``,`` or blanks, in any order and case; the last of a kind counts."""
    found: dict[str, float] = {}
    ignored = []
    for part in _SEPARATORS.split(password[:MAX_PASSWORD_CHARS]):
        key, equals, value = part.partition("=")
        name = _KEYS.get(key.lower())
        if not equals or name is None:
            continue  # an ordinary password, or a field for the pool
        number = _positive(value)
        if number is None:
            ignored.append(key.lower())
        else:
            found[name] = number
    return PasswordOptions(found.get("minimum"), found.get("fixed"), tuple(ignored))


def _positive(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if LEAST_ASKED <= number <= GREATEST_ASKED else None
