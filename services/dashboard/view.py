"""What a page shows, as ready text: the same for the server's first rendering and for the events that patch it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from services.dashboard import quantities

if TYPE_CHECKING:
    from services.dashboard.charts import Chart


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
class Row:
    """One miner's cells by column; `silent` when its last share is too old."""

    cells: dict[str, Cell]
    silent: bool


@dataclass(frozen=True, slots=True)
class View:
    """A whole page. `state` is good, warning, empty or away; `now` is the server's clock, unix seconds."""

    now: float
    interval_seconds: float
    state: str
    title: str
    cells: dict[str, Cell]
    rows: dict[str, Row] = field(default_factory=dict)
    chart: Chart | None = None


def whole(view: View) -> bytes:
    """The event that replaces everything on a page, as JSON."""
    return msgspec.json.encode(view)


def change(old: View, new: View) -> bytes:
    """The event that brings a page from `old` to `new`, as JSON: only the cells and rows that differ, and rows gone."""
    facts: dict[str, object] = {
        "now": new.now,
        "interval_seconds": new.interval_seconds,
        "state": new.state,
        "title": new.title,
        "cells": {name: cell for name, cell in new.cells.items() if old.cells.get(name) != cell},
        "rows": {key: row for key, row in new.rows.items() if old.rows.get(key) != row},
        "gone": [key for key in old.rows if key not in new.rows],
    }
    if new.chart != old.chart:
        facts["chart"] = new.chart
    return msgspec.json.encode(facts)
