-- A roll-up's row says whose shares are in it: `segment`, as in `shares`. What a segment ships it ships batch by batch, and
-- nobody ships it beside; so what a roll-up lacks of a segment, or has twice, after a crash in the middle of an INSERT can
-- be told exactly, whatever others insert meanwhile. A worker's shares of one bucket are nearly always of one segment, so
-- that there are hardly more rows. Rows from before this migration are of segment 0, and stay so.
ALTER TABLE shares_10m
    ADD COLUMN IF NOT EXISTS segment UUID CODEC(ZSTD),
    MODIFY ORDER BY (bucket, pool_label, worker, segment);
ALTER TABLE shares_1h
    ADD COLUMN IF NOT EXISTS segment UUID CODEC(ZSTD),
    MODIFY ORDER BY (bucket, pool_label, worker, segment);
ALTER TABLE shares_1d
    ADD COLUMN IF NOT EXISTS segment UUID CODEC(ZSTD),
    MODIFY ORDER BY (bucket, pool_label, worker, segment);

ALTER TABLE shares_to_10m MODIFY QUERY
SELECT
    toStartOfTenMinutes(s.ts) AS bucket,
    s.pool_label AS pool_label,
    s.worker AS worker,
    s.segment AS segment,
    countIf(s.verdict = 'accepted') AS accepted,
    countIf(s.verdict = 'rejected') AS rejected,
    sumMapIf(map(toString(s.reason), toUInt64(1)), s.verdict = 'rejected') AS rejected_by_reason,
    sumIf(s.pool_difficulty, s.verdict = 'accepted') AS credited_difficulty,
    sumIf(s.actual_difficulty, s.verdict = 'accepted') AS actual_difficulty,
    maxIf(s.actual_difficulty, s.verdict = 'accepted') AS best_share,
    maxIf(s.ts, s.verdict = 'accepted') AS last_share
FROM shares AS s
GROUP BY bucket, pool_label, worker, segment;

ALTER TABLE shares_to_1h MODIFY QUERY
SELECT
    toStartOfHour(s.ts) AS bucket,
    s.pool_label AS pool_label,
    s.worker AS worker,
    s.segment AS segment,
    countIf(s.verdict = 'accepted') AS accepted,
    countIf(s.verdict = 'rejected') AS rejected,
    sumMapIf(map(toString(s.reason), toUInt64(1)), s.verdict = 'rejected') AS rejected_by_reason,
    sumIf(s.pool_difficulty, s.verdict = 'accepted') AS credited_difficulty,
    sumIf(s.actual_difficulty, s.verdict = 'accepted') AS actual_difficulty,
    maxIf(s.actual_difficulty, s.verdict = 'accepted') AS best_share,
    maxIf(s.ts, s.verdict = 'accepted') AS last_share
FROM shares AS s
GROUP BY bucket, pool_label, worker, segment;

ALTER TABLE shares_to_1d MODIFY QUERY
SELECT
    toStartOfDay(s.ts) AS bucket,
    s.pool_label AS pool_label,
    s.worker AS worker,
    s.segment AS segment,
    countIf(s.verdict = 'accepted') AS accepted,
    countIf(s.verdict = 'rejected') AS rejected,
    sumMapIf(map(toString(s.reason), toUInt64(1)), s.verdict = 'rejected') AS rejected_by_reason,
    sumIf(s.pool_difficulty, s.verdict = 'accepted') AS credited_difficulty,
    sumIf(s.actual_difficulty, s.verdict = 'accepted') AS actual_difficulty,
    maxIf(s.actual_difficulty, s.verdict = 'accepted') AS best_share,
    maxIf(s.ts, s.verdict = 'accepted') AS last_share
FROM shares AS s
GROUP BY bucket, pool_label, worker, segment;
