"""What Prometheus is told; docs/OPERATIONS.md explains each to operators. A worker's name is never a label."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics

from services import VERSION
from services.stratum.reject import NO_VERDICT, POOL_REASONS

_LATENCY_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_LAG_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_FANOUT_BUCKETS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)

# Each counter's twin that says when it began doubles the answer, and nothing here reads it.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """One proxy's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        build = Gauge("sharehouse_build_info", "1, with the version that runs", ["version"], registry=registry)
        build.labels(VERSION).set(1)
        pool = ["pool_label"]
        self.connections = Gauge("sharehouse_miner_connections", "Miners connected now", pool, registry=registry)
        self.connections_opened = Counter(
            "sharehouse_miner_connections_opened", "Connections taken", pool, registry=registry
        )
        self.connections_closed = Counter(
            "sharehouse_miner_connections_closed", "Connections ended, by reason", [*pool, "reason"], registry=registry
        )
        self.junk_lines = Counter("sharehouse_miner_junk_lines", "Lines that are not Stratum", pool, registry=registry)
        self.shares = Counter(
            "sharehouse_shares",
            "Shares submitted, by verdict and reason",
            [*pool, "verdict", "reason"],
            registry=registry,
        )
        self.shares_below_pool = Counter(
            "sharehouse_shares_below_pool",
            "Accepted shares that fall short of the pool's difficulty, which the pool is not told of",
            pool,
            registry=registry,
        )
        self.difficulty_accepted = Counter(
            "sharehouse_share_difficulty_accepted",
            "Sum of the credited difficulty of accepted shares",
            pool,
            registry=registry,
        )
        self.unrecorded = Counter(
            "shares_unrecorded",
            "Shares that the spool could not keep: full, or its disk failing",
            pool,
            registry=registry,
        )
        self.strangers_unrecorded = Counter(
            "sharehouse_shares_unauthorized_unrecorded",
            "Shares in a name that was not authorized, beyond the rows that these may cause",
            pool,
            registry=registry,
        )
        self.block_candidates = Counter(
            "sharehouse_block_candidates", "Shares that met their job's network target", pool, registry=registry
        )
        self.block_verdicts = Counter(
            "sharehouse_block_verdicts",
            "The pool's verdicts on block candidates",
            [*pool, "verdict"],
            registry=registry,
        )
        self.late_verdicts = Counter(
            "sharehouse_pool_late_verdicts", "Pool answers that came after verdict_timeout", pool, registry=registry
        )
        self.upstreams = Gauge(
            "sharehouse_upstreams", "Pool connections, by state", [*pool, "state"], registry=registry
        )
        self.upstreams_lost = Counter(
            "sharehouse_upstreams_lost", "Pool connections lost or failed", pool, registry=registry
        )
        self.users_refused = Counter(
            "sharehouse_pool_users_refused", "Times that a pool refused a user name", pool, registry=registry
        )
        self.floods = Counter(
            "sharehouse_pool_floods",
            "Times that a pool was not read for a while, since it sent too much that nobody asked for",
            pool,
            registry=registry,
        )
        self.failovers = Counter(
            "sharehouse_failovers",
            "Changes of the address in use, to a fallback or back",
            [*pool, "direction"],
            registry=registry,
        )
        self.pool_in_use = Gauge(
            "sharehouse_pool_in_use",
            "1 for the address that new connections go to",
            [*pool, "pool"],
            registry=registry,
        )
        self.latency = Histogram(
            "sharehouse_pool_latency_seconds",
            "From a share's way up to its verdict",
            pool,
            buckets=_LATENCY_BUCKETS,
            registry=registry,
        )
        self.fanout = Histogram(
            "sharehouse_notify_fanout_seconds",
            "From reading a pool's mining.notify to writing it to the last miner of that pool connection",
            pool,
            buckets=_FANOUT_BUCKETS,
            registry=registry,
        )
        self.commit_seconds = Histogram(
            "sharehouse_spool_commit_seconds",
            "A group commit to the disk",
            buckets=_LATENCY_BUCKETS,
            registry=registry,
        )
        self.loop_lag = Histogram(
            "sharehouse_event_loop_lag_seconds",
            "How late the event loop runs what is due",
            buckets=_LAG_BUCKETS,
            registry=registry,
        )
        self.reports_failed = Counter(
            "sharehouse_reports_failed",
            "Heartbeats, with the sessions in them, that ClickHouse did not take",
            registry=registry,
        )
        self.reloads = Counter(
            "sharehouse_reloads", "Reloads of the configuration, by result", ["result"], registry=registry
        )
        for result in ("applied", "refused"):
            self.reloads.labels(result)
        self.configuration_refused = Gauge(
            "sharehouse_configuration_refused",
            "1 while the configuration read last is refused, and the one before it is in force",
            registry=registry,
        )
        self.certificate_reloads = Counter(
            "sharehouse_tls_certificate_reloads",
            "Certificate files that changed, by result",
            ["result"],
            registry=registry,
        )
        self.extranonce_changes = Counter(
            "sharehouse_miner_extranonce_changes",
            "Miners whose extranonce did not fit a new pool connection, by way out",
            [*pool, "way"],
            registry=registry,
        )

    def certificate_reloaded(self, succeeded: bool) -> None:
        """Counts a certificate's files that changed: "loaded", or "refused" with the old ones still in force."""
        self.certificate_reloads.labels("loaded" if succeeded else "refused").inc()

    def reloaded(self, *, applied: bool) -> None:
        """Counts a reload: "applied", or "refused" with the old configuration still in force."""
        self.reloads.labels("applied" if applied else "refused").inc()
        self.configuration_refused.set(not applied)


