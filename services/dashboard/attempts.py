"""Failed logins: so many from one address, and it has to wait."""

from __future__ import annotations

import math
import time
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_FAILURES: Final = 10
WITHIN_SECONDS: Final = 300.0
_ADDRESSES_KEPT: Final = 10_000


class Attempts:
    """Counts failures by address. When too many addresses fail, the one that failed longest ago is forgotten."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_seconds(self, address: str) -> int:
        """How long `address` has to wait before it may try again; 0 if it need not."""
        failures = self._failures.get(address)
        if failures is None or len(failures) < MOST_FAILURES:
            return 0
        return max(0, math.ceil(failures[0] + WITHIN_SECONDS - self._clock()))

    def failed(self, address: str) -> None:
        """Note a failure."""
        failures = self._failures.setdefault(address, deque(maxlen=MOST_FAILURES))
        failures.append(self._clock())
        self._failures.move_to_end(address)
        if len(self._failures) > _ADDRESSES_KEPT:
            self._failures.popitem(last=False)

    def succeeded(self, address: str) -> None:
        """Forget its failures."""
        self._failures.pop(address, None)
