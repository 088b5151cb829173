-- The spine: readers and their consent, issues and editions, sends and their ledger, single (transactional) mails.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE subscribers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email text NOT NULL,                       -- as the reader wrote it
    email_normal text NOT NULL UNIQUE,         -- the one form that decides sameness
    state text NOT NULL DEFAULT 'unconfirmed' CHECK (state IN ('unconfirmed', 'active', 'left')),
    tags text [] NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    confirmed_at timestamptz,
    left_at timestamptz
);

CREATE INDEX subscribers_by_tag ON subscribers USING gin (tags) WHERE state = 'active';

-- The evidence that a reader asked, confirmed and left; rows are only ever added.
CREATE TABLE consents (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subscriber_id bigint NOT NULL REFERENCES subscribers (id) ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('requested', 'confirmed', 'left', 'added')),
    source text NOT NULL,                      -- form, mail, one-click, cli, demo
    ip inet,
    evidence jsonb NOT NULL DEFAULT '{}',
    at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX consents_by_subscriber ON consents (subscriber_id, at);

-- Addresses that must not be mailed, whoever asks.
CREATE TABLE suppressions (
    email_normal text PRIMARY KEY,
    reason text NOT NULL CHECK (reason IN ('hard bounce', 'soft bounces', 'complaint', 'operator')),
    detail text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Every issue that was ever published: its key decides whether it was mailed.
CREATE TABLE issues (
    key text PRIMARY KEY,
    path text NOT NULL,
    title text NOT NULL,
    dated timestamptz NOT NULL,
    digest text NOT NULL,
    sketch bigint [] NOT NULL DEFAULT '{}',    -- a few hashes of the body, to recognise a renamed and edited issue
    renamed_from text,                         -- the first key under which it was known: its sends are filed there
    adopted_edition integer,                   -- public before the ledger began: up to this edition never mailed by itself
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX issues_by_digest ON issues (digest);

CREATE TABLE editions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    issue_key text NOT NULL REFERENCES issues (key),
    number integer NOT NULL CHECK (number >= 1),
    digest text NOT NULL,
    title text NOT NULL,
    subject text NOT NULL,
    preheader text NOT NULL,
    lang text NOT NULL,
    url text NOT NULL,
    html text NOT NULL,
    text text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE sends (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    issue_key text NOT NULL REFERENCES issues (key),
    edition_number integer NOT NULL,
    edition_id bigint NOT NULL REFERENCES editions (id),
    state text NOT NULL CHECK (
        state IN ('scheduled', 'holding', 'sending', 'finished', 'paused', 'stopped', 'cancelled')
    ),
    sender text NOT NULL,
    audience text NOT NULL,                    -- the rule
    audience_size integer,                     -- set when the audience is frozen
    due_at timestamptz NOT NULL,               -- the schedule's moment, or the end of the hold window
    gated boolean NOT NULL DEFAULT false,      -- look at the live page before the first mail
    open_wave smallint NOT NULL DEFAULT 1,     -- readers of a later wave wait: a staged start
    look_until timestamptz,                    -- the first wave's outcomes are watched until then
    rests_until timestamptz,                   -- a pause by itself: SES away, the quota used up, the page not live yet
    waits_for text NOT NULL DEFAULT '',        -- what that pause waits for
    reason text NOT NULL DEFAULT '',           -- why it was paused, stopped or cancelled
    created_at timestamptz NOT NULL DEFAULT now(),
    frozen_at timestamptz,
    started_at timestamptz,
    finished_at timestamptz,
    UNIQUE (issue_key, edition_number)         -- one send for one edition number, whatever else goes wrong
);

-- The ledger: one row for each send and reader.
CREATE TABLE deliveries (
    send_id bigint NOT NULL REFERENCES sends (id),
    subscriber_id bigint NOT NULL REFERENCES subscribers (id),
    state text NOT NULL DEFAULT 'pending' CHECK (
        state IN (
            'pending', 'claimed', 'accepted', 'delivered', 'skipped', 'failed', 'bounced', 'complained', 'uncertain'
        )
    ),
    wave smallint NOT NULL DEFAULT 1,          -- 0: the first slice of a staged start
    attempts integer NOT NULL DEFAULT 0,
    claimed_at timestamptz,
    claimed_by uuid,                           -- the claim: only its owner may settle the row
    address_hash bigint,                       -- set by the claim; unique, so that no address can get a send twice
    settled_at timestamptz,
    message_id text,
    detail text NOT NULL DEFAULT '',
    PRIMARY KEY (send_id, subscriber_id)
) WITH (fillfactor = 70);

CREATE INDEX deliveries_pending ON deliveries (send_id, wave, subscriber_id) WHERE state = 'pending';
CREATE UNIQUE INDEX deliveries_once ON deliveries (send_id, address_hash) WHERE address_hash IS NOT NULL;
CREATE INDEX deliveries_claimed ON deliveries (claimed_at) WHERE state = 'claimed';
CREATE INDEX deliveries_by_subscriber ON deliveries (subscriber_id);

-- What the operator is told: stopped and paused sends. Posted to POSTMERGE_NOTIFY_URL when that is set.
CREATE TABLE notices (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    text text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    posted_at timestamptz
);

CREATE INDEX notices_open ON notices (id) WHERE posted_at IS NULL;

-- Mails to one reader outside any send (transactional mail): confirmations for now. Their own ledger.
CREATE TABLE transactional_mails (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('confirmation')),
    subscriber_id bigint NOT NULL REFERENCES subscribers (id) ON DELETE CASCADE,
    state text NOT NULL DEFAULT 'pending' CHECK (
        state IN ('pending', 'claimed', 'accepted', 'skipped', 'failed', 'uncertain')
    ),
    attempts integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    claimed_at timestamptz,
    claimed_by uuid,
    settled_at timestamptz,
    message_id text,
    detail text NOT NULL DEFAULT ''
);

CREATE INDEX transactional_mails_open ON transactional_mails (id) WHERE state IN ('pending', 'claimed');
CREATE INDEX transactional_mails_by_subscriber ON transactional_mails (subscriber_id, created_at);
