-- The first schema. By capability: subscribers, publishing, sending, transactional emails, billing, API and operations,
-- events and webhooks. Events come last, because their triggers watch the other tables.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- ---------------------------------------------------------------------------------------------------------------------
-- Subscribers
-- ---------------------------------------------------------------------------------------------------------------------

CREATE TABLE subscribers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email text NOT NULL,                       -- as the subscriber typed it
    email_normal text NOT NULL UNIQUE,         -- the normal form: two addresses are the same when it is equal
    state text NOT NULL DEFAULT 'unconfirmed' CHECK (state IN ('unconfirmed', 'active', 'unsubscribed')),
    created_at timestamptz NOT NULL DEFAULT now(),
    confirmed_at timestamptz,
    active_at timestamptz,                     -- the subscriber's latest own action
    unsubscribed_at timestamptz,
    unsubscribe_reason text NOT NULL DEFAULT '',
    erased_at timestamptz,                     -- personal data is gone; only the row and its id remain
    -- Preferences
    lang text NOT NULL DEFAULT '',             -- en, de, ...; empty: the newsletter's language
    frequency text NOT NULL DEFAULT 'every' CHECK (frequency IN ('every', 'monthly')),  -- every issue, or one digest a month
    paused_until timestamptz,                  -- no issues until then; ends by itself
    -- What the operator records
    tags text [] NOT NULL DEFAULT '{}',
    metadata jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(metadata) = 'object'),  -- name to string, number, boolean or null
    notes text NOT NULL DEFAULT '',
    flags text [] NOT NULL DEFAULT '{}',       -- what is unusual about the address: role, disposable
    -- Where the subscriber came from
    referrer_url text NOT NULL DEFAULT '',
    utm_campaign text NOT NULL DEFAULT '',
    utm_medium text NOT NULL DEFAULT '',
    utm_source text NOT NULL DEFAULT ''
);

-- New entries of a GIN index wait in a list that each search reads in full: 4 MB of it cost 3.5 ms for each search among
-- 1,000,000 subscribers. With 256 KB a search costs little, and inserting stays as cheap.
CREATE INDEX subscribers_by_tag ON subscribers USING gin (tags) WITH (gin_pending_list_limit = 256) WHERE state = 'active';
CREATE INDEX subscribers_by_any_tag ON subscribers USING gin (tags) WITH (gin_pending_list_limit = 256);
CREATE INDEX subscribers_by_age ON subscribers (created_at);
CREATE INDEX subscribers_paused ON subscribers (paused_until) WHERE paused_until IS NOT NULL;
CREATE INDEX subscribers_monthly ON subscribers (id) WHERE frequency = 'monthly';

