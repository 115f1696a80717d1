"""The `[pools.NAME.vardiff]` tables of config.toml: how hard the proxy makes a miner's shares in shared mode."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.proxy.vardiff import VardiffOptions


def problems(key: str, table: Any, mode: Any) -> list[str]:
    """What cannot stand in a pool's table, each with its key and the reason."""
    from services.proxy.vardiff import VardiffOptions

    known = VardiffOptions.__slots__
    if not isinstance(table, dict):
        return [f"{key}: must be a table, [{key}]"]
    if mode != "shared":
        return [f'{key}: only a pool with mode = "shared" has one; in dedicated mode the pool sets the difficulty']
    found = [f"{key}.{name}: {reason}" for name, value in table.items() if (reason := _reason(name, value, known))]
    if found:
        return found
    try:
        parse(table)
    except ValueError as error:
        return [f"{key}: {str(error).removeprefix('vardiff ')}"]
    return []


def parse(table: Mapping[str, Any]) -> VardiffOptions:
    """The options of a table without problems."""
    from services.proxy.vardiff import VardiffOptions

    return VardiffOptions(**{name: float(value) for name, value in table.items()})


def _reason(name: str, value: Any, known: tuple[str, ...]) -> str | None:
    if name not in known:
        return f"unknown; there are: {', '.join(known)}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"must be a number, not {value!r}"
    return (
        None
        if 2.0**-48 <= value <= 2.0**192 and math.isfinite(value)
        else f"must be a finite number above 0, not {value!r}"
    )
