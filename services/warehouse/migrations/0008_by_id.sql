-- A share by its id (segment, seq), which is not what shares are ordered by: within ten minutes of one segment the numbers
-- lie close together, and other segments do not lie there at all. Parts that were written before have no index, and are
-- read whole, until they are merged, or `ALTER TABLE shares MATERIALIZE INDEX by_seq` and `by_segment` is asked for.
ALTER TABLE shares
    ADD INDEX IF NOT EXISTS by_seq seq TYPE minmax GRANULARITY 1,
    ADD INDEX IF NOT EXISTS by_segment segment TYPE set(64) GRANULARITY 1;
