-- Paid subscriptions: what Stripe says (a copy that is fetched again after each event), and who may read what we sell.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- The one account and mode (test or live) this database belongs to.
CREATE TABLE stripe_account (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    account_id text NOT NULL,
    livemode boolean NOT NULL,
    webhook_id text NOT NULL DEFAULT '',
    portal_id text NOT NULL DEFAULT '',
    at timestamptz NOT NULL DEFAULT now()
);

-- Each event once, by its id. An event only says what to fetch again.
CREATE TABLE stripe_events (
    id text PRIMARY KEY,
    type text NOT NULL,
    object_id text NOT NULL,
    created_at timestamptz NOT NULL,           -- at Stripe
    received_at timestamptz NOT NULL DEFAULT now(),
    due_at timestamptz NOT NULL DEFAULT now(), -- not looked at before
    attempts integer NOT NULL DEFAULT 0,
    done_at timestamptz,
    detail text NOT NULL DEFAULT ''
);

CREATE INDEX stripe_events_open ON stripe_events (due_at) WHERE done_at IS NULL;

-- Who is who at Stripe. A customer stays with the reader it was first given to, whatever becomes of addresses.
CREATE TABLE customers (
    stripe_id text PRIMARY KEY,
    subscriber_id bigint REFERENCES subscribers (id) ON DELETE SET NULL,
    email_normal text NOT NULL DEFAULT '',
    at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX customers_by_subscriber ON customers (subscriber_id);

-- A subscription as Stripe last said. ``version`` counts up with each write: who fetched before it may not write.
CREATE TABLE subscriptions (
    stripe_id text PRIMARY KEY,
    version bigint NOT NULL DEFAULT 0,
    customer_id text NOT NULL DEFAULT '',
    subscriber_id bigint REFERENCES subscribers (id) ON DELETE SET NULL,
    plan text NOT NULL DEFAULT '',             -- its name in plans.toml; empty: not sold by us
    status text NOT NULL DEFAULT '',           -- Stripe's word
    amount bigint NOT NULL DEFAULT 0,          -- minor units for each interval, discounts taken off
    currency text NOT NULL DEFAULT '',
    months integer NOT NULL DEFAULT 1,         -- how long an interval is
    collection_paused boolean NOT NULL DEFAULT false,
    pause_kind text NOT NULL DEFAULT '',       -- keep or serve: what becomes of paid days; empty: not paused by us
    paid_until timestamptz,                    -- for a pause: until when was paid
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

-- Charges that were given back or are disputed; others need no row.
CREATE TABLE charges (
    stripe_id text PRIMARY KEY,
    version bigint NOT NULL DEFAULT 0,
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

-- Access without a subscription at Stripe: given by the writer, or a gift that was accepted.
CREATE TABLE grants (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subscriber_id bigint NOT NULL REFERENCES subscribers (id) ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('complimentary', 'gift')),
    until timestamptz,                         -- no end when empty
    reason text NOT NULL DEFAULT '',
    at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);

CREATE INDEX grants_by_subscriber ON grants (subscriber_id);

-- What ``flows/access`` made of all that. A reader without a row is free. Access at a moment t: premium and until > t.
CREATE TABLE accesses (
    subscriber_id bigint PRIMARY KEY REFERENCES subscribers (id) ON DELETE CASCADE,
    state text NOT NULL CHECK (
        state IN ('free', 'trialing', 'paying', 'past_due', 'paused', 'ending', 'ended', 'complimentary')
    ),
    premium boolean NOT NULL,
    until timestamptz,                         -- no end in sight when empty
    epoch integer NOT NULL DEFAULT 1,          -- counts up when the reader's private links are made anew
    at timestamptz NOT NULL DEFAULT now()
);

-- The new one allows more, so nothing that runs is in its way.
-- squawk-ignore ban-drop-constraint
ALTER TABLE transactional_mails DROP CONSTRAINT transactional_mails_kind_check;
ALTER TABLE transactional_mails ADD CONSTRAINT transactional_mails_kind_check
CHECK (kind IN ('confirmation', 'paid')) NOT VALID;
ALTER TABLE transactional_mails ADD COLUMN facts jsonb NOT NULL DEFAULT '{}';
ALTER TABLE transactional_mails ADD COLUMN once text;
