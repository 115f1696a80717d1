-- On every table: what ClickHouse has acknowledged the spool forgets, so an insert is flushed to disk first (a power cut
-- would take it otherwise), and the tokens of the last 100,000 inserts are remembered, so that a repeat changes nothing.

-- One row per submitted share. The header lies in its six fields, each with the codec that suits it; a row's header and
-- its block hash are computed when they are asked for.
--
-- Bytes per row and column on disk, measured with 300,000 shares of 1,000 workers on two pools, 100 a second, random
-- merkle roots, nonces and rolled version bits, after merging (engine 26.9):
--
--   column               by ts, header whole,   by ts, header    as below
--                        ZSTD everywhere        in fields
--   merkle_root, nonce               )          36.00            36.00
--   version                          ) 41.98     2.84             2.34
--   ntime                            )           0.51             0.85
--   prevhash, nbits                  )           0.01             0.01
--   actual_difficulty      7.64                  7.38             7.38
--   extranonce2            5.47                  5.46             2.28
--   ts                     1.11                  0.78             2.06
--   seq                    1.02                  0.01             1.82
--   miner, worker          3.01                  3.01             0.11
--   extranonce1            4.26                  1.50             0.06
--   job, job_id            0.73                  0.22             0.54
--   the other eight        1.06                  1.05             0.13
--   total                 66.30                 58.82            53.57
--
-- Naive (LZ4, ordered by ts): 83.71.
CREATE TABLE IF NOT EXISTS shares
(
    ts DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    segment UUID CODEC(ZSTD),
    seq UInt64 CODEC(Delta, ZSTD),
    proxy LowCardinality(String) CODEC(ZSTD),
    pool_label LowCardinality(String) CODEC(ZSTD),
    pool LowCardinality(String) CODEC(ZSTD),
    miner LowCardinality(String) CODEC(ZSTD),
    worker LowCardinality(String) CODEC(ZSTD),
    verdict Enum8('accepted' = 1, 'rejected' = 2) CODEC(ZSTD),
    reason LowCardinality(String) CODEC(ZSTD),
    pool_difficulty Float64 CODEC(ZSTD),
    pool_requested_difficulty Float64 CODEC(ZSTD),
    actual_difficulty Float64 CODEC(Gorilla, ZSTD),
    job LowCardinality(FixedString(16)) CODEC(ZSTD),
    job_id LowCardinality(String) CODEC(ZSTD),
    extranonce1 LowCardinality(String) CODEC(ZSTD),
    extranonce2 String CODEC(ZSTD(3)),
    version UInt32 CODEC(T64, ZSTD),
    prevhash FixedString(32) CODEC(ZSTD),
    merkle_root FixedString(32) CODEC(NONE),
    ntime UInt32 CODEC(ZSTD),
    nbits UInt32 CODEC(ZSTD),
    nonce UInt32 CODEC(NONE),
    header FixedString(80) ALIAS toFixedString(concat(
        reinterpretAsFixedString(version), prevhash, merkle_root,
        reinterpretAsFixedString(ntime), reinterpretAsFixedString(nbits), reinterpretAsFixedString(nonce)), 80),
    block_hash String ALIAS if(header = toFixedString('', 80), '', lower(hex(reverse(SHA256(SHA256(header))))))
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(ts)
ORDER BY (toStartOfTenMinutes(ts), pool_label, worker, ts)
SETTINGS storage_policy = 'tiered', non_replicated_deduplication_window = 100000,
    replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 2592000,
    fsync_after_insert = 1, fsync_part_directory = 1;

-- What the pools sent, once per content; a share's merkle root follows from it and the share's extranonces.
CREATE TABLE IF NOT EXISTS jobs
(
    job FixedString(16),
    pool_label SimpleAggregateFunction(any, String),
    pool SimpleAggregateFunction(any, String),
    prevhash SimpleAggregateFunction(any, FixedString(32)),
    coinbase1 SimpleAggregateFunction(any, String) CODEC(ZSTD),
    coinbase2 SimpleAggregateFunction(any, String) CODEC(ZSTD),
    merkle_branch SimpleAggregateFunction(any, Array(FixedString(32))) CODEC(ZSTD),
    version SimpleAggregateFunction(any, UInt32),
    nbits SimpleAggregateFunction(any, UInt32),
    ntime SimpleAggregateFunction(any, UInt32),
    first_sent SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_sent SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(first_sent)
ORDER BY job
SETTINGS non_replicated_deduplication_window = 100000,
    replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 2592000,
    fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS found_blocks
(
    ts DateTime64(3, 'UTC'),
    chain LowCardinality(String),
    height UInt64,
    nonce UInt64,
    hash String,
    header FixedString(80),
    worker String,
    pool String
)
ENGINE = ReplacingMergeTree
ORDER BY (chain, height, hash)
SETTINGS non_replicated_deduplication_window = 100000,
    replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 2592000,
    fsync_after_insert = 1, fsync_part_directory = 1;

-- Roll-ups. Time comes first in the key: a window then reads few granules, whatever the number of workers.
CREATE TABLE IF NOT EXISTS shares_10m
(
    bucket DateTime('UTC') CODEC(Delta, ZSTD),
    pool_label LowCardinality(String),
    worker LowCardinality(String),
    accepted SimpleAggregateFunction(sum, UInt64),
    rejected SimpleAggregateFunction(sum, UInt64),
    rejected_by_reason SimpleAggregateFunction(sumMap, Map(String, UInt64)),
    credited_difficulty SimpleAggregateFunction(sum, Float64),
    actual_difficulty SimpleAggregateFunction(sum, Float64),
    best_share SimpleAggregateFunction(max, Float64),
    last_share SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(bucket)
ORDER BY (bucket, pool_label, worker)
SETTINGS non_replicated_deduplication_window = 100000,
    replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 2592000,
    fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS shares_1h AS shares_10m
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(bucket)
ORDER BY (bucket, pool_label, worker)
SETTINGS non_replicated_deduplication_window = 100000,
    replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 2592000,
    fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS shares_to_10m TO shares_10m AS
SELECT
    toStartOfTenMinutes(s.ts) AS bucket,
    s.pool_label AS pool_label,
    s.worker AS worker,
    countIf(s.verdict = 'accepted') AS accepted,
    countIf(s.verdict = 'rejected') AS rejected,
    sumMapIf(map(toString(s.reason), toUInt64(1)), s.verdict = 'rejected') AS rejected_by_reason,
    sumIf(s.pool_difficulty, s.verdict = 'accepted') AS credited_difficulty,
    sumIf(s.actual_difficulty, s.verdict = 'accepted') AS actual_difficulty,
    maxIf(s.actual_difficulty, s.verdict = 'accepted') AS best_share,
    maxIf(s.ts, s.verdict = 'accepted') AS last_share
FROM shares AS s
GROUP BY bucket, pool_label, worker;

CREATE MATERIALIZED VIEW IF NOT EXISTS shares_to_1h TO shares_1h AS
SELECT
    toStartOfHour(s.ts) AS bucket,
    s.pool_label AS pool_label,
    s.worker AS worker,
    countIf(s.verdict = 'accepted') AS accepted,
    countIf(s.verdict = 'rejected') AS rejected,
    sumMapIf(map(toString(s.reason), toUInt64(1)), s.verdict = 'rejected') AS rejected_by_reason,
    sumIf(s.pool_difficulty, s.verdict = 'accepted') AS credited_difficulty,
    sumIf(s.actual_difficulty, s.verdict = 'accepted') AS actual_difficulty,
    maxIf(s.actual_difficulty, s.verdict = 'accepted') AS best_share,
    maxIf(s.ts, s.verdict = 'accepted') AS last_share
FROM shares AS s
GROUP BY bucket, pool_label, worker;
