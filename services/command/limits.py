"""The `[limits]` table of config.toml: what one miner may cost before it is told no."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from services.command.mistake import Mistake

if TYPE_CHECKING:
    from services.command.config_file import ConfigFile
    from services.proxy.options import Limits

_AT_MOST = 1e12
# A share with all that firmware puts into it has some 250 bytes; a job with its coinbase and branch some thousands.
_AT_LEAST = {"line_bytes": 512, "queued_bytes": 16_384, "jobs_kept": 2, "pool_line_bytes": 65_536}


def parse(config: ConfigFile) -> Limits:
    """The limits in force: the defaults, and what the file says otherwise.

    Raises Mistake with one sentence (file, key, reason) for each thing that cannot stand.
    """
    from services.proxy.options import Limits

    whole = {field.name: field.type == "int" for field in fields(Limits)}
    problems = [
        f"{config.path}: limits.{name}: {reason}"
        for name, value in config.limits.items()
        if (reason := _reason(name, value, whole))
    ]
    if problems:
        raise Mistake(*problems)
    values: dict[str, Any] = {name: value if whole[name] else float(value) for name, value in config.limits.items()}
    return Limits(**values)


def _reason(name: str, value: Any, whole: dict[str, bool]) -> str | None:
    """Why the value cannot stand, or None."""
    if name not in whole:
        return f"unknown; there are: {', '.join(whole)}"
    kind = "a whole number" if whole[name] else "a number"
    if isinstance(value, bool) or not isinstance(value, int if whole[name] else int | float):
        return f"must be {kind}, not {value!r}"
    least = _AT_LEAST.get(name, 0)
    if not math.isfinite(value) or not least <= value <= _AT_MOST or value <= 0:
        return f"must be {kind} {f'of at least {least}' if least else 'above 0'}, not {value!r}"
    return None
