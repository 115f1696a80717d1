"""Tokens that are too short to keep strangers out: told, not refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from services.command.settings import Settings

log = structlog.get_logger()

SHORTEST: Final = 16
_SETTINGS: Final = ("api_tokens", "rewards_post_token", "dashboard_tokens")


def short(settings: Settings, names: tuple[str, ...] = _SETTINGS) -> list[str]:
    """A sentence for each of these settings that holds a token of fewer than 16 characters."""
    remedy = "too short to withstand guessing; scripts/generate_token.py makes good ones"
    return [
        f"{name.upper()} holds a token of fewer than {SHORTEST} characters, {remedy}"
        for name in names
        if any(len(token.get_secret_value()) < SHORTEST for token in getattr(settings, name))
    ]


def warn(settings: Settings, *names: str) -> None:
    """Logs each of them, at the start of a service."""
    for sentence in short(settings, names):
        log.warning("short_token", why=sentence)
