-- Keys for the REST API: shown once, kept as a hash.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE api_keys (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    hash bytea NOT NULL UNIQUE,                -- SHA-256 of a key of 256 random bits
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);

-- A name is free again once its key is revoked.
CREATE UNIQUE INDEX api_keys_by_name ON api_keys (name) WHERE revoked_at IS NULL;
