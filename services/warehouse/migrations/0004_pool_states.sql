-- How every proxy stood with every pool, as its heartbeats told: `heartbeats` keeps the latest alone, and a failover is
-- the difference between two. 30 days of it, so that a page can show when which address was in use.
CREATE TABLE IF NOT EXISTS pool_states
(
    ts DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    proxy LowCardinality(String),
    instance UUID CODEC(ZSTD),
    pool_label LowCardinality(String),
    pool LowCardinality(String),
    state LowCardinality(String),
    miners UInt64 CODEC(T64, ZSTD),
    upstreams UInt64 CODEC(T64, ZSTD)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMMDD(ts)
ORDER BY (toStartOfTenMinutes(ts), pool_label, proxy, instance, ts)
TTL toDateTime(ts) + toIntervalDay(30)
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000,
    replicated_deduplication_window = 1000, replicated_deduplication_window_seconds = 3600;

CREATE MATERIALIZED VIEW IF NOT EXISTS heartbeats_to_pool_states TO pool_states AS
SELECT
    h.ts AS ts,
    h.proxy AS proxy,
    h.instance AS instance,
    pools.pool_label AS pool_label,
    pools.pool AS pool,
    pools.state AS state,
    pools.miners AS miners,
    pools.upstreams AS upstreams
FROM heartbeats AS h
ARRAY JOIN pools;
