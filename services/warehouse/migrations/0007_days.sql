-- Roll-up by day, for windows of many days. It is read from `since` on: in a new store from the first share; in one that has
-- shares already from the day after tomorrow, so that no share that came before this table, and no repeat of its INSERT,
-- can be in question. Earlier days are read by the hour.
CREATE TABLE IF NOT EXISTS shares_1d AS shares_10m
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(bucket)
ORDER BY (bucket, pool_label, worker)
SETTINGS non_replicated_deduplication_window = 100000,
    replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 2592000,
    fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS shares_to_1d TO shares_1d AS
SELECT
    toStartOfDay(s.ts) AS bucket,
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

CREATE TABLE IF NOT EXISTS shares_1d_since
(
    since DateTime('UTC')
)
ENGINE = MergeTree
ORDER BY since
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- After the view: where there is no share now, the view sees them all. Several processes may run this at once: the latest
-- counts. (Not a condition of the view: with a subquery in one, engine 26.9 fills none of the views after the first.)
INSERT INTO shares_1d_since
SELECT if((SELECT count() FROM shares) = 0, toDateTime(0, 'UTC'), toStartOfDay(now('UTC')) + toIntervalDay(2))
WHERE (SELECT count() FROM shares_1d_since) = 0
SETTINGS async_insert = 0;
