-- Generated from the migrations by `make schema`. To change the schema, add a file to migrations/.

CREATE FUNCTION delivery_told() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    INSERT INTO events (type, subscriber_id, send_id, facts)
    SELECT
        'subscriber.' || outcome_word(kind), subscriber_id, send_id,
        CASE WHEN kind LIKE '%bounce' THEN jsonb_build_object('kind', kind) ELSE '{}'::jsonb END
    FROM added
    ORDER BY added.at;
    RETURN NULL;
END $$;

CREATE FUNCTION events_to_webhooks() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION make_events_months(months integer) RETURNS void
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION outcome_word(kind text) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$
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

CREATE FUNCTION reader_came() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    INSERT INTO events (type, subscriber_id, facts)
    SELECT 'subscriber.created', id, jsonb_build_object('state', state) FROM added ORDER BY id;
    RETURN NULL;
END $$;

CREATE FUNCTION reader_changed() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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
                    CASE WHEN removed.state <> 'left' AND added.state = 'left' THEN 'subscriber.unsubscribed' END,
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

CREATE FUNCTION refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are only ever added', TG_TABLE_NAME;
END $$;

CREATE FUNCTION send_changed() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION single_mail_told() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    INSERT INTO events (type, subscriber_id, facts)
    SELECT 'subscriber.activation_' || outcome_word(added.kind), transactional_mails.subscriber_id, '{}'
    FROM added JOIN transactional_mails ON transactional_mails.id = added.mail_id
    WHERE transactional_mails.kind = 'confirmation' AND added.kind <> 'send'
    ORDER BY added.at;
    RETURN NULL;
END $$;

CREATE FUNCTION tally_added() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION tally_changed() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION tally_removed() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    INSERT INTO tallies (kind, key, number)
    SELECT 'block', (id / 1024)::text, -count(*) FROM removed WHERE erased_at IS NULL GROUP BY 2;
    INSERT INTO tallies (kind, key, number)
    SELECT 'tag', tag, -count(*) FROM removed, unnest(tags) AS tag WHERE erased_at IS NULL GROUP BY 2;
    RETURN NULL;
END $$;

CREATE FUNCTION wipe_added_columns() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    NEW.notes := '';
    NEW.referrer_url := '';
    NEW.utm_campaign := '';
    NEW.utm_medium := '';
    NEW.utm_source := '';
    NEW.leaving_reason := '';
    DELETE FROM notes WHERE model_type = 'subscriber' AND model_id = NEW.id;
    RETURN NEW;
END $$;

CREATE TABLE accesses (
    subscriber_id bigint NOT NULL,
    state text NOT NULL,
    premium boolean NOT NULL,
    until timestamp with time zone,
    epoch integer DEFAULT 1 NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT accesses_state_check CHECK ((state = ANY (ARRAY['free'::text, 'trialing'::text, 'paying'::text, 'past_due'::text, 'paused'::text, 'ending'::text, 'ended'::text, 'complimentary'::text])))
);

CREATE TABLE api_keys (
    id bigint NOT NULL,
    name text NOT NULL,
    prefix text DEFAULT ''::text NOT NULL,
    hash bytea NOT NULL,
    scope text DEFAULT 'admin'::text NOT NULL,
    per_minute integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    last_used_at timestamp with time zone,
    expires_at timestamp with time zone,
    revoked_at timestamp with time zone,
    CONSTRAINT api_keys_scope_check CHECK ((scope = ANY (ARRAY['read'::text, 'subscribers'::text, 'publish'::text, 'admin'::text])))
);

ALTER TABLE api_keys ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;

CREATE TABLE api_requests (
    id bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    key_id bigint,
    method text NOT NULL,
    path text NOT NULL,
    status integer NOT NULL,
    source text NOT NULL,
    ip inet
);

ALTER TABLE api_requests ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;

CREATE TABLE bulk_actions (
    id bigint NOT NULL,
    type text NOT NULL,
    metadata jsonb NOT NULL,
    state text DEFAULT 'not_started'::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    done_at timestamp with time zone,
    CONSTRAINT bulk_actions_state_check CHECK ((state = ANY (ARRAY['not_started'::text, 'in_progress'::text, 'processed'::text, 'failed'::text])))
);

ALTER TABLE bulk_actions ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;

CREATE TABLE bulk_targets (
    action_id bigint NOT NULL,
    "position" integer NOT NULL,
    target text NOT NULL
);

CREATE TABLE charges (
    stripe_id text NOT NULL,
    version bigint DEFAULT 0 NOT NULL,
    intent text DEFAULT ''::text NOT NULL,
    subscription_id text DEFAULT ''::text NOT NULL,
    invoice_id text DEFAULT ''::text NOT NULL,
    amount bigint DEFAULT 0 NOT NULL,
    refunded bigint DEFAULT 0 NOT NULL,
    currency text DEFAULT ''::text NOT NULL,
    dispute text DEFAULT ''::text NOT NULL,
    disputed_at timestamp with time zone,
    at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT charges_dispute_check CHECK ((dispute = ANY (ARRAY[''::text, 'open'::text, 'won'::text, 'lost'::text])))
);

