-- Editions handed over through the API, by the digest of what was sent: a second publish sends only what is new.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE handed_over (
    digest text PRIMARY KEY,                   -- SHA-256 of the edition's JSON
    edition bytea NOT NULL,                    -- its JSON, compressed with zlib
    used_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX handed_over_by_age ON handed_over (used_at);
