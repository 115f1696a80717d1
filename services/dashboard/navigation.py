"""The pages that every page's header leads to. A new page adds its line here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Entry:
    """A page's name, and its path below the dashboard's root, without a leading slash."""

    name: str
    path: str


NAVIGATION: Final = (
    Entry("Live", ""),
    Entry("Analytics", "analytics"),
    Entry("Workers", "workers"),
    Entry("Pools", "pools"),
    Entry("Storage", "storage"),
    Entry("Blocks", "blocks"),
)
