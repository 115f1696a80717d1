CREATE TABLE IF NOT EXISTS shares
(
    ts DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    segment UUID CODEC(ZSTD),
    seq UInt64 CODEC(Delta, ZSTD),
    proxy LowCardinality(String),
    pool_label LowCardinality(String),
    pool LowCardinality(String),
    miner LowCardinality(String),
    worker LowCardinality(String),
    verdict Enum8('accepted' = 1, 'rejected' = 2),
    reason LowCardinality(String),
    pool_difficulty Float64 CODEC(ZSTD),
    pool_requested_difficulty Float64 CODEC(ZSTD),
    actual_difficulty Float64 CODEC(ZSTD),
    job FixedString(16) CODEC(ZSTD),
    job_id String CODEC(ZSTD),
    extranonce1 String CODEC(ZSTD),
    extranonce2 String CODEC(ZSTD),
    header FixedString(80) CODEC(ZSTD),
    block_hash String ALIAS if(header = toFixedString('', 80), '', lower(hex(reverse(SHA256(SHA256(header))))))
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(ts)
ORDER BY ts
SETTINGS storage_policy = 'tiered', non_replicated_deduplication_window = 100000;

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
SETTINGS non_replicated_deduplication_window = 100000;

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
SETTINGS non_replicated_deduplication_window = 100000;

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
SETTINGS non_replicated_deduplication_window = 100000;

CREATE TABLE IF NOT EXISTS shares_1h AS shares_10m
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(bucket)
ORDER BY (bucket, pool_label, worker)
SETTINGS non_replicated_deduplication_window = 100000;

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