CREATE TABLE consents (
    id bigint NOT NULL,
    subscriber_id bigint NOT NULL,
    kind text NOT NULL,
    source text NOT NULL,
    ip inet,
    evidence jsonb DEFAULT '{}'::jsonb NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT consents_kind_check CHECK ((kind = ANY (ARRAY['requested'::text, 'confirmed'::text, 'left'::text, 'added'::text, 'imported'::text, 'address'::text, 'chosen'::text, 'paused'::text, 'resumed'::text])))
);

ALTER TABLE consents ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;

CREATE TABLE customers (
    stripe_id text NOT NULL,
    subscriber_id bigint,
    email_normal text DEFAULT ''::text NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE deliveries (
    send_id bigint NOT NULL,
    subscriber_id bigint NOT NULL,
    state text DEFAULT 'pending'::text NOT NULL,
    wave smallint DEFAULT 1 NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    claimed_at timestamp with time zone,
    claimed_by uuid,
    address_hash bigint,
    variant text,
    settled_at timestamp with time zone,
    message_id text,
    detail text DEFAULT ''::text NOT NULL,
    CONSTRAINT deliveries_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'claimed'::text, 'accepted'::text, 'delivered'::text, 'skipped'::text, 'failed'::text, 'bounced'::text, 'complained'::text, 'uncertain'::text])))
)
WITH (fillfactor='70');

CREATE TABLE delivery_events (
    send_id bigint NOT NULL,
    subscriber_id bigint NOT NULL,
    kind text NOT NULL,
    at timestamp with time zone NOT NULL,
    subtype text DEFAULT ''::text NOT NULL,
    detail text DEFAULT ''::text NOT NULL,
    recorded_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT delivery_events_kind_check CHECK ((kind = ANY (ARRAY['send'::text, 'delay'::text, 'delivery'::text, 'reject'::text, 'rendering failure'::text, 'soft bounce'::text, 'hard bounce'::text, 'complaint'::text])))
);

