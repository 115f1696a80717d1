"""What a client takes: which of several media types it wants most (RFC 9110, 12.5.1), and whether gzip (12.5.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def best_of(accept: str | None, offered: Sequence[str]) -> str | None:
    """The one of `offered` with the highest weight, the earlier where two are alike; None where all are refused.

    The first where the header `accept` says nothing. Parameters other than q are not looked at.
    """
    if accept is None or not accept.strip():
        return offered[0]
    weights = dict(_ranges(accept))
    best, best_weight = None, 0.0
    for media_type in offered:
        # The most exact range counts.
        for name in (media_type, media_type.partition("/")[0] + "/*", "*/*"):
            if name in weights:
                if weights[name] > best_weight:
                    best, best_weight = media_type, weights[name]
                break
    return best


def takes_gzip(accept_encoding: str) -> bool:
    """Whether the header names gzip, or any coding, and does not refuse it."""
    weights = dict(_ranges(accept_encoding))
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def _ranges(accept: str) -> list[tuple[str, float]]:
    found = []
    for part in accept.split(","):
        name, *parameters = (one.strip().lower() for one in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                weight = _weight(value.strip())
        found.append((name, weight))
    return found


def _weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0
