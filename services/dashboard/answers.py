"""How a page asks several questions at once, and goes on with those that were answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from services.warehouse.client import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


class Answers:
    """Collects why questions had no answer; `of` gives None for those."""

    def __init__(self) -> None:
        self.errors: list[StoreUnavailable] = []

    async def of(self, question: Coroutine[Any, Any, T]) -> T | None:
        """The answer, or None if the database gives none."""
        try:
            return await question
        except StoreUnavailable as error:
            self.errors.append(error)
            return None
