-- Shares by their time. `ts` stands in the key behind the ten minutes, the pool and the worker, and a condition on it is
-- matched with that place alone: so a window of five minutes read all of its day. Parts that were written before have no
-- index, and are read so until they are merged, or `ALTER TABLE shares MATERIALIZE INDEX by_ts` is asked for.
ALTER TABLE shares
    ADD INDEX IF NOT EXISTS by_ts ts TYPE minmax GRANULARITY 1;