-- Evidence of each sign-up, confirmation, change and unsubscribe. Rows are only ever added.
CREATE TABLE consents (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subscriber_id bigint NOT NULL REFERENCES subscribers (id) ON DELETE CASCADE,
    kind text NOT NULL CHECK (
        kind IN ('requested', 'confirmed', 'unsubscribed', 'added', 'imported', 'address', 'chosen', 'paused', 'resumed')
    ),
    source text NOT NULL,                      -- form, mail, one-click, cli, demo
    ip inet,
    evidence jsonb NOT NULL DEFAULT '{}',
    at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX consents_by_subscriber ON consents (subscriber_id, at);

-- Addresses that get no email, whatever asks for one.
CREATE TABLE suppressions (
    email_normal text PRIMARY KEY,
    reason text NOT NULL CHECK (reason IN ('hard bounce', 'soft bounces', 'complaint', 'operator')),
    detail text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Keyed hashes of erased addresses, so that no import adds them again and complaints stay known.
CREATE TABLE erased (
    hash bytea PRIMARY KEY,                    -- HMAC-SHA256 of the normal form, keyed with POSTMERGE_SECRET
    reason text NOT NULL DEFAULT '',           -- as in suppressions; empty: the person may subscribe again
    at timestamptz NOT NULL DEFAULT now()
);

-- A tag's colour and descriptions. Which subscribers have it is stored in subscribers.tags; triggers add each new name here.
CREATE TABLE tags (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    color text NOT NULL DEFAULT '#0069FF',
    description text,
    public_description text,
    subscriber_editable boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE segments (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    description text NOT NULL DEFAULT '',
    filters jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- The operator's notes about a subscriber, an email and so on.
CREATE TABLE notes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    body text NOT NULL,
    model_type text NOT NULL,                  -- what the note is about, with its id
    model_id bigint NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX notes_by_model ON notes (model_type, model_id, id);

-- Erasing a subscriber also clears these columns and deletes the notes, whichever statement erases.
CREATE FUNCTION wipe_added_columns() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.notes := '';
    NEW.referrer_url := '';
    NEW.utm_campaign := '';
    NEW.utm_medium := '';
    NEW.utm_source := '';
    NEW.unsubscribe_reason := '';
    DELETE FROM notes WHERE model_type = 'subscriber' AND model_id = NEW.id;
    RETURN NEW;
END $$;

CREATE TRIGGER subscribers_wipe BEFORE UPDATE OF erased_at ON subscribers
FOR EACH ROW WHEN (NEW.erased_at IS NOT NULL AND OLD.erased_at IS NULL) EXECUTE FUNCTION wipe_added_columns();

-- Counts of subscribers, as rows to be summed: each statement adds its differences, so that no statement waits for a shared
-- row. Kind ``block``: subscribers whose id divided by 1024 is ``key``. Kind ``tag``: subscribers with the tag ``key``.
CREATE TABLE tallies (
    kind text NOT NULL,
    key text NOT NULL,
    number bigint NOT NULL
);

CREATE INDEX tallies_by_key ON tallies (kind, key);

CREATE FUNCTION tally_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tallies (kind, key, number)
    SELECT 'block', (id / 1024)::text, count(*) FROM added WHERE erased_at IS NULL GROUP BY 2;
    INSERT INTO tallies (kind, key, number)
    SELECT 'tag', tag, count(*) FROM added, unnest(tags) AS tag WHERE erased_at IS NULL GROUP BY 2;
    IF FOUND THEN
        INSERT INTO tags (name)
        SELECT DISTINCT tag FROM added, unnest(tags) AS tag
        WHERE NOT EXISTS (SELECT FROM tags WHERE tags.name = tag) ORDER BY 1
        ON CONFLICT (name) DO NOTHING;
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION tally_removed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tallies (kind, key, number)
    SELECT 'block', (id / 1024)::text, -count(*) FROM removed WHERE erased_at IS NULL GROUP BY 2;
    INSERT INTO tallies (kind, key, number)
    SELECT 'tag', tag, -count(*) FROM removed, unnest(tags) AS tag WHERE erased_at IS NULL GROUP BY 2;
    RETURN NULL;
END $$;

CREATE FUNCTION tally_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM added JOIN removed USING (id)
        WHERE added.tags <> removed.tags OR (added.erased_at IS NULL) <> (removed.erased_at IS NULL)
    ) THEN
        RETURN NULL;
    END IF;
    INSERT INTO tallies (kind, key, number)
    SELECT 'block', (id / 1024)::text, sum(CASE WHEN added.erased_at IS NULL THEN 1 ELSE -1 END)
    FROM added JOIN removed USING (id)
    WHERE (added.erased_at IS NULL) <> (removed.erased_at IS NULL)
    GROUP BY 2;
    INSERT INTO tallies (kind, key, number)
    SELECT 'tag', tag, sum(number)
    FROM (
        SELECT unnest(tags) AS tag, 1 AS number FROM added WHERE erased_at IS NULL
        UNION ALL
        SELECT unnest(tags), -1 FROM removed WHERE erased_at IS NULL
    ) AS both_sides
    GROUP BY 2
    HAVING sum(number) <> 0;
    INSERT INTO tags (name)
    SELECT DISTINCT tag FROM added, unnest(tags) AS tag
    WHERE NOT EXISTS (SELECT FROM tags WHERE tags.name = tag) ORDER BY 1
    ON CONFLICT (name) DO NOTHING;
    RETURN NULL;
END $$;

CREATE TRIGGER subscribers_tally_added AFTER INSERT ON subscribers
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION tally_added();
CREATE TRIGGER subscribers_tally_removed AFTER DELETE ON subscribers
REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION tally_removed();
CREATE TRIGGER subscribers_tally_changed AFTER UPDATE ON subscribers
REFERENCING OLD TABLE AS removed NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION tally_changed();

-- Rate limits: the time up to which each one is used (GCRA), one row for each address block, domain and so on.
CREATE TABLE limits (
    scope text NOT NULL,
    key text NOT NULL,
    used_until timestamptz NOT NULL,
    PRIMARY KEY (scope, key)
);

CREATE INDEX limits_by_age ON limits (used_until);

-- Sign-ups by minute, to know the usual number.
CREATE TABLE signup_minutes (
    minute timestamptz PRIMARY KEY,
    number bigint NOT NULL
);

-- While the sign-up firewall is up, confirmation emails are held for review.
CREATE TABLE firewall (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),  -- one row
    active_since timestamptz,
    reason text NOT NULL DEFAULT '',
    is_manual boolean NOT NULL DEFAULT false
);

INSERT INTO firewall DEFAULT VALUES;

-- Cached DNS answers: whether a domain has a mail server.
CREATE TABLE email_domains (
    domain text PRIMARY KEY,
    accepts_email boolean NOT NULL,
    asked_at timestamptz NOT NULL DEFAULT now()
);

-- Imports that were applied, with the evidence given for each.
CREATE TABLE import_runs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    file text NOT NULL,
    digest text NOT NULL,                      -- SHA-256 of the file
    format text NOT NULL,
    evidence text NOT NULL,                    -- the operator's words; empty: none was given
    counts jsonb NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);

-- Lists uploaded through the API: each waits for the request that starts the import.
CREATE TABLE imports (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    file text NOT NULL,                        -- its name, as the client gives it
    label text NOT NULL DEFAULT '',
    format text NOT NULL,                      -- the program that wrote the file
    metadata jsonb NOT NULL DEFAULT '{}',      -- the client's mapping of columns, and the evidence
    plan jsonb NOT NULL,                       -- counts; never an address
    state text NOT NULL DEFAULT 'not_started' CHECK (state IN ('not_started', 'in_progress', 'succeeded', 'failed')),
    results jsonb,                             -- counts and line numbers; never an address
    run_id bigint REFERENCES import_runs (id),
    started_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- The uploaded file in pieces; deleted after the import, and after a day.
CREATE TABLE import_parts (
    import_id bigint NOT NULL REFERENCES imports (id) ON DELETE CASCADE,
    place integer NOT NULL,
    bytes bytea NOT NULL,
    PRIMARY KEY (import_id, place)
);

-- Exports asked for through the API: what to write. The file is written when it is downloaded.
CREATE TABLE exports (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    collections text [] NOT NULL,
    format text NOT NULL CHECK (format IN ('csv', 'json')),
    columns text [],
    parameters jsonb,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- ---------------------------------------------------------------------------------------------------------------------
-- Publishing
-- ---------------------------------------------------------------------------------------------------------------------

-- Every issue that was ever published. The key decides whether it was emailed.
CREATE TABLE issues (
    key text PRIMARY KEY,
    path text NOT NULL,
    title text NOT NULL,
    dated timestamptz NOT NULL,
    url text NOT NULL DEFAULT '',              -- of its page, to notice when another issue would take the same address
    digest text NOT NULL,
    sketch bigint [] NOT NULL DEFAULT '{}',    -- a few hashes of the body, to recognise a renamed and edited issue
    renamed_from text,                         -- its first key: its sends are filed under that one
    adopted_edition integer,                   -- public before the ledger began: up to this edition never emailed automatically
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX issues_by_digest ON issues (digest);

-- What is sent of an issue: one row for each version of it that was published.
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

-- Another text of an edition for some subscribers: the full text for those with access, or a translation.
CREATE TABLE edition_variants (
    edition_id bigint NOT NULL REFERENCES editions (id),
    name text NOT NULL,
    digest text NOT NULL,
    own_lang text NOT NULL DEFAULT '',         -- empty, in each own_ column: as in the edition
    own_title text NOT NULL DEFAULT '',
    own_subject text NOT NULL DEFAULT '',
    own_url text NOT NULL DEFAULT '',
    preheader text NOT NULL,
    html text NOT NULL,
    text text NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (edition_id, name)
);

-- Editions uploaded through the API, by the digest of their content: a second publish uploads only what is new.
CREATE TABLE uploaded_editions (
    digest text PRIMARY KEY,                   -- SHA-256 of the edition's JSON
    edition bytea NOT NULL,                    -- its JSON, compressed with zlib
    used_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX uploaded_editions_by_age ON uploaded_editions (used_at);

-- ---------------------------------------------------------------------------------------------------------------------
-- Sending
-- ---------------------------------------------------------------------------------------------------------------------

CREATE TABLE sends (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    issue_key text NOT NULL REFERENCES issues (key),
    edition_number integer NOT NULL,
    edition_id bigint NOT NULL REFERENCES editions (id),
    state text NOT NULL CHECK (
        state IN ('scheduled', 'holding', 'sending', 'finished', 'paused', 'stopped', 'cancelled')
    ),
    reason text NOT NULL DEFAULT '',           -- why it was paused, stopped or cancelled
    -- Who cancelled it: a later merge can schedule again what a merge cancelled, not what the operator cancelled.
    cancelled_by text NOT NULL DEFAULT '' CHECK (cancelled_by IN ('', 'merge', 'operator')),
    sender text NOT NULL,
    audience text NOT NULL,                    -- the rule
    audience_size integer,                     -- set when the audience is frozen
    due_at timestamptz NOT NULL,               -- the scheduled time, or the end of the hold window
    -- The start
    gated boolean NOT NULL DEFAULT false,      -- check the live page before the first email
    page_awaited_since timestamptz,            -- both tell a late page from a server that was off:
    page_checked_at timestamptz,                -- when the wait for the page began, and the latest check
    open_wave smallint NOT NULL DEFAULT 1,     -- a staged start: subscribers of a later wave wait
    watch_until timestamptz,                    -- the first wave's outcomes are watched until then
    -- An automatic pause
    deferred_until timestamptz,
    waiting_reason text NOT NULL DEFAULT '',        -- its cause: SES is unavailable, the quota is used up, the page is not live
    -- Outcomes counted when the operator resumed a stopped send: the circuit breakers count only what is newer.
    acknowledged_emails integer NOT NULL DEFAULT 0,
    acknowledged_hard integer NOT NULL DEFAULT 0,
    acknowledged_soft integer NOT NULL DEFAULT 0,
    acknowledged_complaints integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    frozen_at timestamptz,
    started_at timestamptz,
    finished_at timestamptz,
    UNIQUE (issue_key, edition_number)         -- one send for each edition number, whatever else goes wrong
);

-- The ledger: one row for each send and subscriber.
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
    address_hash bigint,                       -- set by the claim; unique, so that no address gets a send twice
    variant text,                              -- set by the claim from the access at that time; empty: the text for everybody
    settled_at timestamptz,
    message_id text,                           -- SES's id of the email
    detail text NOT NULL DEFAULT '',
    PRIMARY KEY (send_id, subscriber_id)
) WITH (fillfactor = 70);

CREATE INDEX deliveries_pending ON deliveries (send_id, wave, subscriber_id) WHERE state = 'pending';
CREATE UNIQUE INDEX deliveries_once ON deliveries (send_id, address_hash) WHERE address_hash IS NOT NULL;
CREATE INDEX deliveries_claimed ON deliveries (claimed_at) WHERE state = 'claimed';
CREATE INDEX deliveries_by_subscriber ON deliveries (subscriber_id);
-- Events without our tags (an identity's notifications) are matched by SES's message id.
CREATE INDEX deliveries_by_message ON deliveries USING hash (message_id) WHERE message_id IS NOT NULL;
-- Uncertain deliveries are searched for across all sends.
CREATE INDEX deliveries_uncertain ON deliveries (send_id, subscriber_id) WHERE state = 'uncertain';

-- What SES reports about deliveries. Rows are only ever added; the key makes a repeated event change nothing.
CREATE TABLE delivery_events (
    send_id bigint NOT NULL,
    subscriber_id bigint NOT NULL,
    kind text NOT NULL CHECK (
        kind IN (
            'send', 'delay', 'delivery', 'reject', 'rendering failure', 'soft bounce', 'hard bounce', 'complaint'
        )
    ),
    at timestamptz NOT NULL,                   -- SES's time of the event
    subtype text NOT NULL DEFAULT '',
    detail text NOT NULL DEFAULT '',           -- never an address
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (send_id, subscriber_id, kind, at)
);

CREATE INDEX delivery_events_soft ON delivery_events (subscriber_id, at) WHERE kind = 'soft bounce';

-- Messages that could not be parsed, kept for the operator; one row for each message, however often it arrives.
CREATE TABLE rejected_events (
    digest bytea PRIMARY KEY,                  -- SHA-256 of the body
    source text NOT NULL,                      -- sqs, https
    reason text NOT NULL,
    body text NOT NULL,
    times bigint NOT NULL DEFAULT 1,
    first_at timestamptz NOT NULL DEFAULT now(),
    last_at timestamptz NOT NULL DEFAULT now()
);

-- Events about emails that the ledger does not know, counted by day.
CREATE TABLE unknown_events (
    day date NOT NULL,
    kind text NOT NULL,
    number bigint NOT NULL,
    PRIMARY KEY (day, kind)
);

-- SNS messages received over HTTPS: each is processed once. Old ones are refused by their timestamp.
CREATE TABLE sns_messages (
    id text PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX sns_messages_by_age ON sns_messages (at);

-- Programs that open every link of an email: they follow a link that no person sees. Their clicks are not counted.
CREATE TABLE scanner_visits (
    subscriber_id bigint NOT NULL REFERENCES subscribers (id) ON DELETE CASCADE,
    send_id bigint NOT NULL DEFAULT 0,         -- 0: a transactional email
    email_id bigint NOT NULL DEFAULT 0,         -- of transactional_emails; 0: an issue
    first_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (subscriber_id, send_id, email_id)
);

-- Monthly digests for subscribers who get one email a month: each month's is made once.
CREATE TABLE digests (
    month date PRIMARY KEY,                    -- its first day
    subscriber_count bigint NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now()
);

-- The fence: the database's half of a pair whose other half is a file. See flows/sending/fence.py.
CREATE TABLE fence (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),  -- one row
    id uuid NOT NULL,                          -- of the ledger; an accepted copy gets a new one
    epoch bigint NOT NULL CHECK (epoch >= 1),  -- counts up with each publish, start and stretch of sending
    place text NOT NULL,                       -- the server and database where the ledger was accepted
    at timestamptz NOT NULL DEFAULT now()
);

-- Messages to the operator, such as stopped and paused sends. Posted to POSTMERGE_NOTIFY_URL when that is set.
CREATE TABLE notices (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    text text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    posted_at timestamptz
);

CREATE INDEX notices_open ON notices (id) WHERE posted_at IS NULL;

-- ---------------------------------------------------------------------------------------------------------------------
-- Transactional emails
-- ---------------------------------------------------------------------------------------------------------------------

-- Emails to one subscriber outside any send, with a ledger of their own.
CREATE TABLE transactional_emails (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('confirmation', 'paid')),
    topic text NOT NULL DEFAULT '',            -- which email of its kind it is
    facts jsonb NOT NULL DEFAULT '{}',         -- what its text needs to know
    once text,                                 -- the matter it is about: one email for each
    subscriber_id bigint NOT NULL REFERENCES subscribers (id) ON DELETE CASCADE,
    state text NOT NULL DEFAULT 'pending' CHECK (
        state IN (
            'held', 'pending', 'claimed', 'accepted', 'delivered', 'skipped', 'failed', 'bounced', 'complained', 'uncertain'
        )
    ),
    attempts integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    claimed_at timestamptz,
    claimed_by uuid,                           -- the claim: only its owner may settle the row
    settled_at timestamptz,
    message_id text,                           -- SES's id of the email
    detail text NOT NULL DEFAULT ''
);

CREATE INDEX transactional_emails_open ON transactional_emails (id) WHERE state IN ('pending', 'claimed');
CREATE INDEX transactional_emails_held ON transactional_emails (id) WHERE state = 'held';
CREATE INDEX transactional_emails_by_subscriber ON transactional_emails (subscriber_id, created_at);
CREATE INDEX transactional_emails_by_message ON transactional_emails USING hash (message_id) WHERE message_id IS NOT NULL;
CREATE UNIQUE INDEX transactional_emails_once ON transactional_emails (once) WHERE once IS NOT NULL;

-- What SES reports about them, as in delivery_events.
CREATE TABLE transactional_email_events (
    email_id bigint NOT NULL,
    kind text NOT NULL CHECK (
        kind IN (
            'send', 'delay', 'delivery', 'reject', 'rendering failure', 'soft bounce', 'hard bounce', 'complaint'
        )
    ),
    at timestamptz NOT NULL,
    subtype text NOT NULL DEFAULT '',
    detail text NOT NULL DEFAULT '',
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (email_id, kind, at)
);

-- ---------------------------------------------------------------------------------------------------------------------
-- Billing: a copy of what Stripe holds, fetched again after each event, and the access that follows from it
-- ---------------------------------------------------------------------------------------------------------------------

-- The one account and mode (test or live) of this database.
CREATE TABLE stripe_account (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),  -- one row
    account_id text NOT NULL,
    livemode boolean NOT NULL,
    reconciled_at timestamptz,                 -- the latest comparison of everything with Stripe
    at timestamptz NOT NULL DEFAULT now()
);

-- Each event once, by its id. An event only says what to fetch again.
CREATE TABLE stripe_events (
    id text PRIMARY KEY,
    type text NOT NULL,
    object_id text NOT NULL,
    created_at timestamptz NOT NULL,           -- at Stripe
    received_at timestamptz NOT NULL DEFAULT now(),
    due_at timestamptz NOT NULL DEFAULT now(), -- not processed before
    attempts integer NOT NULL DEFAULT 0,
    done_at timestamptz,
    detail text NOT NULL DEFAULT ''
);

CREATE INDEX stripe_events_open ON stripe_events (due_at) WHERE done_at IS NULL;

-- Stripe's customers. A customer stays with its first subscriber, even if addresses change.
CREATE TABLE customers (
    stripe_id text PRIMARY KEY,
    subscriber_id bigint REFERENCES subscribers (id) ON DELETE SET NULL,
    email_normal text NOT NULL DEFAULT '',
    at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX customers_by_subscriber ON customers (subscriber_id);

-- Subscriptions as last fetched from Stripe.
CREATE TABLE subscriptions (
    stripe_id text PRIMARY KEY,
    version bigint NOT NULL DEFAULT 0,         -- counts up with each write: what was fetched before it is not written
    customer_id text NOT NULL DEFAULT '',
    subscriber_id bigint REFERENCES subscribers (id) ON DELETE SET NULL,
    plan text NOT NULL DEFAULT '',             -- its name in plans.toml; empty: not one of our plans
    status text NOT NULL DEFAULT '',           -- Stripe's word
    amount bigint NOT NULL DEFAULT 0,          -- minor units for each interval, after discounts
    currency text NOT NULL DEFAULT '',
    months integer NOT NULL DEFAULT 1,         -- the length of an interval
    collection_paused boolean NOT NULL DEFAULT false,
    pause_kind text NOT NULL DEFAULT '',       -- keep or serve: what happens to paid days; empty: not paused by us
    paid_until timestamptz,                    -- for a pause: the end of the paid time
    paused_at timestamptz,
    resumes_at timestamptz,
    cancel_at timestamptz,
    trial_end timestamptz,
    period_start timestamptz,
    period_end timestamptz,
    started_at timestamptz,
    ended_at timestamptz,
    invoice_id text NOT NULL DEFAULT '',       -- the latest
    invoice_status text NOT NULL DEFAULT '',
    invoice_at timestamptz,
    fetched_at timestamptz
);

CREATE INDEX subscriptions_by_subscriber ON subscriptions (subscriber_id);
CREATE INDEX subscriptions_by_customer ON subscriptions (customer_id);
-- Pauses that end by themselves are found without reading every subscription.
CREATE INDEX subscriptions_resuming ON subscriptions (resumes_at) WHERE resumes_at IS NOT NULL;

-- Charges that were refunded or disputed; others have no row.
CREATE TABLE charges (
    stripe_id text PRIMARY KEY,
    version bigint NOT NULL DEFAULT 0,         -- as in subscriptions
    intent text NOT NULL DEFAULT '',           -- the payment intent at Stripe, which a gift is matched by
    subscription_id text NOT NULL DEFAULT '',
    invoice_id text NOT NULL DEFAULT '',
    amount bigint NOT NULL DEFAULT 0,
    refunded bigint NOT NULL DEFAULT 0,
    currency text NOT NULL DEFAULT '',
    dispute text NOT NULL DEFAULT '' CHECK (dispute IN ('', 'open', 'won', 'lost')),
    disputed_at timestamptz,
    at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX charges_by_subscription ON charges (subscription_id);
CREATE INDEX charges_by_intent ON charges (intent) WHERE intent <> '';

-- Gift subscriptions: one person pays, and another accepts with a link in an email.
CREATE TABLE gifts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session_id text NOT NULL UNIQUE,           -- the checkout that paid for it: one gift each
    intent text NOT NULL DEFAULT '',           -- its payment intent at Stripe
    subscriber_id bigint NOT NULL REFERENCES subscribers (id) ON DELETE CASCADE,
    plan text NOT NULL,
    months integer NOT NULL CHECK (months >= 1),
    amount bigint NOT NULL,
    currency text NOT NULL,
    paid_at timestamptz NOT NULL DEFAULT now(),
    accepted_at timestamptz,
    returned_at timestamptz                    -- the payment was refunded: the gift is over
);

CREATE INDEX gifts_by_subscriber ON gifts (subscriber_id);
CREATE INDEX gifts_by_intent ON gifts (intent) WHERE intent <> '';

-- Access without a subscription at Stripe: given by the writer, or an accepted gift.
CREATE TABLE grants (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subscriber_id bigint NOT NULL REFERENCES subscribers (id) ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('complimentary', 'gift')),
    until timestamptz,                         -- empty: no end
    reason text NOT NULL DEFAULT '',
    at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);

CREATE INDEX grants_by_subscriber ON grants (subscriber_id);

-- The access that follows from all that, computed by flows/billing/entitlements.py. A subscriber without a row has free
-- access only. Paid access at a time t: premium, and until > t.
CREATE TABLE entitlements (
    subscriber_id bigint PRIMARY KEY REFERENCES subscribers (id) ON DELETE CASCADE,
    state text NOT NULL CHECK (
        state IN ('free', 'trialing', 'paying', 'past_due', 'paused', 'ending', 'ended', 'complimentary')
    ),
    premium boolean NOT NULL,
    until timestamptz,                         -- empty: no known end
    epoch integer NOT NULL DEFAULT 1,          -- counts up when the subscriber's private links are renewed
    at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX entitlements_running_out ON entitlements (until) WHERE premium AND until IS NOT NULL;

-- Customers of erased subscribers: their subscriptions at Stripe must end, even if Stripe is unavailable just then.
CREATE TABLE customer_deletions (
    customer_id text PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),     -- a subscription that began later belongs to somebody who came back
    due_at timestamptz NOT NULL DEFAULT now(),
    attempts integer NOT NULL DEFAULT 0,
    done_at timestamptz,
    detail text NOT NULL DEFAULT ''
);

CREATE INDEX customer_deletions_open ON customer_deletions (due_at) WHERE done_at IS NULL;

-- ---------------------------------------------------------------------------------------------------------------------
-- API and operations
-- ---------------------------------------------------------------------------------------------------------------------

-- Keys of the REST API: shown once, stored as a hash.
CREATE TABLE api_keys (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    prefix text NOT NULL DEFAULT '',           -- its first characters, to recognise it by
    hash bytea NOT NULL UNIQUE,                -- SHA-256 of a key of 256 random bits
    scope text NOT NULL DEFAULT 'admin' CHECK (scope IN ('read', 'subscribers', 'publish', 'admin')),
    per_minute integer NOT NULL DEFAULT 0,     -- requests; 0: no rate limit for this key
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,                  -- exact to a few seconds
    expires_at timestamptz,
    revoked_at timestamptz
);

-- A name can be used again once its key is revoked.
CREATE UNIQUE INDEX api_keys_by_name ON api_keys (name) WHERE revoked_at IS NULL;

-- Requests to the API, without bodies and addresses: the path is the route's pattern.
CREATE TABLE api_requests (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    key_id bigint REFERENCES api_keys (id),
    method text NOT NULL,
    path text NOT NULL,
    status integer NOT NULL,
    source text NOT NULL,
    ip inet
);

CREATE INDEX api_requests_by_age ON api_requests (at);

-- Responses to requests with an Idempotency-Key; kept for a day.
CREATE TABLE idempotency (
    key_id bigint NOT NULL REFERENCES api_keys (id),
    name text NOT NULL,
    digest bytea NOT NULL,                     -- SHA-256 of method, path and body
    status integer,                            -- null while the first request is in progress
    body text NOT NULL DEFAULT '',
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (key_id, name)
);

CREATE INDEX idempotency_by_age ON idempotency (at);

CREATE TABLE bulk_actions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    type text NOT NULL,
    metadata jsonb NOT NULL,
    state text NOT NULL DEFAULT 'not_started' CHECK (state IN ('not_started', 'in_progress', 'processed', 'failed')),
    created_at timestamptz NOT NULL DEFAULT now(),
    done_at timestamptz
);

-- What a bulk action still has to change: it works in batches, and another worker can continue after a crash.
CREATE TABLE bulk_targets (
    action_id bigint NOT NULL REFERENCES bulk_actions (id) ON DELETE CASCADE,
    position integer NOT NULL,
    target text NOT NULL,
    PRIMARY KEY (action_id, position)
);

-- ---------------------------------------------------------------------------------------------------------------------
-- Events and webhooks
-- ---------------------------------------------------------------------------------------------------------------------

-- The history of each subscriber and send, written by triggers in the transaction that changes them. Rows are only ever
-- added, and hold no address: a subscriber is a number.
CREATE TABLE events (
    id bigint GENERATED ALWAYS AS IDENTITY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    type text NOT NULL,
    subscriber_id bigint,
    send_id bigint,
    facts jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);

CREATE INDEX events_by_type ON events (type, id);
CREATE INDEX events_by_subscriber ON events (subscriber_id, id) WHERE subscriber_id IS NOT NULL;
CREATE INDEX events_by_send ON events (send_id, id) WHERE send_id IS NOT NULL;

-- Rows outside every month's partition; it stays empty, because months are made ahead.
CREATE TABLE events_rest PARTITION OF events DEFAULT;

CREATE FUNCTION make_events_months(months integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    first timestamptz := date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC';
    month timestamptz;
    name text;
BEGIN
    FOR number IN 0..months LOOP
        month := (first AT TIME ZONE 'UTC' + make_interval(months => number)) AT TIME ZONE 'UTC';
        name := 'events_' || to_char(month AT TIME ZONE 'UTC', 'YYYY_MM');
        IF to_regclass(name) IS NULL THEN
            EXECUTE format(
                'CREATE TABLE %I PARTITION OF events FOR VALUES FROM (%L) TO (%L)', name, month,
                (month AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC'
            );
        END IF;
    END LOOP;
END $$;

SELECT make_events_months(3);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are only ever added', TG_TABLE_NAME;
END $$;

CREATE TRIGGER events_stay BEFORE UPDATE OR DELETE ON events FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE webhooks (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    url text NOT NULL,
    description text NOT NULL DEFAULT '',
    event_types text [] NOT NULL,
    secret text NOT NULL,                      -- signs what is posted; a hash could not
    enabled boolean NOT NULL DEFAULT true,
    failing_since timestamptz,
    disabled_reason text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now()
);

-- The outbox: one row for each event and webhook subscribed to its type.
CREATE TABLE webhook_messages (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    webhook_id bigint NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    event_id bigint,                           -- null: a test
    type text NOT NULL,
    body jsonb NOT NULL,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'claimed', 'delivered', 'failed')),
    attempts integer NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    claimed_at timestamptz,
    settled_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX webhook_messages_due ON webhook_messages (due_at) WHERE state IN ('pending', 'claimed');
CREATE INDEX webhook_messages_by_webhook ON webhook_messages (webhook_id, id);

CREATE TABLE webhook_attempts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id bigint NOT NULL REFERENCES webhook_messages (id) ON DELETE CASCADE,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    milliseconds integer NOT NULL,
    status integer,                            -- null: no response came
    error text NOT NULL DEFAULT ''
);

CREATE INDEX webhook_attempts_by_message ON webhook_attempts (message_id, id);

CREATE FUNCTION events_to_webhooks() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM webhooks WHERE enabled) THEN
        INSERT INTO webhook_messages (webhook_id, event_id, type, body)
        SELECT webhooks.id, added.id, added.type, jsonb_build_object(
            'at', added.at, 'subscriber', added.subscriber_id, 'send', added.send_id, 'facts', added.facts
        )
        FROM added JOIN webhooks ON webhooks.enabled AND added.type = ANY(webhooks.event_types)
        ORDER BY added.id;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER events_told AFTER INSERT ON events
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION events_to_webhooks();

-- Changes of subscribers
CREATE FUNCTION reader_came() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO events (type, subscriber_id, facts)
    SELECT 'subscriber.created', id, jsonb_build_object('state', state) FROM added ORDER BY id;
    RETURN NULL;
END $$;

CREATE FUNCTION reader_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO events (type, subscriber_id, facts)
    SELECT told.type, told.id, told.facts
    FROM (
        SELECT
            added.id,
            CASE
                WHEN removed.erased_at IS NULL AND added.erased_at IS NOT NULL THEN ARRAY['subscriber.deleted']
                WHEN added.erased_at IS NOT NULL THEN ARRAY[]::text []
                ELSE array_remove(ARRAY[
                    CASE WHEN removed.state <> 'active' AND added.state = 'active' THEN 'subscriber.confirmed' END,
                    CASE WHEN removed.state <> 'unsubscribed' AND added.state = 'unsubscribed' THEN 'subscriber.unsubscribed' END,
                    CASE WHEN removed.state <> added.state THEN 'subscriber.type.changed' END,
                    CASE WHEN removed.tags <> added.tags THEN 'subscriber.tags.changed' END,
                    CASE WHEN removed.email_normal <> added.email_normal THEN 'subscriber.changed_email' END,
                    CASE
                        WHEN removed.paused_until IS NULL AND added.paused_until IS NOT NULL THEN 'subscriber.paused'
                        WHEN removed.paused_until IS NOT NULL AND added.paused_until IS NULL THEN 'subscriber.resumed'
                    END,
                    CASE
                        WHEN removed.metadata <> added.metadata OR removed.notes <> added.notes
                            OR removed.frequency <> added.frequency OR removed.lang <> added.lang
                            THEN 'subscriber.updated'
                    END
                ], NULL)
            END AS types,
            CASE
                WHEN removed.state <> added.state THEN jsonb_build_object('from', removed.state, 'to', added.state)
                ELSE '{}'::jsonb
            END AS changed,
            CASE
                WHEN removed.tags <> added.tags THEN jsonb_build_object(
                    'added', ARRAY(SELECT unnest(added.tags) EXCEPT SELECT unnest(removed.tags) ORDER BY 1),
                    'removed', ARRAY(SELECT unnest(removed.tags) EXCEPT SELECT unnest(added.tags) ORDER BY 1)
                )
            END AS tags
        FROM added JOIN removed USING (id)
    ) AS changes,
    LATERAL (
        SELECT one AS type, changes.id, CASE
            WHEN one = 'subscriber.type.changed' THEN changes.changed
            WHEN one = 'subscriber.tags.changed' THEN changes.tags
            ELSE '{}'::jsonb
        END AS facts
        FROM unnest(changes.types) AS one
    ) AS told
    ORDER BY told.id;
    RETURN NULL;
END $$;

CREATE TRIGGER subscribers_came AFTER INSERT ON subscribers
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION reader_came();
CREATE TRIGGER subscribers_changed AFTER UPDATE ON subscribers
REFERENCING OLD TABLE AS removed NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION reader_changed();

-- Changes of sends
CREATE FUNCTION send_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO events (type, send_id, facts)
        VALUES ('email.created', NEW.id, jsonb_build_object('issue', NEW.issue_key, 'state', NEW.state));
    ELSIF OLD.state <> NEW.state THEN
        INSERT INTO events (type, send_id, facts)
        VALUES (
            'email.status.changed', NEW.id,
            jsonb_build_object('issue', NEW.issue_key, 'from', OLD.state, 'to', NEW.state, 'reason', NEW.reason)
        );
        IF NEW.state = 'sending' AND OLD.state IN ('scheduled', 'holding') THEN
            INSERT INTO events (type, send_id, facts)
            VALUES ('email.send.started', NEW.id, jsonb_build_object('issue', NEW.issue_key));
        ELSIF NEW.state = 'finished' THEN
            INSERT INTO events (type, send_id, facts)
            VALUES ('email.sent', NEW.id, jsonb_build_object('issue', NEW.issue_key, 'audience', NEW.audience_size));
        END IF;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER sends_changed AFTER INSERT OR UPDATE OF state ON sends FOR EACH ROW EXECUTE FUNCTION send_changed();

-- What SES reports, with the same event names for issues and transactional emails.
CREATE FUNCTION outcome_word(kind text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE kind
        WHEN 'delivery' THEN 'delivered'
        WHEN 'delay' THEN 'deferred'
        WHEN 'soft bounce' THEN 'bounced'
        WHEN 'hard bounce' THEN 'bounced'
        WHEN 'complaint' THEN 'complained'
        WHEN 'send' THEN 'sent'
        ELSE 'rejected'
    END
$$;

CREATE FUNCTION delivery_told() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO events (type, subscriber_id, send_id, facts)
    SELECT
        'subscriber.' || outcome_word(kind), subscriber_id, send_id,
        CASE WHEN kind LIKE '%bounce' THEN jsonb_build_object('kind', kind) ELSE '{}'::jsonb END
    FROM added
    ORDER BY added.at;
    RETURN NULL;
END $$;

CREATE TRIGGER delivery_events_told AFTER INSERT ON delivery_events
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION delivery_told();

CREATE FUNCTION single_mail_told() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO events (type, subscriber_id, facts)
    SELECT 'subscriber.activation_' || outcome_word(added.kind), transactional_emails.subscriber_id, '{}'
    FROM added JOIN transactional_emails ON transactional_emails.id = added.email_id
    WHERE transactional_emails.kind = 'confirmation' AND added.kind <> 'send'
    ORDER BY added.at;
    RETURN NULL;
END $$;

CREATE TRIGGER transactional_mail_events_told AFTER INSERT ON transactional_email_events
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION single_mail_told();
