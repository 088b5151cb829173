-- The mail of a month for readers who want one mail a month: each month's is made once.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE digests (
    month date PRIMARY KEY,                    -- its first day
    readers bigint NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now()
);

-- Who waits for their digest is looked for once a month.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX subscribers_monthly ON subscribers (id) WHERE frequency = 'monthly';
