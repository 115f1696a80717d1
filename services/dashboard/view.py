"""What the live page shows: the same for the server's first rendering and for the events that patch it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from services.dashboard import quantities

if TYPE_CHECKING:
    from services.dashboard.miners import Miner


@dataclass(frozen=True, slots=True)
class Cell:
    """A text, what hovering over it says, and, if the text is a time ago, the moment it counts from (unix seconds)."""

    text: str
    title: str = ""
    unix: int | None = None

    @classmethod
    def ago(cls, unix_seconds: int, now: int) -> Cell:
        """A moment, told as the time since."""
        return cls(f"{quantities.duration(now - unix_seconds)} ago", quantities.utc(unix_seconds), unix_seconds)


@dataclass(frozen=True, slots=True)
class View:
    """A whole page. `state` is good, warning, empty or away; `now` is the server's clock, unix seconds.

    `charts_at` is the minute whose charts are the latest; charts are asked for, as each page has its own time range.
    """

    now: float
    interval_seconds: float
    state: str
    title: str
    cells: dict[str, Cell]
    pools: tuple[str, ...] = ()
    miners: dict[str, Miner] = field(default_factory=dict)
    charts_at: int = 0


def whole(view: View) -> bytes:
    """The event that replaces everything on a page, as JSON."""
    return msgspec.json.encode(view)


def change(old: View, new: View) -> bytes:
    """The event that brings a page from `old` to `new`, as JSON: only what differs, and rows gone."""
    facts: dict[str, object] = {
        "now": new.now,
        "interval_seconds": new.interval_seconds,
        "state": new.state,
        "title": new.title,
        "cells": {name: cell for name, cell in new.cells.items() if old.cells.get(name) != cell},
        "pools": new.pools,
        "miners": {key: miner for key, miner in new.miners.items() if old.miners.get(key) != miner},
        "gone": [key for key in old.miners if key not in new.miners],
        "charts_at": new.charts_at,
    }
    return msgspec.json.encode(facts)
