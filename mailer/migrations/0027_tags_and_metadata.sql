-- Outside a transaction: the table stays writable while its index is built.
-- squawk-ignore-file ban-concurrent-index-creation-in-transaction, require-timeout-settings

-- Filters by metadata['key']. Most subscribers have none: they cost the index nothing.
CREATE INDEX CONCURRENTLY IF NOT EXISTS subscribers_by_metadata ON subscribers
USING gin (metadata jsonb_path_ops) WITH (gin_pending_list_limit = 256) WHERE metadata <> '{}';

-- The tags of before. The lock on each row keeps its tags from changing until they are stored; new subscribers need not wait.
INSERT INTO subscriber_tags (tag, subscriber_id)
SELECT tag, locked.id
FROM (SELECT id, tags FROM subscribers WHERE erased_at IS NULL AND tags <> '{}' ORDER BY id FOR SHARE) AS locked, unnest(locked.tags) AS tag
ON CONFLICT DO NOTHING;
