-- Gifts: somebody pays for somebody else, who accepts by a link in a mail.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE gifts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session_id text NOT NULL UNIQUE,           -- the checkout that paid for it: one gift each
    subscriber_id bigint NOT NULL REFERENCES subscribers (id) ON DELETE CASCADE,
    plan text NOT NULL,
    months integer NOT NULL CHECK (months >= 1),
    amount bigint NOT NULL,
    currency text NOT NULL,
    paid_at timestamptz NOT NULL DEFAULT now(),
    accepted_at timestamptz
);

CREATE INDEX gifts_by_subscriber ON gifts (subscriber_id);
