-- Outside a transaction: the tables stay writable while their indexes are built.
-- squawk-ignore-file ban-concurrent-index-creation-in-transaction, require-timeout-settings

CREATE INDEX CONCURRENTLY IF NOT EXISTS webhook_messages_pending ON webhook_messages (webhook_id, due_at)
WHERE state = 'pending';
CREATE INDEX CONCURRENTLY IF NOT EXISTS webhook_messages_claimed ON webhook_messages (webhook_id, claimed_at)
WHERE state = 'claimed';

-- By its order the planner would read all other webhooks' messages to find the first one of a webhook.
DROP INDEX CONCURRENTLY IF EXISTS webhook_messages_due;

CREATE INDEX CONCURRENTLY IF NOT EXISTS delivery_events_not_hard ON delivery_events (subscriber_id, at)
WHERE kind IN ('soft bounce', 'general bounce');
DROP INDEX CONCURRENTLY IF EXISTS delivery_events_soft;

CREATE INDEX CONCURRENTLY IF NOT EXISTS customers_with_email_due ON customers (email_due_at)
WHERE email_due_at IS NOT NULL;
