-- Each run of an audit over a period of shares, and how often each kind of mismatch was found: see
-- services/warehouse/mismatch.py for the words.
CREATE TABLE IF NOT EXISTS audits
(
    started DateTime64(3, 'UTC'),
    seconds Float64,
    period_start DateTime('UTC'),
    period_end DateTime('UTC'),
    worker String,
    shares UInt64,
    jobs UInt64,
    mismatches Map(String, UInt64)
)
ENGINE = MergeTree
ORDER BY started
SETTINGS non_replicated_deduplication_window = 1000,
    replicated_deduplication_window = 1000, replicated_deduplication_window_seconds = 3600;
