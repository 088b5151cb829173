-- The life of a reader: what they chose, what is known about them, pauses, changes of address, erasing, imports.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE subscribers
ADD COLUMN metadata jsonb NOT NULL DEFAULT '{}',      -- an object: name to string, number, true, false or null
ADD COLUMN lang text NOT NULL DEFAULT '',             -- en, de, ...; empty: the newsletter's
ADD COLUMN frequency text NOT NULL DEFAULT 'every',   -- every issue, or a digest of the month's
ADD COLUMN paused_until timestamptz,                  -- no issue before; ends by itself
ADD COLUMN active_at timestamptz,                     -- when they last did something themselves
ADD COLUMN flags text [] NOT NULL DEFAULT '{}',       -- role, disposable: what is odd about the address
ADD COLUMN erased_at timestamptz;                     -- nothing but this row's number is left of them

ALTER TABLE subscribers ADD CONSTRAINT subscribers_frequency_check
CHECK (frequency IN ('every', 'monthly')) NOT VALID;
-- squawk-ignore constraint-missing-not-valid
ALTER TABLE subscribers VALIDATE CONSTRAINT subscribers_frequency_check;
ALTER TABLE subscribers ADD CONSTRAINT subscribers_metadata_check
CHECK (jsonb_typeof(metadata) = 'object') NOT VALID;
-- squawk-ignore constraint-missing-not-valid
ALTER TABLE subscribers VALIDATE CONSTRAINT subscribers_metadata_check;

-- squawk-ignore require-concurrent-index-creation
CREATE INDEX subscribers_paused ON subscribers (paused_until) WHERE paused_until IS NOT NULL;

-- squawk-ignore ban-drop-constraint
ALTER TABLE consents DROP CONSTRAINT consents_kind_check;
ALTER TABLE consents ADD CONSTRAINT consents_kind_check CHECK (
    kind IN ('requested', 'confirmed', 'left', 'added', 'imported', 'address', 'chosen', 'paused', 'resumed')
) NOT VALID;
-- squawk-ignore constraint-missing-not-valid
ALTER TABLE consents VALIDATE CONSTRAINT consents_kind_check;

-- Single mails: which one it is besides the confirmation, and those held back for review.
ALTER TABLE transactional_mails ADD COLUMN topic text NOT NULL DEFAULT '';
-- squawk-ignore ban-drop-constraint
ALTER TABLE transactional_mails DROP CONSTRAINT transactional_mails_state_check;
ALTER TABLE transactional_mails ADD CONSTRAINT transactional_mails_state_check CHECK (
    state IN (
        'held', 'pending', 'claimed', 'accepted', 'delivered', 'skipped', 'failed', 'bounced', 'complained', 'uncertain'
    )
) NOT VALID;
-- squawk-ignore constraint-missing-not-valid
ALTER TABLE transactional_mails VALIDATE CONSTRAINT transactional_mails_state_check;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX transactional_mails_held ON transactional_mails (id) WHERE state = 'held';

-- Who was erased: a keyed hash of the address, so that no import brings them back and a complaint is not forgotten.
CREATE TABLE erased (
    hash bytea PRIMARY KEY,                    -- HMAC-SHA256 of the normal form, keyed with POSTMERGE_SECRET
    reason text NOT NULL DEFAULT '',           -- as in suppressions; empty: may subscribe again by themselves
    at timestamptz NOT NULL DEFAULT now()
);

-- Each import that was applied, with the evidence given for it.
CREATE TABLE import_runs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    file text NOT NULL,
    digest text NOT NULL,                      -- SHA-256 of the file
    format text NOT NULL,
    evidence text NOT NULL,                    -- the operator's words; empty: none was given
    counts jsonb NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);

-- How much of each limit is used: the moment up to which it is (GCRA, one row for each address block, domain, ...).
CREATE TABLE limits (
    scope text NOT NULL,
    key text NOT NULL,
    used_until timestamptz NOT NULL,
    PRIMARY KEY (scope, key)
);

CREATE INDEX limits_by_age ON limits (used_until);

-- Sign-ups by minute, to know what is usual.
CREATE TABLE signup_minutes (
    minute timestamptz PRIMARY KEY,
    number bigint NOT NULL
);

-- While it is up, confirmation mails are held back for review.
CREATE TABLE firewall (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    up_since timestamptz,
    reason text NOT NULL DEFAULT '',
    by_hand boolean NOT NULL DEFAULT false
);

INSERT INTO firewall DEFAULT VALUES;

-- Mail servers of domains, so that each domain is asked for once in a while.
CREATE TABLE mail_domains (
    domain text PRIMARY KEY,
    takes_mail boolean NOT NULL,
    asked_at timestamptz NOT NULL DEFAULT now()
);
