"""What a pool has to answer before anybody can work on its jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.proxy.endpoint import PoolEndpoint


class Handshake:
    """One connection's, until ``is_done``: the answers to configure, subscribe and authorize, in any order.

    ``users`` are to be authorized once the pool has subscribed us. Where the endpoint has one user for all, that one
    must be in; where each worker has a name of its own, a refused one is that miner's affair.
    """

    __slots__ = ("_authorized", "_configured", "_subscribed", "users")

    def __init__(self, endpoint: PoolEndpoint, users: Sequence[str]) -> None:
        self.users = users
        self._configured = self._subscribed = False
        self._authorized = endpoint.per_worker_users

    @property
    def is_done(self) -> bool:
        """Whether the pool's jobs can be worked on."""
        return self._configured and self._subscribed and self._authorized

    def configured(self) -> None:
        """The pool said what it thinks of version rolling."""
        self._configured = True

    def subscribed(self) -> bool:
        """The pool gave us an extranonce1; True where that is news."""
        is_news, self._subscribed = not self._subscribed, True
        return is_news

    def authorized(self) -> None:
        """The pool knows one of the users."""
        self._authorized = True

    def do_without(self) -> None:
        """A pool that never heard of configure may not answer it at all; nor does every one answer authorize."""
        self._configured = self._authorized = True
