-- What the proxies tell of themselves. Block candidates come by the spool, as shares do, and are flushed to disk before
-- they are acknowledged. Sessions and heartbeats are the latest state of something that goes on: the newest row of a key
-- counts, a lost one is made good by the next, and what is 30 days old goes.

-- Every share that met its job's network target, whatever else was wrong with it and whatever became of it. A row is
-- written when the share comes, and once more, later in `updated`, with the pool's verdict. With its job (table jobs)
-- it is all that the block's coinbase and header need.
CREATE TABLE IF NOT EXISTS block_candidates
(
    ts DateTime64(3, 'UTC'),
    updated DateTime64(3, 'UTC'),
    proxy String,
    pool_label String,
    pool String,
    miner String,
    worker String,
    height UInt64,
    actual_difficulty Float64,
    network_difficulty Float64,
    forwarded Bool,
    refusal String,
    pool_verdict String,
    job FixedString(16),
    job_id String,
    extranonce1 String,
    extranonce2 String,
    header FixedString(80),
    block_hash String ALIAS lower(hex(reverse(SHA256(SHA256(header)))))
)
ENGINE = ReplacingMergeTree(updated)
ORDER BY (ts, proxy, header)
SETTINGS non_replicated_deduplication_window = 100000,
    replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 2592000,
    fsync_after_insert = 1, fsync_part_directory = 1;

-- A miner's connection. `instance` is random per start of a proxy's process, `connection` counts within it.
CREATE TABLE IF NOT EXISTS sessions
(
    updated DateTime64(3, 'UTC'),
    proxy String,
    instance UUID,
    connection UInt64,
    pool_label LowCardinality(String),
    pool LowCardinality(String),
    miner String,
    workers Array(String),
    user_agent LowCardinality(String),
    connected DateTime64(3, 'UTC'),
    disconnected Nullable(DateTime64(3, 'UTC')),
    disconnect_reason LowCardinality(String),
    difficulty Float64,
    last_share Nullable(DateTime64(3, 'UTC')),
    accepted UInt64,
    rejected_by_reason Map(String, UInt64),
    hash_rate Float64
)
ENGINE = ReplacingMergeTree(updated)
ORDER BY (proxy, instance, connection)
TTL toDateTime(updated) + toIntervalDay(30)
SETTINGS non_replicated_deduplication_window = 1000,
    replicated_deduplication_window = 1000, replicated_deduplication_window_seconds = 3600;

-- One row per process of a proxy. Where `ts` grows old, the process is dead and its sessions have ended.
CREATE TABLE IF NOT EXISTS heartbeats
(
    ts DateTime64(3, 'UTC'),
    proxy String,
    instance UUID,
    started DateTime64(3, 'UTC'),
    stopped Bool,
    version String,
    miners UInt64,
    spool_rows UInt64,
    spool_bytes UInt64,
    spool_oldest_age_seconds Float64,
    spool_recording Bool,
    unrecorded_shares UInt64,
    loop_lag_seconds Float64,
    pools Nested
    (
        pool_label String,
        pool String,
        state String,
        miners UInt64,
        upstreams UInt64
    )
)
ENGINE = ReplacingMergeTree(ts)
ORDER BY (proxy, instance)
TTL toDateTime(ts) + toIntervalDay(30)
SETTINGS non_replicated_deduplication_window = 1000,
    replicated_deduplication_window = 1000, replicated_deduplication_window_seconds = 3600;

-- A wish that every proxy read its configuration anew, and each process's answer to it.
CREATE TABLE IF NOT EXISTS config_revisions
(
    revision UUID,
    requested DateTime64(3, 'UTC'),
    requested_by String
)
ENGINE = ReplacingMergeTree
ORDER BY (requested, revision)
TTL toDateTime(requested) + toIntervalDay(30)
SETTINGS non_replicated_deduplication_window = 100000,
    replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 2592000,
    fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS config_answers
(
    revision UUID,
    answered DateTime64(3, 'UTC'),
    proxy String,
    instance UUID,
    applied Bool,
    changed_pools Array(String),
    error String
)
ENGINE = ReplacingMergeTree(answered)
ORDER BY (revision, proxy, instance)
TTL toDateTime(answered) + toIntervalDay(30)
SETTINGS non_replicated_deduplication_window = 100000,
    replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 2592000,
    fsync_after_insert = 1, fsync_part_directory = 1;
