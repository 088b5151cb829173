-- The desk: one-time links to sign in, sessions, and what operators did. Links and sessions are stored as hashes.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE desk_links (
    hash bytea PRIMARY KEY,
    operator text NOT NULL,
    role text NOT NULL CHECK (role IN ('owner', 'viewer')),
    by_email boolean NOT NULL,                 -- the settings, not this row, give the role to an address
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);

CREATE TABLE desk_sessions (
    hash bytea PRIMARY KEY,
    operator text NOT NULL,
    role text NOT NULL CHECK (role IN ('owner', 'viewer')),
    by_email boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    ended_at timestamptz
);

CREATE TABLE desk_acts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    operator text NOT NULL,
    role text NOT NULL,
    act text NOT NULL,
    target text NOT NULL DEFAULT '',
    outcome text NOT NULL DEFAULT ''           -- empty: done; else why it was refused
);

CREATE TRIGGER desk_acts_stay BEFORE DELETE OR UPDATE ON desk_acts
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
