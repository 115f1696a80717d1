"""What one question of a reader may cost ClickHouse: time, memory and rows, whatever is asked of it.

A caller that goes away closes its connection: the embedded server cancels the query then, and clickhouse-server stops
it at `max_execution_time`, which is what the caller would have waited for.
"""

from __future__ import annotations

import math
from typing import Any, Final

MOST_MEMORY_BYTES: Final = 2 << 30
MOST_RESULT_ROWS: Final = 1_000_000


def read_bounds(seconds: float) -> dict[str, Any]:
    """ClickHouse's settings for a query whose caller waits so long: beyond any of them it fails, and says which."""
    return {
        "max_execution_time": math.ceil(seconds),
        "timeout_overflow_mode": "throw",
        "max_memory_usage": MOST_MEMORY_BYTES,
        "max_result_rows": MOST_RESULT_ROWS,
        "result_overflow_mode": "throw",
    }
