"""Whose request it is, where reverse proxies stand in front: X-Forwarded-For, as far as it can be believed."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import Scope

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class ClientAddress:
    """Finds a request's client. `trusted` are addresses and networks of proxies whose X-Forwarded-For is believed.

    Each proxy appends whom it was asked by, so the list is read from its right end: the client is the first that is not
    trusted. Nothing to the left of it counts, since whoever asks may have written it.
    """

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        self._networks = tuple(ipaddress.ip_network(one, strict=False) for one in trusted)

    def of(self, scope: Scope) -> str:
        """The client's address as text; of a peer that is not trusted, its own; "" for one without an address."""
        peer = (scope.get("client") or ("",))[0]
        nearest = _address(peer)
        if nearest is None or not self._is_trusted(nearest):
            return peer if nearest is None else str(nearest)
        for told in reversed(",".join(Headers(scope=scope).getlist("x-forwarded-for")).split(",")):
            address = _address(told)
            if address is None:
                break  # what no proxy writes: the one that passed it on is all that is known
            nearest = address
            if not self._is_trusted(address):
                break
        return str(nearest)

    def _is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def _address(text: str) -> Address | None:
    """An address, also with a port behind it, as some proxies write it; IPv4 in IPv6's form becomes IPv4."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
