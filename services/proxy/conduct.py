"""How much of what a peer submits is worth nothing: each kind of bad share has a price, and old ones fade."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from services.stratum.difficulty import power_of_two_at_most

if TYPE_CHECKING:
    from services.proxy.judgement import Judgement
    from services.proxy.options import Limits

PRICES: Final = {
    "malformed": 1.0,
    "duplicate": 1.0,
    "low_difficulty": 1.0,
    "unauthorized": 1.0,
    "not_subscribed": 1.0,
    "ntime_out_of_range": 1.0,
    "version_bits": 1.0,
    # Some are honest: a miner that comes back works on the job that it had.
    "unknown_job": 0.25,
    "junk": 2.0,
}
"""What a refusal costs, in invalid shares. What is not named is free: stale shares are the network's doing, the rest
the pool's, and no pool may get our miners banned."""
_FADE_EVERY_SECONDS: Final = 1.0


class Conduct:
    """Good and bad of one connection, or of one address; both fade, by half in ``limits.ban_window_seconds``.

    What a connection does is held against its address too (``address``). Times are monotonic seconds.
    """

    __slots__ = ("_faded_at", "address", "bad", "good", "limits")

    def __init__(self, limits: Limits, now: float, address: Conduct | None = None) -> None:
        self.good = 0.0
        self.bad = 0.0
        self.address = address
        self.limits = limits
        self._faded_at = now

    def accepted(self, now: float) -> None:
        """A share that counts."""
        if now - self._faded_at >= _FADE_EVERY_SECONDS:
            self._fade(now)
        self.good += 1.0
        if self.address is not None:
            self.address.accepted(now)

    def refused(self, reason: str, now: float) -> None:
        """A share that does not, or a line that makes no sense, at its price."""
        if price := PRICES.get(reason):
            self._charge(price, now)

    def is_mostly_invalid(self, now: float) -> bool:
        """Whether there is enough that is bad, and less that is good."""
        if round(self.bad) < self.limits.invalid_shares:
            return False
        self._fade(now)
        # Rounded, so that what faded between two shares of the last minute changes nothing.
        return round(self.bad) >= self.limits.invalid_shares and self.bad > self.good

    def _charge(self, price: float, now: float) -> None:
        if now - self._faded_at >= _FADE_EVERY_SECONDS:
            self._fade(now)
        self.bad += price
        if self.address is not None:
            self.address._charge(price, now)

    def _fade(self, now: float) -> None:
        left = 0.5 ** ((now - self._faded_at) / self.limits.ban_window_seconds)
        self.good *= left
        self.bad *= left
        self._faded_at = now


def is_rounded_down(judgement: Judgement) -> bool:
    """Whether a share is too easy only because its firmware rounds the difficulty down to a power of two."""
    return judgement.rebuilt.actual_difficulty >= power_of_two_at_most(judgement.credited)
