-- Test emails go to reviewers, outside of sends; each is written down. An address is proven when its owner opened a link once.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE reviewers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email text NOT NULL,
    email_normal text NOT NULL UNIQUE,
    asked_at timestamptz NOT NULL DEFAULT now(),
    proven_at timestamptz                      -- null: the owner has not confirmed yet, or an email to them bounced since
);

CREATE TABLE test_emails (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    email_normal text NOT NULL,                -- empty after its owner was erased
    source text NOT NULL,                      -- cli, preview, api
    issue_key text NOT NULL,
    number smallint NOT NULL,
    variant text NOT NULL DEFAULT '',
    digest text NOT NULL,
    state text NOT NULL DEFAULT 'claimed' CHECK (
        state IN ('claimed', 'accepted', 'failed', 'uncertain', 'skipped', 'delivered', 'bounced', 'complained')
    ),
    message_id text NOT NULL DEFAULT '',
    detail text NOT NULL DEFAULT ''
);

CREATE INDEX test_emails_by_time ON test_emails (at);
CREATE INDEX test_emails_by_digest ON test_emails (digest);
