"""Which state one of many is in, counted in that state's gauge."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import Gauge


class StateCount:
    """One's; it is counted in no gauge before the first state and after the last."""

    __slots__ = ("_gauge",)

    def __init__(self) -> None:
        self._gauge: Gauge | None = None

    def enter(self, state: Gauge | None) -> None:
        """Leaves the state before for another one; None: for none."""
        if self._gauge is not None:
            self._gauge.dec()
        self._gauge = state
        if state is not None:
            state.inc()