class PoolMetrics:
    """One pool's metrics, with the labels looked up once."""

    def __init__(self, metrics: Metrics, pool_label: str) -> None:
        self._metrics = metrics
        self._label = pool_label
        self._shares: dict[str, Counter] = {}
        self._in_use = ""
        self._is_gone = False
        self.connections = metrics.connections.labels(pool_label)
        self.connections_opened = metrics.connections_opened.labels(pool_label)
        self.junk_lines = metrics.junk_lines.labels(pool_label)
        self.shares_below_pool = metrics.shares_below_pool.labels(pool_label)
        self.difficulty_accepted = metrics.difficulty_accepted.labels(pool_label)
        self.unrecorded = metrics.unrecorded.labels(pool_label)
        self.strangers_unrecorded = metrics.strangers_unrecorded.labels(pool_label)
        self.block_candidates = metrics.block_candidates.labels(pool_label)
        self.late_verdicts = metrics.late_verdicts.labels(pool_label)
        self.users_refused = metrics.users_refused.labels(pool_label)
        self.floods = metrics.floods.labels(pool_label)
        self.upstreams_connecting = metrics.upstreams.labels(pool_label, "connecting")
        self.upstreams_ready = metrics.upstreams.labels(pool_label, "ready")
        self.upstreams_lost = metrics.upstreams_lost.labels(pool_label)
        self.latency = metrics.latency.labels(pool_label)
        self.fanout = metrics.fanout.labels(pool_label)
        # A series that starts at 1 has not increased: those that alerts look at are there from the start, at 0.
        for verdict in ("accepted", NO_VERDICT.reason, *POOL_REASONS):
            metrics.block_verdicts.labels(pool_label, verdict)
        for direction in ("fallback", "return"):
            metrics.failovers.labels(pool_label, direction)

    def share(self, reason: str) -> None:
        """Counts a share; ``reason`` is '' for an accepted one."""
        counter = self._shares.get(reason)
        if counter is None:
            counter = self._metrics.shares.labels(self._label, "rejected" if reason else "accepted", reason)
            self._shares[reason] = counter
        counter.inc()

    def uses(self, address: str) -> None:
        """Notes the address ("host:port") in use, the only one of the pool that is told of."""
        if self._is_gone:
            return
        if self._in_use:
            self._metrics.pool_in_use.remove(self._label, self._in_use)
        self._in_use = address
        self._metrics.pool_in_use.labels(self._label, address).set(1)

    def gone(self) -> None:
        """The pool is configured no more: no address of it is in use. A new pool of that name is told of anew."""
        self._is_gone = True
        if self._in_use:
            self._metrics.pool_in_use.remove(self._label, self._in_use)

    def failed_over(self, address: str, *, is_return: bool) -> None:
        """Counts a change to another address."""
        self._metrics.failovers.labels(self._label, "return" if is_return else "fallback").inc()
        self.uses(address)

    def block_verdict(self, verdict: str) -> None:
        """Counts the pool's verdict on a block candidate."""
        self._metrics.block_verdicts.labels(self._label, verdict).inc()

    def closed(self, reason: str) -> None:
        """Counts the end of a miner's connection."""
        self._metrics.connections_closed.labels(self._label, reason).inc()

    def extranonce_changed(self, way: str) -> None:
        """Counts a miner whose extranonce could not stay: "set_extranonce" or "reconnect"."""
        self._metrics.extranonce_changes.labels(self._label, way).inc()
