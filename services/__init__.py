"""Sharehouse: a Stratum mining proxy, its share store, API, dashboard and merge miner."""

from typing import Final

VERSION: Final = "0.1.0"
"""As in pyproject.toml."""
