-- Shares that were judged and answered, but that a full spool or a failing disk could not keep: how many, by worker. Each
-- process of a proxy (`instance`) tells its totals again when they grow; the newest row of a key counts.
CREATE TABLE IF NOT EXISTS unrecorded_shares
(
    updated DateTime64(3, 'UTC'),
    proxy String,
    instance UUID,
    pool_label LowCardinality(String),
    worker String,
    first DateTime64(3, 'UTC'),
    last DateTime64(3, 'UTC'),
    accepted UInt64,
    rejected UInt64,
    difficulty_accepted Float64
)
ENGINE = ReplacingMergeTree(updated)
ORDER BY (proxy, instance, pool_label, worker)
SETTINGS non_replicated_deduplication_window = 1000,
    replicated_deduplication_window = 1000, replicated_deduplication_window_seconds = 3600;
