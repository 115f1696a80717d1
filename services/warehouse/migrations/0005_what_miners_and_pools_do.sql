-- What the pages show of a connection besides: what its pool asks for, and how hard its shares were.
ALTER TABLE sessions
    ADD COLUMN IF NOT EXISTS pool_difficulty Float64,
    ADD COLUMN IF NOT EXISTS best_share Float64,
    ADD COLUMN IF NOT EXISTS last_share_difficulty Float64;

-- How long the pool took to answer shares of late (0: it answered none), and since when the oldest of the connections
-- that work does (unix milliseconds, 0: none does).
ALTER TABLE heartbeats
    ADD COLUMN IF NOT EXISTS `pools.latency_seconds` Array(Float64),
    ADD COLUMN IF NOT EXISTS `pools.connected_ms` Array(UInt64);

ALTER TABLE pool_states
    ADD COLUMN IF NOT EXISTS latency_seconds Float64;

ALTER TABLE heartbeats_to_pool_states MODIFY QUERY
SELECT
    h.ts AS ts,
    h.proxy AS proxy,
    h.instance AS instance,
    pools.pool_label AS pool_label,
    pools.pool AS pool,
    pools.state AS state,
    pools.miners AS miners,
    pools.upstreams AS upstreams,
    pools.latency_seconds AS latency_seconds
FROM heartbeats AS h
ARRAY JOIN pools;
