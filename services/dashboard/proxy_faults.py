"""What the proxies' own words say is wrong: one that died, one that cannot record, a pool that is away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from services.dashboard import quantities
from services.dashboard.quantities import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.warehouse.queries import ProxyRow

_RECENTLY_SECONDS: Final = 3600


def proxy_fault(proxies: Sequence[ProxyRow], at: int) -> tuple[str, str] | None:
    """The worst of it at `at` (unix seconds) as a sentence and advice; None if all is well, or no proxy is known."""
    living = [proxy for proxy in proxies if proxy.alive]
    if proxies and not living:
        last = max(proxies, key=lambda proxy: proxy.seen)
        return (
            f"No proxy runs: {last.proxy} {_ended(last, at)}.",
            "Miners cannot mine through here. Start the proxy, or see its log.",
        )
    for proxy in living:
        if not proxy.spool_recording:
            lost = plural(proxy.unrecorded_shares, "share")
            return (
                f"The proxy {proxy.proxy} does not record shares.",
                f"Its spool is full or its disk fails, and {lost} went unrecorded. Its log says more.",
            )
    for proxy in living:
        for pool in proxy.pools:
            if pool.state == "away":
                return (
                    f"The pool {pool.pool_label} is away.",
                    f"The proxy {proxy.proxy} cannot work with {pool.pool}; its miners there: {pool.miners}.",
                )
    # Who was started again lives under the same name.
    names = {proxy.proxy for proxy in living}
    for proxy in proxies:
        if proxy.proxy not in names and not proxy.stopped and at - proxy.seen < _RECENTLY_SECONDS:
            return (
                f"The proxy {proxy.proxy} {_ended(proxy, at)}.",
                f"Others live ({len(names)}), to which its miners may have gone.",
            )
    return None


def _ended(proxy: ProxyRow, at: int) -> str:
    how = "stopped" if proxy.stopped else "died, or cannot reach the database,"
    return f"{how} {quantities.duration(at - proxy.seen)} ago"
