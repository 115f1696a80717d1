"""Hears, by ClickHouse, that every proxy shall read its configuration anew, and answers what became of it here."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import structlog

from services.warehouse.client import StoreUnavailable
from services.warehouse.revisions import RevisionAnswer, Revisions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from services.proxy.reloading import ReloadOutcome
    from services.warehouse.address import ClickHouseAddress

log = structlog.get_logger()

EVERY_SECONDS: Final = 1.0
_OVERLAP_SECONDS: Final = 30.0
"""A revision is looked for so long after it could first be seen: its insert may have been slow."""


class RevisionFollower:
    """``reload`` is called with a cause. What was asked long before this was made is passed by."""

    def __init__(
        self, proxy: str, instance: str, address: ClickHouseAddress, reload: Callable[[str], Awaitable[ReloadOutcome]]
    ) -> None:
        self._proxy = proxy
        self._instance = instance
        self._reload = reload
        self._revisions = Revisions(address)
        self._seen_until = time.monotonic()
        self._followed: set[str] = set()
        self._unsent: list[RevisionAnswer] = []

    async def run(self) -> None:
        """Follows until it is cancelled. With ClickHouse away it waits; what was asked meanwhile is done then."""
        while True:
            try:
                await self._follow()
                await self._send()
            except StoreUnavailable as error:
                log.debug("revisions_unknown", error=str(error))
            except Exception:
                # Not foreseen; the next reload must not be missed because of it.
                log.exception("revisions_failed")
            await asyncio.sleep(EVERY_SECONDS)

    def tell(self, outcome: ReloadOutcome) -> None:
        """A reload that nobody asked for by ClickHouse: written down as one of its own, for those who look back."""
        self._unsent.append(self._answer(str(uuid4()), outcome))

    async def close(self) -> None:
        """Lets go of ClickHouse."""
        await self._revisions.close()

    async def _follow(self) -> None:
        asked_at = time.monotonic()
        found = await self._revisions.younger_than(asked_at - self._seen_until + _OVERLAP_SECONDS)
        new = [revision for revision in found if revision.revision not in self._followed]
        if new:
            # One reload does for all: each of them was written before it began.
            log.info("reload_asked", by=[revision.requested_by for revision in new])
            outcome = await self._reload("api")
            self._unsent += [self._answer(revision.revision, outcome) for revision in new]
        self._followed = {revision.revision for revision in found}
        self._seen_until = asked_at

    def _answer(self, revision: str, outcome: ReloadOutcome) -> RevisionAnswer:
        return RevisionAnswer(
            revision=revision,
            answered_ms=time.time_ns() // 1_000_000,
            proxy=self._proxy,
            instance=self._instance,
            applied=outcome.applied,
            changed_pools=outcome.changed_pools,
            error=outcome.note,
        )

    async def _send(self) -> None:
        while self._unsent:
            await self._revisions.answer(self._unsent[0])
            del self._unsent[0]
