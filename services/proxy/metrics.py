"""What Prometheus is told. A worker's name is never a label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.warehouse.shipper import Shipper
    from services.warehouse.spool import Spool

_LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_LAG_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class Metrics:
    """One proxy's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        pool = ["pool_label"]
        self.connections = Gauge("miner_connections", "Miners connected now", pool, registry=registry)
        self.connections_opened = Counter("miner_connections_opened", "Connections taken", pool, registry=registry)
        self.connections_closed = Counter(
            "miner_connections_closed", "Connections ended, by reason", [*pool, "reason"], registry=registry
        )
        self.junk_lines = Counter("miner_junk_lines", "Lines that are not Stratum", pool, registry=registry)
        self.shares = Counter(
            "shares", "Shares submitted, by verdict and reason", [*pool, "verdict", "reason"], registry=registry
        )
        self.difficulty_accepted = Counter(
            "share_difficulty_accepted", "Sum of the credited difficulty of accepted shares", pool, registry=registry
        )
        self.unrecorded = Counter(
            "shares_unrecorded",
            "Shares that the spool could not keep: full, or its disk failing",
            pool,
            registry=registry,
        )
        self.block_candidates = Counter(
            "block_candidates", "Shares that met their job's network target", pool, registry=registry
        )
        self.late_verdicts = Counter(
            "pool_late_verdicts", "Pool answers that came after verdict_timeout", pool, registry=registry
        )
        self.upstreams = Gauge("upstreams", "Pool connections, by state", [*pool, "state"], registry=registry)
        self.upstreams_lost = Counter("upstreams_lost", "Pool connections lost or failed", pool, registry=registry)
        self.failovers = Counter(
            "failovers", "Changes of the address in use, to a fallback or back", [*pool, "direction"], registry=registry
        )
        self.pool_in_use = Gauge(
            "pool_in_use", "1 for the address that new connections go to", [*pool, "pool"], registry=registry
        )
        self.latency = Histogram(
            "pool_latency_seconds",
            "From a share's way up to its verdict",
            pool,
            buckets=_LATENCY_BUCKETS,
            registry=registry,
        )
        self.loop_lag = Histogram(
            "event_loop_lag_seconds",
            "How late the event loop runs what is due",
            buckets=_LAG_BUCKETS,
            registry=registry,
        )
        self.reports_failed = Counter(
            "reports_failed", "Heartbeats, with the sessions in them, that ClickHouse did not take", registry=registry
        )
        self.certificate_reloads = Counter(
            "tls_certificate_reloads", "Certificate files that changed, by result", ["result"], registry=registry
        )
        self.extranonce_changes = Counter(
            "miner_extranonce_changes",
            "Miners whose extranonce did not fit a new pool connection, by way out",
            [*pool, "way"],
            registry=registry,
        )

    def certificate_reloaded(self, succeeded: bool) -> None:
        """Counts a certificate's files that changed: "loaded", or "refused" with the old ones still in force."""
        self.certificate_reloads.labels("loaded" if succeeded else "refused").inc()

    def watch_spool(self, spool: Spool, shipper: Shipper) -> None:
        """Reads spool and shipper anew at each scrape."""
        facts: tuple[tuple[str, str, Callable[[], float]], ...] = (
            ("spool_rows", "Rows on disk that ClickHouse is not known to have", lambda: spool.depth_rows),
            ("spool_bytes", "Bytes of those rows", lambda: spool.depth_bytes),
            ("spool_oldest_age_seconds", "Age of the oldest of those rows", lambda: spool.oldest_age_seconds),
            ("spool_recording", "1 while shares are kept, 0 while they are refused", lambda: spool.is_recording),
            ("shipper_rows_shipped", "Rows that ClickHouse has taken", lambda: shipper.shipped_rows),
            ("shipper_failures", "Inserts that failed and are tried again", lambda: shipper.failures),
            ("shipper_rows_set_aside", "Rows that ClickHouse will never take", lambda: shipper.set_aside_rows),
        )
        for name, documentation, read in facts:
            Gauge(name, documentation, registry=self.registry).set_function(read)


class PoolMetrics:
    """One pool's metrics, with the labels looked up once."""

    def __init__(self, metrics: Metrics, pool_label: str) -> None:
        self._metrics = metrics
        self._label = pool_label
        self._shares: dict[str, Counter] = {}
        self._in_use = ""
        self.connections = metrics.connections.labels(pool_label)
        self.connections_opened = metrics.connections_opened.labels(pool_label)
        self.junk_lines = metrics.junk_lines.labels(pool_label)
        self.difficulty_accepted = metrics.difficulty_accepted.labels(pool_label)
        self.unrecorded = metrics.unrecorded.labels(pool_label)
        self.block_candidates = metrics.block_candidates.labels(pool_label)
        self.late_verdicts = metrics.late_verdicts.labels(pool_label)
        self.upstreams_connecting = metrics.upstreams.labels(pool_label, "connecting")
        self.upstreams_ready = metrics.upstreams.labels(pool_label, "ready")
        self.upstreams_lost = metrics.upstreams_lost.labels(pool_label)
        self.latency = metrics.latency.labels(pool_label)

    def share(self, reason: str) -> None:
        """Counts a share; ``reason`` is '' for an accepted one."""
        counter = self._shares.get(reason)
        if counter is None:
            counter = self._metrics.shares.labels(self._label, "rejected" if reason else "accepted", reason)
            self._shares[reason] = counter
        counter.inc()

    def uses(self, address: str) -> None:
        """Notes the address ("host:port") in use, the only one of the pool that is told of."""
        if self._in_use:
            self._metrics.pool_in_use.remove(self._label, self._in_use)
        self._in_use = address
        self._metrics.pool_in_use.labels(self._label, address).set(1)

    def failed_over(self, address: str, *, is_return: bool) -> None:
        """Counts a change to another address."""
        self._metrics.failovers.labels(self._label, "return" if is_return else "fallback").inc()
        self.uses(address)

    def closed(self, reason: str) -> None:
        """Counts the end of a miner's connection."""
        self._metrics.connections_closed.labels(self._label, reason).inc()

    def extranonce_changed(self, way: str) -> None:
        """Counts a miner whose extranonce could not stay: "set_extranonce" or "reconnect"."""
        self._metrics.extranonce_changes.labels(self._label, way).inc()
