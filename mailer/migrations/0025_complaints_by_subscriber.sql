-- Outside a transaction: the table stays writable while its index is built.
-- squawk-ignore-file ban-concurrent-index-creation-in-transaction, require-timeout-settings

-- Without it, each complaint read all events ever reported.
CREATE INDEX CONCURRENTLY IF NOT EXISTS delivery_events_complaints ON delivery_events (subscriber_id)
WHERE kind IN ('complaint', 'not spam');