CREATE TABLE digests (
    month date NOT NULL,
    readers bigint NOT NULL,
    made_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE edition_variants (
    edition_id bigint NOT NULL,
    name text NOT NULL,
    digest text NOT NULL,
    own_lang text DEFAULT ''::text NOT NULL,
    own_title text DEFAULT ''::text NOT NULL,
    own_subject text DEFAULT ''::text NOT NULL,
    own_url text DEFAULT ''::text NOT NULL,
    preheader text NOT NULL,
    html text NOT NULL,
    text text NOT NULL,
    body text NOT NULL
);

CREATE TABLE editions (
    id bigint NOT NULL,
    issue_key text NOT NULL,
    number integer NOT NULL,
    digest text NOT NULL,
    title text NOT NULL,
    subject text NOT NULL,
    preheader text NOT NULL,
    lang text NOT NULL,
    url text NOT NULL,
    html text NOT NULL,
    text text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT editions_number_check CHECK ((number >= 1))
);

ALTER TABLE editions ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;

CREATE TABLE erased (
    hash bytea NOT NULL,
    reason text DEFAULT ''::text NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE events (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    type text NOT NULL,
    subscriber_id bigint,
    send_id bigint,
    facts jsonb DEFAULT '{}'::jsonb NOT NULL
)
PARTITION BY RANGE (at);

ALTER TABLE events ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;

CREATE TABLE events_rest (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    type text NOT NULL,
    subscriber_id bigint,
    send_id bigint,
    facts jsonb DEFAULT '{}'::jsonb NOT NULL
);

CREATE TABLE exports (
    id bigint NOT NULL,
    collections text[] NOT NULL,
    format text NOT NULL,
    columns text[],
    parameters jsonb,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT exports_format_check CHECK ((format = ANY (ARRAY['csv'::text, 'json'::text])))
);

ALTER TABLE exports ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;

CREATE TABLE farewells (
    customer_id text NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    due_at timestamp with time zone DEFAULT now() NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    done_at timestamp with time zone,
    detail text DEFAULT ''::text NOT NULL
);

CREATE TABLE fence (
    single boolean DEFAULT true NOT NULL,
    id uuid NOT NULL,
    epoch bigint NOT NULL,
    place text NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT fence_epoch_check CHECK ((epoch >= 1)),
    CONSTRAINT fence_single_check CHECK (single)
);

CREATE TABLE firewall (
    single boolean DEFAULT true NOT NULL,
    up_since timestamp with time zone,
    reason text DEFAULT ''::text NOT NULL,
    by_hand boolean DEFAULT false NOT NULL,
    CONSTRAINT firewall_single_check CHECK (single)
);

CREATE TABLE gifts (
    id bigint NOT NULL,
    session_id text NOT NULL,
    intent text DEFAULT ''::text NOT NULL,
    subscriber_id bigint NOT NULL,
    plan text NOT NULL,
    months integer NOT NULL,
    amount bigint NOT NULL,
    currency text NOT NULL,
    paid_at timestamp with time zone DEFAULT now() NOT NULL,
    accepted_at timestamp with time zone,
    returned_at timestamp with time zone,
    CONSTRAINT gifts_months_check CHECK ((months >= 1))
);

ALTER TABLE gifts ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;

CREATE TABLE grants (
    id bigint NOT NULL,
    subscriber_id bigint NOT NULL,
    kind text NOT NULL,
    until timestamp with time zone,
    reason text DEFAULT ''::text NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    revoked_at timestamp with time zone,
    CONSTRAINT grants_kind_check CHECK ((kind = ANY (ARRAY['complimentary'::text, 'gift'::text])))
);

ALTER TABLE grants ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;

CREATE TABLE handed_over (
    digest text NOT NULL,
    edition bytea NOT NULL,
    used_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE idempotency (
    key_id bigint NOT NULL,
    name text NOT NULL,
    digest bytea NOT NULL,
    status integer,
    body text DEFAULT ''::text NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE import_parts (
    import_id bigint NOT NULL,
    place integer NOT NULL,
    bytes bytea NOT NULL
);

CREATE TABLE import_runs (
    id bigint NOT NULL,
    file text NOT NULL,
    digest text NOT NULL,
    format text NOT NULL,
    evidence text NOT NULL,
    counts jsonb NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE import_runs ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;

CREATE TABLE imports (
    id bigint NOT NULL,
    file text NOT NULL,
    label text DEFAULT ''::text NOT NULL,
    format text NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    plan jsonb NOT NULL,
    state text DEFAULT 'not_started'::text NOT NULL,
    results jsonb,
    run_id bigint,
    started_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT imports_state_check CHECK ((state = ANY (ARRAY['not_started'::text, 'in_progress'::text, 'succeeded'::text, 'failed'::text])))
);

ALTER TABLE imports ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;

CREATE TABLE inbox_emails (
    inbox bytea NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE issues (
    key text NOT NULL,
    path text NOT NULL,
    title text NOT NULL,
    dated timestamp with time zone NOT NULL,
    url text DEFAULT ''::text NOT NULL,
    digest text NOT NULL,
    sketch bigint[] DEFAULT '{}'::bigint[] NOT NULL,
    renamed_from text,
    adopted_edition integer,
    first_seen_at timestamp with time zone DEFAULT now() NOT NULL,
    last_seen_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE limits (
    scope text NOT NULL,
    key text NOT NULL,
    used_until timestamp with time zone NOT NULL
);

CREATE TABLE mail_domains (
    domain text NOT NULL,
    takes_mail boolean NOT NULL,
    asked_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE notes (
    id bigint NOT NULL,
    body text NOT NULL,
    model_type text NOT NULL,
    model_id bigint NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE notes ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;

CREATE TABLE notices (
    id bigint NOT NULL,
    text text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    posted_at timestamp with time zone
);

ALTER TABLE notices ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;

CREATE TABLE scanner_visits (
    subscriber_id bigint NOT NULL,
    send_id bigint DEFAULT 0 NOT NULL,
    mail_id bigint DEFAULT 0 NOT NULL,
    first_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE schema_migrations (
    name text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE segments (
    id bigint NOT NULL,
    name text NOT NULL,
    description text DEFAULT ''::text NOT NULL,
    filters jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE segments ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;

CREATE TABLE sends (
    id bigint NOT NULL,
    issue_key text NOT NULL,
    edition_number integer NOT NULL,
    edition_id bigint NOT NULL,
    state text NOT NULL,
    reason text DEFAULT ''::text NOT NULL,
    cancelled_by text DEFAULT ''::text NOT NULL,
    sender text NOT NULL,
    audience text NOT NULL,
    audience_size integer,
    due_at timestamp with time zone NOT NULL,
    gated boolean DEFAULT false NOT NULL,
    page_awaited_since timestamp with time zone,
    page_looked_at timestamp with time zone,
    open_wave smallint DEFAULT 1 NOT NULL,
    look_until timestamp with time zone,
    rests_until timestamp with time zone,
    waits_for text DEFAULT ''::text NOT NULL,
    excused_mails integer DEFAULT 0 NOT NULL,
    excused_hard integer DEFAULT 0 NOT NULL,
    excused_soft integer DEFAULT 0 NOT NULL,
    excused_complaints integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    frozen_at timestamp with time zone,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    chosen boolean DEFAULT false NOT NULL,
    CONSTRAINT sends_cancelled_by_check CHECK ((cancelled_by = ANY (ARRAY[''::text, 'merge'::text, 'operator'::text]))),
    CONSTRAINT sends_state_check CHECK ((state = ANY (ARRAY['scheduled'::text, 'holding'::text, 'sending'::text, 'finished'::text, 'paused'::text, 'stopped'::text, 'cancelled'::text])))
);

ALTER TABLE sends ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;

CREATE TABLE signup_minutes (
    minute timestamp with time zone NOT NULL,
    number bigint NOT NULL
);

CREATE TABLE sns_messages (
    id text NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE stripe_account (
    single boolean DEFAULT true NOT NULL,
    account_id text NOT NULL,
    livemode boolean NOT NULL,
    reconciled_at timestamp with time zone,
    at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT stripe_account_single_check CHECK (single)
);

CREATE TABLE stripe_events (
    id text NOT NULL,
    type text NOT NULL,
    object_id text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    received_at timestamp with time zone DEFAULT now() NOT NULL,
    due_at timestamp with time zone DEFAULT now() NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    done_at timestamp with time zone,
    detail text DEFAULT ''::text NOT NULL
);

CREATE TABLE subscribers (
    id bigint NOT NULL,
    email text NOT NULL,
    email_normal text NOT NULL,
    state text DEFAULT 'unconfirmed'::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    confirmed_at timestamp with time zone,
    active_at timestamp with time zone,
    left_at timestamp with time zone,
    leaving_reason text DEFAULT ''::text NOT NULL,
    erased_at timestamp with time zone,
    lang text DEFAULT ''::text NOT NULL,
    frequency text DEFAULT 'every'::text NOT NULL,
    paused_until timestamp with time zone,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    notes text DEFAULT ''::text NOT NULL,
    flags text[] DEFAULT '{}'::text[] NOT NULL,
    referrer_url text DEFAULT ''::text NOT NULL,
    utm_campaign text DEFAULT ''::text NOT NULL,
    utm_medium text DEFAULT ''::text NOT NULL,
    utm_source text DEFAULT ''::text NOT NULL,
    link_epoch integer DEFAULT 1 NOT NULL,
    CONSTRAINT subscribers_frequency_check CHECK ((frequency = ANY (ARRAY['every'::text, 'monthly'::text]))),
    CONSTRAINT subscribers_metadata_check CHECK ((jsonb_typeof(metadata) = 'object'::text)),
    CONSTRAINT subscribers_state_check CHECK ((state = ANY (ARRAY['unconfirmed'::text, 'active'::text, 'left'::text])))
);

ALTER TABLE subscribers ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;

CREATE TABLE subscriptions (
    stripe_id text NOT NULL,
    version bigint DEFAULT 0 NOT NULL,
    customer_id text DEFAULT ''::text NOT NULL,
    subscriber_id bigint,
    plan text DEFAULT ''::text NOT NULL,
    status text DEFAULT ''::text NOT NULL,
    amount bigint DEFAULT 0 NOT NULL,
    currency text DEFAULT ''::text NOT NULL,
    months integer DEFAULT 1 NOT NULL,
    collection_paused boolean DEFAULT false NOT NULL,
    pause_kind text DEFAULT ''::text NOT NULL,
    paid_until timestamp with time zone,
    paused_at timestamp with time zone,
    resumes_at timestamp with time zone,
    cancel_at timestamp with time zone,
    trial_end timestamp with time zone,
    period_start timestamp with time zone,
    period_end timestamp with time zone,
    started_at timestamp with time zone,
    ended_at timestamp with time zone,
    invoice_id text DEFAULT ''::text NOT NULL,
    invoice_status text DEFAULT ''::text NOT NULL,
    invoice_at timestamp with time zone,
    fetched_at timestamp with time zone
);

CREATE TABLE suppressions (
    email_normal text NOT NULL,
    reason text NOT NULL,
    detail text DEFAULT ''::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT suppressions_reason_check CHECK ((reason = ANY (ARRAY['hard bounce'::text, 'soft bounces'::text, 'complaint'::text, 'operator'::text])))
);

CREATE TABLE tags (
    id bigint NOT NULL,
    name text NOT NULL,
    color text DEFAULT '#0069FF'::text NOT NULL,
    description text,
    public_description text,
    subscriber_editable boolean DEFAULT false NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE tags ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;

CREATE TABLE tallies (
    kind text NOT NULL,
    key text NOT NULL,
    number bigint NOT NULL
);

CREATE TABLE transactional_mail_events (
    mail_id bigint NOT NULL,
    kind text NOT NULL,
    at timestamp with time zone NOT NULL,
    subtype text DEFAULT ''::text NOT NULL,
    detail text DEFAULT ''::text NOT NULL,
    recorded_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT transactional_mail_events_kind_check CHECK ((kind = ANY (ARRAY['send'::text, 'delay'::text, 'delivery'::text, 'reject'::text, 'rendering failure'::text, 'soft bounce'::text, 'hard bounce'::text, 'complaint'::text])))
);

CREATE TABLE transactional_mails (
    id bigint NOT NULL,
    kind text NOT NULL,
    topic text DEFAULT ''::text NOT NULL,
    facts jsonb DEFAULT '{}'::jsonb NOT NULL,
    once text,
    subscriber_id bigint NOT NULL,
    state text DEFAULT 'pending'::text NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    claimed_at timestamp with time zone,
    claimed_by uuid,
    settled_at timestamp with time zone,
    message_id text,
    detail text DEFAULT ''::text NOT NULL,
    CONSTRAINT transactional_mails_kind_check CHECK ((kind = ANY (ARRAY['confirmation'::text, 'paid'::text]))),
    CONSTRAINT transactional_mails_state_check CHECK ((state = ANY (ARRAY['held'::text, 'pending'::text, 'claimed'::text, 'accepted'::text, 'delivered'::text, 'skipped'::text, 'failed'::text, 'bounced'::text, 'complained'::text, 'uncertain'::text])))
);

ALTER TABLE transactional_mails ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;

CREATE TABLE unknown_events (
    day date NOT NULL,
    kind text NOT NULL,
    number bigint NOT NULL
);

CREATE TABLE unread_events (
    digest bytea NOT NULL,
    source text NOT NULL,
    reason text NOT NULL,
    body text NOT NULL,
    times bigint DEFAULT 1 NOT NULL,
    first_at timestamp with time zone DEFAULT now() NOT NULL,
    last_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE webhook_attempts (
    id bigint NOT NULL,
    message_id bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    milliseconds integer NOT NULL,
    status integer,
    error text DEFAULT ''::text NOT NULL
);

ALTER TABLE webhook_attempts ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;

CREATE TABLE webhook_messages (
    id bigint NOT NULL,
    webhook_id bigint NOT NULL,
    event_id bigint,
    type text NOT NULL,
    body jsonb NOT NULL,
    state text DEFAULT 'pending'::text NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    due_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    claimed_at timestamp with time zone,
    settled_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT webhook_messages_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'claimed'::text, 'delivered'::text, 'failed'::text])))
);

ALTER TABLE webhook_messages ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;

CREATE TABLE webhooks (
    id bigint NOT NULL,
    url text NOT NULL,
    description text DEFAULT ''::text NOT NULL,
    event_types text[] NOT NULL,
    secret text NOT NULL,
    enabled boolean DEFAULT true NOT NULL,
    failing_since timestamp with time zone,
    disabled_reason text DEFAULT ''::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE webhooks ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;

ALTER TABLE ONLY events ATTACH PARTITION events_rest DEFAULT;

ALTER TABLE ONLY accesses
    ADD CONSTRAINT accesses_pkey PRIMARY KEY (subscriber_id);

ALTER TABLE ONLY api_keys
    ADD CONSTRAINT api_keys_hash_key UNIQUE (hash);

ALTER TABLE ONLY api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (id);

ALTER TABLE ONLY api_requests
    ADD CONSTRAINT api_requests_pkey PRIMARY KEY (id);

ALTER TABLE ONLY bulk_actions
    ADD CONSTRAINT bulk_actions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY bulk_targets
    ADD CONSTRAINT bulk_targets_pkey PRIMARY KEY (action_id, "position");

ALTER TABLE ONLY charges
    ADD CONSTRAINT charges_pkey PRIMARY KEY (stripe_id);

ALTER TABLE ONLY consents
    ADD CONSTRAINT consents_pkey PRIMARY KEY (id);

ALTER TABLE ONLY customers
    ADD CONSTRAINT customers_pkey PRIMARY KEY (stripe_id);

ALTER TABLE ONLY deliveries
    ADD CONSTRAINT deliveries_pkey PRIMARY KEY (send_id, subscriber_id);

ALTER TABLE ONLY delivery_events
    ADD CONSTRAINT delivery_events_pkey PRIMARY KEY (send_id, subscriber_id, kind, at);

ALTER TABLE ONLY digests
    ADD CONSTRAINT digests_pkey PRIMARY KEY (month);

ALTER TABLE ONLY edition_variants
    ADD CONSTRAINT edition_variants_pkey PRIMARY KEY (edition_id, name);

ALTER TABLE ONLY editions
    ADD CONSTRAINT editions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY erased
    ADD CONSTRAINT erased_pkey PRIMARY KEY (hash);

ALTER TABLE ONLY events
    ADD CONSTRAINT events_pkey PRIMARY KEY (id, at);

ALTER TABLE ONLY events_rest
    ADD CONSTRAINT events_rest_pkey PRIMARY KEY (id, at);

ALTER TABLE ONLY exports
    ADD CONSTRAINT exports_pkey PRIMARY KEY (id);

ALTER TABLE ONLY farewells
    ADD CONSTRAINT farewells_pkey PRIMARY KEY (customer_id);

ALTER TABLE ONLY fence
    ADD CONSTRAINT fence_pkey PRIMARY KEY (single);

ALTER TABLE ONLY firewall
    ADD CONSTRAINT firewall_pkey PRIMARY KEY (single);

ALTER TABLE ONLY gifts
    ADD CONSTRAINT gifts_pkey PRIMARY KEY (id);

ALTER TABLE ONLY gifts
    ADD CONSTRAINT gifts_session_id_key UNIQUE (session_id);

ALTER TABLE ONLY grants
    ADD CONSTRAINT grants_pkey PRIMARY KEY (id);

ALTER TABLE ONLY handed_over
    ADD CONSTRAINT handed_over_pkey PRIMARY KEY (digest);

ALTER TABLE ONLY idempotency
    ADD CONSTRAINT idempotency_pkey PRIMARY KEY (key_id, name);

ALTER TABLE ONLY import_parts
    ADD CONSTRAINT import_parts_pkey PRIMARY KEY (import_id, place);

ALTER TABLE ONLY import_runs
    ADD CONSTRAINT import_runs_pkey PRIMARY KEY (id);

ALTER TABLE ONLY imports
    ADD CONSTRAINT imports_pkey PRIMARY KEY (id);

ALTER TABLE ONLY issues
    ADD CONSTRAINT issues_pkey PRIMARY KEY (key);

ALTER TABLE ONLY limits
    ADD CONSTRAINT limits_pkey PRIMARY KEY (scope, key);

ALTER TABLE ONLY mail_domains
    ADD CONSTRAINT mail_domains_pkey PRIMARY KEY (domain);

ALTER TABLE ONLY notes
    ADD CONSTRAINT notes_pkey PRIMARY KEY (id);

ALTER TABLE ONLY notices
    ADD CONSTRAINT notices_pkey PRIMARY KEY (id);

ALTER TABLE ONLY scanner_visits
    ADD CONSTRAINT scanner_visits_pkey PRIMARY KEY (subscriber_id, send_id, mail_id);

ALTER TABLE ONLY schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (name);

ALTER TABLE ONLY segments
    ADD CONSTRAINT segments_name_key UNIQUE (name);

ALTER TABLE ONLY segments
    ADD CONSTRAINT segments_pkey PRIMARY KEY (id);

ALTER TABLE ONLY sends
    ADD CONSTRAINT sends_issue_key_edition_number_key UNIQUE (issue_key, edition_number);

ALTER TABLE ONLY sends
    ADD CONSTRAINT sends_pkey PRIMARY KEY (id);

ALTER TABLE ONLY signup_minutes
    ADD CONSTRAINT signup_minutes_pkey PRIMARY KEY (minute);

ALTER TABLE ONLY sns_messages
    ADD CONSTRAINT sns_messages_pkey PRIMARY KEY (id);

ALTER TABLE ONLY stripe_account
    ADD CONSTRAINT stripe_account_pkey PRIMARY KEY (single);

ALTER TABLE ONLY stripe_events
    ADD CONSTRAINT stripe_events_pkey PRIMARY KEY (id);

ALTER TABLE ONLY subscribers
    ADD CONSTRAINT subscribers_email_normal_key UNIQUE (email_normal);

ALTER TABLE ONLY subscribers
    ADD CONSTRAINT subscribers_pkey PRIMARY KEY (id);

ALTER TABLE ONLY subscriptions
    ADD CONSTRAINT subscriptions_pkey PRIMARY KEY (stripe_id);

ALTER TABLE ONLY suppressions
    ADD CONSTRAINT suppressions_pkey PRIMARY KEY (email_normal);

ALTER TABLE ONLY tags
    ADD CONSTRAINT tags_name_key UNIQUE (name);

ALTER TABLE ONLY tags
    ADD CONSTRAINT tags_pkey PRIMARY KEY (id);

ALTER TABLE ONLY transactional_mail_events
    ADD CONSTRAINT transactional_mail_events_pkey PRIMARY KEY (mail_id, kind, at);

ALTER TABLE ONLY transactional_mails
    ADD CONSTRAINT transactional_mails_pkey PRIMARY KEY (id);

ALTER TABLE ONLY unknown_events
    ADD CONSTRAINT unknown_events_pkey PRIMARY KEY (day, kind);

ALTER TABLE ONLY unread_events
    ADD CONSTRAINT unread_events_pkey PRIMARY KEY (digest);

ALTER TABLE ONLY webhook_attempts
    ADD CONSTRAINT webhook_attempts_pkey PRIMARY KEY (id);

ALTER TABLE ONLY webhook_messages
    ADD CONSTRAINT webhook_messages_pkey PRIMARY KEY (id);

ALTER TABLE ONLY webhooks
    ADD CONSTRAINT webhooks_pkey PRIMARY KEY (id);

CREATE INDEX accesses_running_out ON accesses USING btree (until) WHERE (premium AND (until IS NOT NULL));

CREATE UNIQUE INDEX api_keys_by_name ON api_keys USING btree (name) WHERE (revoked_at IS NULL);

CREATE INDEX api_requests_by_age ON api_requests USING btree (at);

CREATE INDEX charges_by_intent ON charges USING btree (intent) WHERE (intent <> ''::text);

CREATE INDEX charges_by_subscription ON charges USING btree (subscription_id);

CREATE INDEX consents_by_subscriber ON consents USING btree (subscriber_id, at);

CREATE INDEX customers_by_subscriber ON customers USING btree (subscriber_id);

CREATE INDEX deliveries_by_message ON deliveries USING hash (message_id) WHERE (message_id IS NOT NULL);

CREATE INDEX deliveries_by_subscriber ON deliveries USING btree (subscriber_id);

CREATE INDEX deliveries_claimed ON deliveries USING btree (claimed_at) WHERE (state = 'claimed'::text);

CREATE UNIQUE INDEX deliveries_once ON deliveries USING btree (send_id, address_hash) WHERE (address_hash IS NOT NULL);

CREATE INDEX deliveries_pending ON deliveries USING btree (send_id, wave, subscriber_id) WHERE (state = 'pending'::text);

CREATE INDEX deliveries_uncertain ON deliveries USING btree (send_id, subscriber_id) WHERE (state = 'uncertain'::text);

CREATE INDEX delivery_events_soft ON delivery_events USING btree (subscriber_id, at) WHERE (kind = 'soft bounce'::text);

CREATE INDEX events_by_send ON ONLY events USING btree (send_id, id) WHERE (send_id IS NOT NULL);

CREATE INDEX events_by_subscriber ON ONLY events USING btree (subscriber_id, id) WHERE (subscriber_id IS NOT NULL);

CREATE INDEX events_by_type ON ONLY events USING btree (type, id);

CREATE INDEX events_rest_send_id_id_idx ON events_rest USING btree (send_id, id) WHERE (send_id IS NOT NULL);

CREATE INDEX events_rest_subscriber_id_id_idx ON events_rest USING btree (subscriber_id, id) WHERE (subscriber_id IS NOT NULL);

CREATE INDEX events_rest_type_id_idx ON events_rest USING btree (type, id);

CREATE INDEX farewells_open ON farewells USING btree (due_at) WHERE (done_at IS NULL);

CREATE INDEX gifts_by_intent ON gifts USING btree (intent) WHERE (intent <> ''::text);

CREATE INDEX gifts_by_subscriber ON gifts USING btree (subscriber_id);

CREATE INDEX grants_by_subscriber ON grants USING btree (subscriber_id);

CREATE INDEX handed_over_by_age ON handed_over USING btree (used_at);

CREATE INDEX idempotency_by_age ON idempotency USING btree (at);

CREATE INDEX inbox_emails_by_inbox ON inbox_emails USING btree (inbox, created_at);

CREATE INDEX issues_by_digest ON issues USING btree (digest);

CREATE INDEX limits_by_age ON limits USING btree (used_until);

CREATE INDEX notes_by_model ON notes USING btree (model_type, model_id, id);

CREATE INDEX notices_open ON notices USING btree (id) WHERE (posted_at IS NULL);

CREATE INDEX sns_messages_by_age ON sns_messages USING btree (at);

CREATE INDEX stripe_events_open ON stripe_events USING btree (due_at) WHERE (done_at IS NULL);

CREATE INDEX subscribers_by_age ON subscribers USING btree (created_at);

CREATE INDEX subscribers_by_any_tag ON subscribers USING gin (tags) WITH (gin_pending_list_limit='256');

CREATE INDEX subscribers_by_tag ON subscribers USING gin (tags) WITH (gin_pending_list_limit='256') WHERE (state = 'active'::text);

CREATE INDEX subscribers_monthly ON subscribers USING btree (id) WHERE (frequency = 'monthly'::text);

CREATE INDEX subscribers_paused ON subscribers USING btree (paused_until) WHERE (paused_until IS NOT NULL);

CREATE INDEX subscriptions_by_customer ON subscriptions USING btree (customer_id);

CREATE INDEX subscriptions_by_subscriber ON subscriptions USING btree (subscriber_id);

CREATE INDEX subscriptions_resuming ON subscriptions USING btree (resumes_at) WHERE (resumes_at IS NOT NULL);

CREATE INDEX tallies_by_key ON tallies USING btree (kind, key);

CREATE INDEX transactional_mails_by_message ON transactional_mails USING hash (message_id) WHERE (message_id IS NOT NULL);

CREATE INDEX transactional_mails_by_subscriber ON transactional_mails USING btree (subscriber_id, created_at);

CREATE INDEX transactional_mails_held ON transactional_mails USING btree (id) WHERE (state = 'held'::text);

CREATE UNIQUE INDEX transactional_mails_once ON transactional_mails USING btree (once) WHERE (once IS NOT NULL);

CREATE INDEX transactional_mails_open ON transactional_mails USING btree (id) WHERE (state = ANY (ARRAY['pending'::text, 'claimed'::text]));

CREATE INDEX webhook_attempts_by_message ON webhook_attempts USING btree (message_id, id);

CREATE INDEX webhook_messages_by_webhook ON webhook_messages USING btree (webhook_id, id);

CREATE INDEX webhook_messages_due ON webhook_messages USING btree (due_at) WHERE (state = ANY (ARRAY['pending'::text, 'claimed'::text]));

ALTER INDEX events_pkey ATTACH PARTITION events_rest_pkey;

ALTER INDEX events_by_send ATTACH PARTITION events_rest_send_id_id_idx;

ALTER INDEX events_by_subscriber ATTACH PARTITION events_rest_subscriber_id_id_idx;

ALTER INDEX events_by_type ATTACH PARTITION events_rest_type_id_idx;

CREATE TRIGGER delivery_events_told AFTER INSERT ON delivery_events REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION delivery_told();

CREATE TRIGGER events_stay BEFORE DELETE OR UPDATE ON events FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER events_told AFTER INSERT ON events REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION events_to_webhooks();

CREATE TRIGGER sends_changed AFTER INSERT OR UPDATE OF state ON sends FOR EACH ROW EXECUTE FUNCTION send_changed();

CREATE TRIGGER subscribers_came AFTER INSERT ON subscribers REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION reader_came();

CREATE TRIGGER subscribers_changed AFTER UPDATE ON subscribers REFERENCING OLD TABLE AS removed NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION reader_changed();

CREATE TRIGGER subscribers_tally_added AFTER INSERT ON subscribers REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION tally_added();

CREATE TRIGGER subscribers_tally_changed AFTER UPDATE ON subscribers REFERENCING OLD TABLE AS removed NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION tally_changed();

CREATE TRIGGER subscribers_tally_removed AFTER DELETE ON subscribers REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION tally_removed();

CREATE TRIGGER subscribers_wipe BEFORE UPDATE OF erased_at ON subscribers FOR EACH ROW WHEN (((new.erased_at IS NOT NULL) AND (old.erased_at IS NULL))) EXECUTE FUNCTION wipe_added_columns();

CREATE TRIGGER transactional_mail_events_told AFTER INSERT ON transactional_mail_events REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION single_mail_told();

ALTER TABLE ONLY accesses
    ADD CONSTRAINT accesses_subscriber_id_fkey FOREIGN KEY (subscriber_id) REFERENCES subscribers(id) ON DELETE CASCADE;

ALTER TABLE ONLY api_requests
    ADD CONSTRAINT api_requests_key_id_fkey FOREIGN KEY (key_id) REFERENCES api_keys(id);

ALTER TABLE ONLY bulk_targets
    ADD CONSTRAINT bulk_targets_action_id_fkey FOREIGN KEY (action_id) REFERENCES bulk_actions(id) ON DELETE CASCADE;

ALTER TABLE ONLY consents
    ADD CONSTRAINT consents_subscriber_id_fkey FOREIGN KEY (subscriber_id) REFERENCES subscribers(id) ON DELETE CASCADE;

ALTER TABLE ONLY customers
    ADD CONSTRAINT customers_subscriber_id_fkey FOREIGN KEY (subscriber_id) REFERENCES subscribers(id) ON DELETE SET NULL;

ALTER TABLE ONLY deliveries
    ADD CONSTRAINT deliveries_send_id_fkey FOREIGN KEY (send_id) REFERENCES sends(id);

ALTER TABLE ONLY deliveries
    ADD CONSTRAINT deliveries_subscriber_id_fkey FOREIGN KEY (subscriber_id) REFERENCES subscribers(id);

ALTER TABLE ONLY edition_variants
    ADD CONSTRAINT edition_variants_edition_id_fkey FOREIGN KEY (edition_id) REFERENCES editions(id);

ALTER TABLE ONLY editions
    ADD CONSTRAINT editions_issue_key_fkey FOREIGN KEY (issue_key) REFERENCES issues(key);

ALTER TABLE ONLY gifts
    ADD CONSTRAINT gifts_subscriber_id_fkey FOREIGN KEY (subscriber_id) REFERENCES subscribers(id) ON DELETE CASCADE;

ALTER TABLE ONLY grants
    ADD CONSTRAINT grants_subscriber_id_fkey FOREIGN KEY (subscriber_id) REFERENCES subscribers(id) ON DELETE CASCADE;

ALTER TABLE ONLY idempotency
    ADD CONSTRAINT idempotency_key_id_fkey FOREIGN KEY (key_id) REFERENCES api_keys(id);

ALTER TABLE ONLY import_parts
    ADD CONSTRAINT import_parts_import_id_fkey FOREIGN KEY (import_id) REFERENCES imports(id) ON DELETE CASCADE;

ALTER TABLE ONLY imports
    ADD CONSTRAINT imports_run_id_fkey FOREIGN KEY (run_id) REFERENCES import_runs(id);

ALTER TABLE ONLY scanner_visits
    ADD CONSTRAINT scanner_visits_subscriber_id_fkey FOREIGN KEY (subscriber_id) REFERENCES subscribers(id) ON DELETE CASCADE;

ALTER TABLE ONLY sends
    ADD CONSTRAINT sends_edition_id_fkey FOREIGN KEY (edition_id) REFERENCES editions(id);

ALTER TABLE ONLY sends
    ADD CONSTRAINT sends_issue_key_fkey FOREIGN KEY (issue_key) REFERENCES issues(key);

ALTER TABLE ONLY subscriptions
    ADD CONSTRAINT subscriptions_subscriber_id_fkey FOREIGN KEY (subscriber_id) REFERENCES subscribers(id) ON DELETE SET NULL;

ALTER TABLE ONLY transactional_mails
    ADD CONSTRAINT transactional_mails_subscriber_id_fkey FOREIGN KEY (subscriber_id) REFERENCES subscribers(id) ON DELETE CASCADE;

ALTER TABLE ONLY webhook_attempts
    ADD CONSTRAINT webhook_attempts_message_id_fkey FOREIGN KEY (message_id) REFERENCES webhook_messages(id) ON DELETE CASCADE;

ALTER TABLE ONLY webhook_messages
    ADD CONSTRAINT webhook_messages_webhook_id_fkey FOREIGN KEY (webhook_id) REFERENCES webhooks(id) ON DELETE CASCADE;
