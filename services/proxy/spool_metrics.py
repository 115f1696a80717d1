"""What Prometheus is told of spool and shipper: read anew at each scrape, so that the hot path counts nothing twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from services.proxy.session_book import SessionBook
    from services.warehouse.shipper import Shipper
    from services.warehouse.spool import Spool


class SpoolMetrics(Collector):
    """A collector for one proxy's registry."""

    def __init__(self, spool: Spool, shipper: Shipper, sessions: SessionBook) -> None:
        self._spool = spool
        self._shipper = shipper
        self._sessions = sessions

    def collect(self) -> Iterator[Metric]:
        """The figures of this moment."""
        for name, documentation, gauge in self._gauges():
            yield GaugeMetricFamily(f"sharehouse_{name}", documentation, value=gauge)
        for name, documentation, count in self._counters():
            yield CounterMetricFamily(f"sharehouse_{name}", documentation, value=count)

    def _gauges(self) -> tuple[tuple[str, str, float], ...]:
        spool = self._spool
        return (
            ("spool_rows", "Rows of this process on disk that ClickHouse is not known to have", spool.depth_rows),
            (
                "spool_bytes",
                "What counts towards the spool's limit: those rows and all other segments",
                spool.used_bytes,
            ),
            ("spool_limit_bytes", "Where the spool is full: SPOOL_MAX_BYTES", spool.limit_bytes),
            ("spool_oldest_age_seconds", "Age of the oldest of this process's rows", spool.oldest_age_seconds),
            ("spool_recording", "1 while shares are kept, 0 while they are refused", spool.is_recording),
            (
                "spool_leftover_segments",
                "Segments of dead processes that are being shipped",
                self._shipper.leftover_segments,
            ),
        )

    def _counters(self) -> tuple[tuple[str, str, float], ...]:
        spool, shipper = self._spool, self._shipper
        return (
            ("spool_commits", "Group commits to the disk", spool.group_commits),
            ("shipped_rows", "Rows that ClickHouse has taken", shipper.shipped_rows),
            ("ship_failures", "Inserts that failed and are tried again", shipper.failures),
            ("rows_set_aside", "Rows that ClickHouse will never take", shipper.set_aside_rows),
            (
                "block_candidates_unrecorded",
                "Block candidates beyond the spool's reserve for them",
                spool.unrecorded_candidates,
            ),
            (
                "sessions_untold",
                "Connections that ended while ClickHouse was away, too many to remember",
                self._sessions.ended_dropped,
            ),
        )
