-- Outside a transaction: the table stays writable while its index is built.
-- squawk-ignore-file ban-concurrent-index-creation-in-transaction, require-timeout-settings

-- Who is added without being asked must not be somebody's former address.
CREATE INDEX CONCURRENTLY IF NOT EXISTS consents_former_addresses ON consents (lower(evidence ->> 'before'))
WHERE kind = 'address';
