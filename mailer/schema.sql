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
    WHERE outcome_word(kind) IS NOT NULL
    ORDER BY added.at;
    RETURN NULL;
END $$;

CREATE FUNCTION enrol(subscriber bigint, happened text, tag_name text) RETURNS void
    LANGUAGE sql
    AS $$
    INSERT INTO enrolments (subscriber_id, sequence_id, step_id, due_at)
    SELECT subscriber, sequences.id, first.id, now() + first.after
    FROM sequences
    CROSS JOIN LATERAL (
        SELECT id, after FROM sequence_steps
        WHERE sequence_id = sequences.id AND removed_at IS NULL
        ORDER BY position LIMIT 1
    ) AS first
    WHERE sequences.state = 'running' AND sequences.trigger = happened AND sequences.tag = tag_name
    ON CONFLICT DO NOTHING
$$;

CREATE FUNCTION enrol_changed() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF current_setting('postmerge.enrols', true) = 'off' OR NOT EXISTS (SELECT FROM sequences WHERE state = 'running') THEN
        RETURN NULL;
    END IF;
    PERFORM enrol(added.id, happened.trigger, happened.tag)
    FROM added JOIN removed USING (id)
    CROSS JOIN LATERAL (
        SELECT 'confirmed' AS trigger, '' AS tag WHERE removed.state <> 'active'
        UNION ALL
        SELECT 'pause over', '' WHERE removed.state = 'active' AND removed.paused_until IS NOT NULL AND added.paused_until IS NULL
        UNION ALL
        SELECT 'tagged', tag FROM unnest(added.tags) AS tag WHERE removed.state <> 'active' OR NOT tag = ANY(removed.tags)
    ) AS happened
    WHERE added.state = 'active';
    RETURN NULL;
END $$;

CREATE FUNCTION enrol_entitled() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF current_setting('postmerge.enrols', true) = 'off'
        OR NOT EXISTS (SELECT FROM sequences WHERE state = 'running' AND trigger IN ('paid', 'trial ends'))
        OR NOT EXISTS (SELECT FROM subscribers WHERE id = NEW.subscriber_id AND state = 'active')
    THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.state = 'trialing' AND NEW.state <> 'trialing' THEN
        PERFORM enrol(NEW.subscriber_id, 'trial ends', '');
    END IF;
    IF NEW.state = 'paying' AND (
        (TG_OP = 'UPDATE' AND OLD.state = 'trialing')
        OR EXISTS (
            SELECT FROM subscriptions
            WHERE subscriber_id = NEW.subscriber_id AND started_at > now() - interval '7 days'
        )
    ) THEN
        PERFORM enrol(NEW.subscriber_id, 'paid', '');
    END IF;
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

CREATE FUNCTION journal_erased() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO restore_journal (kind, hash, detail) VALUES ('erased address', OLD.hash, 'forgotten');
    ELSE
        INSERT INTO restore_journal (kind, hash, detail) VALUES ('erased address', NEW.hash, NEW.reason);
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION journal_send() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    INSERT INTO restore_journal (kind, detail)
    SELECT 'send', jsonb_build_object(
        'key', issues.key, 'path', issues.path, 'title', issues.title, 'dated', issues.dated, 'url', issues.url,
        'digest', issues.digest, 'number', NEW.edition_number, 'send', NEW.id
    )
    FROM issues WHERE issues.key = NEW.issue_key;
    RETURN NULL;
END $$;

CREATE FUNCTION journal_subscriber() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF NEW.erased_at IS NOT NULL THEN
        IF OLD.erased_at IS NULL THEN
            DELETE FROM restore_journal
            WHERE subscriber_id = NEW.id OR (kind = 'suppression' AND email_normal = OLD.email_normal);
            INSERT INTO restore_journal (kind, subscriber_id) VALUES ('erased', NEW.id);
        END IF;
        RETURN NULL;
    END IF;
    IF OLD.email_normal <> NEW.email_normal THEN
        INSERT INTO restore_journal (kind, subscriber_id, email_normal, detail)
        VALUES ('address', NEW.id, OLD.email_normal, NEW.email);
    END IF;
    IF OLD.state <> NEW.state AND 'unsubscribed' IN (OLD.state, NEW.state) THEN
        INSERT INTO restore_journal (kind, subscriber_id, email_normal, detail)
        VALUES ('state', NEW.id, NEW.email_normal, NEW.state);
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION journal_suppressions() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    INSERT INTO restore_journal (kind, email_normal, detail)
    VALUES ('suppression', NEW.email_normal, CASE WHEN TG_TABLE_NAME = 'suppressions' THEN NEW.reason ELSE '' END);
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
    SELECT CASE
        WHEN kind = 'delivery' THEN 'delivered'
        WHEN kind = 'delay' THEN 'deferred'
        WHEN kind LIKE '% bounce' THEN 'bounced'
        WHEN kind = 'complaint' THEN 'complained'
        WHEN kind = 'send' THEN 'sent'
        WHEN kind IN ('reject', 'rendering failure', 'provider suppression') THEN 'rejected'
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
    SELECT 'subscriber.activation_' || outcome_word(added.kind), transactional_emails.subscriber_id, '{}'
    FROM added JOIN transactional_emails ON transactional_emails.id = added.email_id
    WHERE transactional_emails.kind = 'confirmation' AND added.kind <> 'send' AND outcome_word(added.kind) IS NOT NULL
    ORDER BY added.at;
    RETURN NULL;
END $$;

CREATE FUNCTION suppression_lifted() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    INSERT INTO events (type, subscriber_id, facts)
    SELECT 'subscriber.type.changed', subscribers.id, jsonb_build_object('from', 'suppressed', 'to', subscribers.state)
    FROM added JOIN subscribers ON subscribers.email_normal = added.email_normal
    WHERE added.reason <> ''
    ORDER BY subscribers.id;
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
        INSERT INTO subscriber_tags (tag, subscriber_id)
        SELECT tag, id FROM added, unnest(tags) AS tag WHERE erased_at IS NULL
        ON CONFLICT DO NOTHING;
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
    DELETE FROM subscriber_tags
    USING added JOIN removed USING (id), unnest(removed.tags) AS lost (tag)
    WHERE subscriber_tags.tag = lost.tag AND subscriber_tags.subscriber_id = removed.id
        AND (added.erased_at IS NOT NULL OR lost.tag <> ALL(added.tags));
    INSERT INTO subscriber_tags (tag, subscriber_id)
    SELECT given.tag, added.id FROM added JOIN removed USING (id), unnest(added.tags) AS given (tag)
    WHERE added.erased_at IS NULL AND (removed.erased_at IS NOT NULL OR given.tag <> ALL(removed.tags))
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

CREATE FUNCTION tally_events() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    INSERT INTO tallies (kind, key, number)
    SELECT 'event', concat_ws(' ', type, CASE WHEN type = 'subscriber.bounced' THEN facts ->> 'kind' END), count(*)
    FROM added GROUP BY 2;
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
    DELETE FROM subscriber_tags USING removed, unnest(removed.tags) AS lost (tag)
    WHERE subscriber_tags.tag = lost.tag AND subscriber_tags.subscriber_id = removed.id;
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
    NEW.unsubscribe_reason := '';
    DELETE FROM notes WHERE model_type = 'subscriber' AND model_id = NEW.id;
    RETURN NEW;
END $$;

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
    revoked_at timestamp with time zone
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
    at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE consents ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;

CREATE TABLE customer_deletions (
    customer_id text NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    due_at timestamp with time zone DEFAULT now() NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    done_at timestamp with time zone,
    detail text DEFAULT ''::text NOT NULL
);

CREATE TABLE customers (
    stripe_id text NOT NULL,
    subscriber_id bigint,
    email_normal text DEFAULT ''::text NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    email_due_at timestamp with time zone,
    email_attempts integer DEFAULT 0 NOT NULL
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
    event_kind text DEFAULT ''::text NOT NULL,
    CONSTRAINT deliveries_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'claimed'::text, 'accepted'::text, 'delivered'::text, 'skipped'::text, 'failed'::text, 'bounced'::text, 'complained'::text, 'uncertain'::text])))
)
WITH (fillfactor='70', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='100000', autovacuum_vacuum_insert_scale_factor='0', autovacuum_vacuum_insert_threshold='20000', autovacuum_analyze_scale_factor='0', autovacuum_analyze_threshold='100000');

CREATE TABLE delivery_events (
    send_id bigint NOT NULL,
    subscriber_id bigint NOT NULL,
    kind text NOT NULL,
    at timestamp with time zone NOT NULL,
    subtype text DEFAULT ''::text NOT NULL,
    detail text DEFAULT ''::text NOT NULL,
    recorded_at timestamp with time zone DEFAULT now() NOT NULL
)
WITH (autovacuum_vacuum_insert_scale_factor='0', autovacuum_vacuum_insert_threshold='500000', autovacuum_analyze_scale_factor='0', autovacuum_analyze_threshold='200000');

CREATE TABLE delivery_sums (
    send_id bigint NOT NULL,
    state text NOT NULL,
    number integer NOT NULL
);

CREATE TABLE desk_acts (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    operator text NOT NULL,
    role text NOT NULL,
    act text NOT NULL,
    target text DEFAULT ''::text NOT NULL,
    outcome text DEFAULT ''::text NOT NULL
);

ALTER TABLE desk_acts ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;

CREATE TABLE desk_links (
    hash bytea NOT NULL,
    operator text NOT NULL,
    role text NOT NULL,
    by_email boolean NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone,
    CONSTRAINT desk_links_role_check CHECK ((role = ANY (ARRAY['owner'::text, 'viewer'::text])))
);

CREATE TABLE desk_sessions (
    hash bytea NOT NULL,
    operator text NOT NULL,
    role text NOT NULL,
    by_email boolean NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    CONSTRAINT desk_sessions_role_check CHECK ((role = ANY (ARRAY['owner'::text, 'viewer'::text])))
);

CREATE TABLE digests (
    month date NOT NULL,
    subscriber_count bigint NOT NULL,
    made_at timestamp with time zone DEFAULT now() NOT NULL,
    frequency text DEFAULT 'monthly'::text NOT NULL
);

CREATE TABLE draft_images (
    id bigint NOT NULL,
    name text NOT NULL,
    digest bytea NOT NULL,
    content bytea NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE draft_images ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;

CREATE TABLE drafts (
    id bigint NOT NULL,
    key text NOT NULL,
    branch text NOT NULL,
    path text NOT NULL,
    fields jsonb NOT NULL,
    source text NOT NULL,
    pushed_commit text DEFAULT ''::text NOT NULL,
    pull_request text DEFAULT ''::text NOT NULL,
    reason text DEFAULT ''::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    claimed_until timestamp with time zone
);

ALTER TABLE drafts ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;

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
    body text DEFAULT ''::text NOT NULL,
    commit_id text DEFAULT ''::text NOT NULL,
    source text DEFAULT ''::text NOT NULL,
    image text DEFAULT ''::text NOT NULL,
    CONSTRAINT editions_number_check CHECK ((number >= 1))
);

ALTER TABLE editions ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;

CREATE TABLE email_domains (
    domain text NOT NULL,
    accepts_email boolean NOT NULL,
    asked_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE enrolments (
    subscriber_id bigint NOT NULL,
    sequence_id bigint NOT NULL,
    enrolled_at timestamp with time zone DEFAULT now() NOT NULL,
    last_at timestamp with time zone DEFAULT now() NOT NULL,
    step_id bigint,
    due_at timestamp with time zone,
    ended_at timestamp with time zone,
    end_reason text DEFAULT ''::text NOT NULL
);

CREATE TABLE entitlements (
    subscriber_id bigint NOT NULL,
    state text NOT NULL,
    premium boolean NOT NULL,
    until timestamp with time zone,
    epoch integer DEFAULT 1 NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT entitlements_state_check CHECK ((state = ANY (ARRAY['free'::text, 'trialing'::text, 'paying'::text, 'past_due'::text, 'paused'::text, 'ending'::text, 'ended'::text, 'complimentary'::text])))
);

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
    active_since timestamp with time zone,
    reason text DEFAULT ''::text NOT NULL,
    is_manual boolean DEFAULT false NOT NULL,
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

CREATE TABLE heartbeats (
    id bigint NOT NULL,
    kind text NOT NULL,
    host text NOT NULL,
    version text NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    seen_at timestamp with time zone DEFAULT now() NOT NULL,
    stopped_at timestamp with time zone,
    backlog_since timestamp with time zone,
    CONSTRAINT heartbeats_kind_check CHECK ((kind = ANY (ARRAY['serve'::text, 'worker'::text, 'scheduler'::text, 'events'::text])))
);

ALTER TABLE heartbeats ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;

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

CREATE TABLE issue_texts (
    key text NOT NULL,
    subject text NOT NULL,
    preheader text NOT NULL,
    image text NOT NULL,
    source text NOT NULL,
    html text NOT NULL,
    text text NOT NULL
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
    last_seen_at timestamp with time zone DEFAULT now() NOT NULL,
    is_step boolean DEFAULT false NOT NULL
);

CREATE TABLE kept_figures (
    name text NOT NULL,
    figures jsonb NOT NULL,
    seconds real NOT NULL,
    made_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE lifted_suppressions (
    id bigint NOT NULL,
    email_normal text NOT NULL,
    reason text NOT NULL,
    detail text DEFAULT ''::text NOT NULL,
    suppressed_at timestamp with time zone NOT NULL,
    lifted_at timestamp with time zone DEFAULT now() NOT NULL,
    lifted_by text NOT NULL,
    why text DEFAULT ''::text NOT NULL,
    ses_due_at timestamp with time zone,
    ses_outcome text DEFAULT ''::text NOT NULL
);

ALTER TABLE lifted_suppressions ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;

CREATE TABLE limits (
    scope text NOT NULL,
    key text NOT NULL,
    used_until timestamp with time zone NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='1000');

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
    posted_at timestamp with time zone,
    claimed_at timestamp with time zone
);

ALTER TABLE notices ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;

CREATE TABLE queue_samples (
    kind text NOT NULL,
    at timestamp with time zone NOT NULL,
    due_since timestamp with time zone NOT NULL,
    waiting integer
);

CREATE TABLE receipts (
    send_id bigint NOT NULL,
    document bytea NOT NULL,
    made_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE rejected_events (
    digest bytea NOT NULL,
    source text NOT NULL,
    reason text NOT NULL,
    body text NOT NULL,
    times bigint DEFAULT 1 NOT NULL,
    first_at timestamp with time zone DEFAULT now() NOT NULL,
    last_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE resource_claims (
    path text NOT NULL,
    claimed_until timestamp with time zone NOT NULL
);

CREATE TABLE restore_journal (
    id bigint NOT NULL,
    xid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    kind text NOT NULL,
    subscriber_id bigint,
    email_normal text DEFAULT ''::text NOT NULL,
    hash bytea,
    detail text DEFAULT ''::text NOT NULL,
    CONSTRAINT restore_journal_kind_check CHECK ((kind = ANY (ARRAY['state'::text, 'address'::text, 'erased'::text, 'suppression'::text, 'erased address'::text, 'send'::text])))
);

ALTER TABLE restore_journal ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;

CREATE TABLE reviewers (
    id bigint NOT NULL,
    email text NOT NULL,
    email_normal text NOT NULL,
    asked_at timestamp with time zone DEFAULT now() NOT NULL,
    proven_at timestamp with time zone
);

ALTER TABLE reviewers ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;

CREATE TABLE scanner_visits (
    subscriber_id bigint NOT NULL,
    send_id bigint DEFAULT 0 NOT NULL,
    email_id bigint DEFAULT 0 NOT NULL,
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
    page_checked_at timestamp with time zone,
    open_wave smallint DEFAULT 1 NOT NULL,
    watch_until timestamp with time zone,
    deferred_until timestamp with time zone,
    waiting_reason text DEFAULT ''::text NOT NULL,
    acknowledged_emails integer DEFAULT 0 NOT NULL,
    acknowledged_hard integer DEFAULT 0 NOT NULL,
    acknowledged_soft integer DEFAULT 0 NOT NULL,
    acknowledged_complaints integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    frozen_at timestamp with time zone,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    chosen boolean DEFAULT false NOT NULL,
    reply_to text,
    step_id bigint,
    continuous boolean DEFAULT false NOT NULL,
    CONSTRAINT sends_cancelled_by_check CHECK ((cancelled_by = ANY (ARRAY[''::text, 'merge'::text, 'operator'::text]))),
    CONSTRAINT sends_state_check CHECK ((state = ANY (ARRAY['scheduled'::text, 'holding'::text, 'sending'::text, 'finished'::text, 'paused'::text, 'stopped'::text, 'cancelled'::text])))
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='200');

ALTER TABLE sends ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;

CREATE TABLE sequence_emails (
    subscriber_id bigint NOT NULL,
    step_id bigint NOT NULL,
    send_id bigint,
    queued_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE sequence_steps (
    id bigint NOT NULL,
    sequence_id bigint NOT NULL,
    key text NOT NULL,
    "position" integer NOT NULL,
    after interval NOT NULL,
    removed_at timestamp with time zone
);

ALTER TABLE sequence_steps ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;

CREATE TABLE sequences (
    id bigint NOT NULL,
    name text NOT NULL,
    trigger text NOT NULL,
    tag text DEFAULT ''::text NOT NULL,
    audience text NOT NULL,
    stop text DEFAULT ''::text NOT NULL,
    stop_when_paid boolean DEFAULT false NOT NULL,
    hours text DEFAULT ''::text NOT NULL,
    zone text DEFAULT 'UTC'::text NOT NULL,
    state text DEFAULT 'running'::text NOT NULL,
    backfilled_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT sequences_state_check CHECK ((state = ANY (ARRAY['running'::text, 'stopped'::text, 'removed'::text]))),
    CONSTRAINT sequences_trigger_check CHECK ((trigger = ANY (ARRAY['confirmed'::text, 'tagged'::text, 'paid'::text, 'trial ends'::text, 'pause over'::text])))
);

ALTER TABLE sequences ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;

CREATE TABLE signup_minutes (
    minute timestamp with time zone NOT NULL,
    number bigint NOT NULL
);

CREATE TABLE sns_messages (
    id text NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE standstills (
    name text NOT NULL,
    text text NOT NULL,
    since timestamp with time zone DEFAULT now() NOT NULL,
    seen_at timestamp with time zone DEFAULT now() NOT NULL,
    told_at timestamp with time zone
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
    detail text DEFAULT ''::text NOT NULL,
    request text DEFAULT ''::text NOT NULL
);

CREATE TABLE subscriber_tags (
    tag text NOT NULL,
    subscriber_id bigint NOT NULL
);

CREATE TABLE subscribers (
    id bigint NOT NULL,
    email text NOT NULL,
    email_normal text NOT NULL,
    state text DEFAULT 'unconfirmed'::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    confirmed_at timestamp with time zone,
    active_at timestamp with time zone,
    unsubscribed_at timestamp with time zone,
    unsubscribe_reason text DEFAULT ''::text NOT NULL,
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
    CONSTRAINT subscribers_metadata_check CHECK ((jsonb_typeof(metadata) = 'object'::text)),
    CONSTRAINT subscribers_state_check CHECK ((state = ANY (ARRAY['unconfirmed'::text, 'active'::text, 'unsubscribed'::text])))
)
WITH (fillfactor='90', autovacuum_vacuum_scale_factor='0.05', autovacuum_analyze_scale_factor='0.02');

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
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    label text DEFAULT ''::text NOT NULL
);

ALTER TABLE tags ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;

CREATE TABLE tallies (
    kind text NOT NULL,
    key text NOT NULL,
    number bigint NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='1000');

CREATE TABLE test_emails (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    email_normal text NOT NULL,
    source text NOT NULL,
    issue_key text NOT NULL,
    number smallint NOT NULL,
    variant text DEFAULT ''::text NOT NULL,
    digest text NOT NULL,
    state text DEFAULT 'claimed'::text NOT NULL,
    message_id text DEFAULT ''::text NOT NULL,
    detail text DEFAULT ''::text NOT NULL,
    CONSTRAINT test_emails_state_check CHECK ((state = ANY (ARRAY['claimed'::text, 'accepted'::text, 'failed'::text, 'uncertain'::text, 'skipped'::text, 'delivered'::text, 'bounced'::text, 'complained'::text])))
);

ALTER TABLE test_emails ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;

CREATE TABLE transactional_email_events (
    email_id bigint NOT NULL,
    kind text NOT NULL,
    at timestamp with time zone NOT NULL,
    subtype text DEFAULT ''::text NOT NULL,
    detail text DEFAULT ''::text NOT NULL,
    recorded_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE transactional_emails (
    id bigint NOT NULL,
    kind text NOT NULL,
    topic text DEFAULT ''::text NOT NULL,
    facts jsonb DEFAULT '{}'::jsonb NOT NULL,
    once text,
    subscriber_id bigint,
    state text DEFAULT 'pending'::text NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    claimed_at timestamp with time zone,
    claimed_by uuid,
    settled_at timestamp with time zone,
    message_id text,
    detail text DEFAULT ''::text NOT NULL,
    event_kind text DEFAULT ''::text NOT NULL,
    CONSTRAINT transactional_emails_state_check CHECK ((state = ANY (ARRAY['held'::text, 'pending'::text, 'claimed'::text, 'accepted'::text, 'delivered'::text, 'skipped'::text, 'failed'::text, 'bounced'::text, 'complained'::text, 'uncertain'::text])))
)
WITH (fillfactor='70', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='10000');

ALTER TABLE transactional_emails ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;

CREATE TABLE unknown_events (
    day date NOT NULL,
    kind text NOT NULL,
    number bigint NOT NULL
);

CREATE TABLE uploaded_editions (
    digest text NOT NULL,
    edition bytea NOT NULL,
    used_at timestamp with time zone DEFAULT now() NOT NULL,
    issue_key text DEFAULT ''::text NOT NULL
);

CREATE TABLE warmup (
    single boolean DEFAULT true NOT NULL,
    first_volume integer NOT NULL,
    days integer NOT NULL,
    target integer NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT warmup_days_check CHECK ((days >= 2)),
    CONSTRAINT warmup_first_volume_check CHECK ((first_volume >= 1)),
    CONSTRAINT warmup_single_check CHECK (single),
    CONSTRAINT warmup_target_check CHECK ((target >= 1))
);

CREATE TABLE warmup_days (
    day date NOT NULL,
    place integer NOT NULL,
    volume integer NOT NULL,
    used integer DEFAULT 0 NOT NULL,
    watched_since timestamp with time zone DEFAULT now() NOT NULL,
    used_before integer DEFAULT 0 NOT NULL,
    paused_until timestamp with time zone,
    reason text DEFAULT ''::text NOT NULL,
    CONSTRAINT warmup_days_place_check CHECK ((place >= 0))
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
)
WITH (fillfactor='70', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='20000');

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
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    paused_until timestamp with time zone,
    max_in_flight smallint DEFAULT 1 NOT NULL
);

ALTER TABLE webhooks ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;

CREATE TABLE work_progress (
    kind text NOT NULL,
    moved_at timestamp with time zone NOT NULL
);

ALTER TABLE ONLY events ATTACH PARTITION events_rest DEFAULT;

ALTER TABLE ONLY api_keys
    ADD CONSTRAINT api_keys_hash_key UNIQUE (hash);

ALTER TABLE ONLY api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (id);

ALTER TABLE api_keys
    ADD CONSTRAINT api_keys_scope_check CHECK ((scope = ANY (ARRAY['read'::text, 'subscribers'::text, 'publish'::text, 'review'::text, 'admin'::text]))) NOT VALID;

ALTER TABLE ONLY api_requests
    ADD CONSTRAINT api_requests_pkey PRIMARY KEY (id);

ALTER TABLE ONLY bulk_actions
    ADD CONSTRAINT bulk_actions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY bulk_targets
    ADD CONSTRAINT bulk_targets_pkey PRIMARY KEY (action_id, "position");

ALTER TABLE ONLY charges
    ADD CONSTRAINT charges_pkey PRIMARY KEY (stripe_id);

ALTER TABLE consents
    ADD CONSTRAINT consents_kind_check CHECK ((kind = ANY (ARRAY['requested'::text, 'confirmed'::text, 'unsubscribed'::text, 'added'::text, 'imported'::text, 'address'::text, 'chosen'::text, 'paused'::text, 'resumed'::text, 'unsuppressed'::text]))) NOT VALID;

ALTER TABLE ONLY consents
    ADD CONSTRAINT consents_pkey PRIMARY KEY (id);

ALTER TABLE ONLY customer_deletions
    ADD CONSTRAINT customer_deletions_pkey PRIMARY KEY (customer_id);

ALTER TABLE ONLY customers
    ADD CONSTRAINT customers_pkey PRIMARY KEY (stripe_id);

ALTER TABLE ONLY deliveries
    ADD CONSTRAINT deliveries_pkey PRIMARY KEY (send_id, subscriber_id);

ALTER TABLE delivery_events
    ADD CONSTRAINT delivery_events_kind_check CHECK ((kind = ANY (ARRAY['send'::text, 'delay'::text, 'delivery'::text, 'reject'::text, 'rendering failure'::text, 'automatic reply'::text, 'provider report'::text, 'provider suppression'::text, 'general bounce'::text, 'content bounce'::text, 'soft bounce'::text, 'hard bounce'::text, 'complaint'::text, 'not spam'::text]))) NOT VALID;

ALTER TABLE ONLY delivery_events
    ADD CONSTRAINT delivery_events_pkey PRIMARY KEY (send_id, subscriber_id, kind, at);

ALTER TABLE ONLY delivery_sums
    ADD CONSTRAINT delivery_sums_pkey PRIMARY KEY (send_id, state);

ALTER TABLE ONLY desk_acts
    ADD CONSTRAINT desk_acts_pkey PRIMARY KEY (id);

ALTER TABLE ONLY desk_links
    ADD CONSTRAINT desk_links_pkey PRIMARY KEY (hash);

ALTER TABLE ONLY desk_sessions
    ADD CONSTRAINT desk_sessions_pkey PRIMARY KEY (hash);

ALTER TABLE ONLY digests
    ADD CONSTRAINT digests_pkey PRIMARY KEY (frequency, month);

ALTER TABLE ONLY draft_images
    ADD CONSTRAINT draft_images_digest_key UNIQUE (digest);

ALTER TABLE ONLY draft_images
    ADD CONSTRAINT draft_images_name_key UNIQUE (name);

ALTER TABLE ONLY draft_images
    ADD CONSTRAINT draft_images_pkey PRIMARY KEY (id);

ALTER TABLE ONLY drafts
    ADD CONSTRAINT drafts_key_key UNIQUE (key);

ALTER TABLE ONLY drafts
    ADD CONSTRAINT drafts_pkey PRIMARY KEY (id);

ALTER TABLE ONLY edition_variants
    ADD CONSTRAINT edition_variants_pkey PRIMARY KEY (edition_id, name);

ALTER TABLE ONLY editions
    ADD CONSTRAINT editions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY email_domains
    ADD CONSTRAINT email_domains_pkey PRIMARY KEY (domain);

ALTER TABLE ONLY enrolments
    ADD CONSTRAINT enrolments_pkey PRIMARY KEY (subscriber_id, sequence_id);

ALTER TABLE ONLY entitlements
    ADD CONSTRAINT entitlements_pkey PRIMARY KEY (subscriber_id);

ALTER TABLE ONLY erased
    ADD CONSTRAINT erased_pkey PRIMARY KEY (hash);

ALTER TABLE ONLY events
    ADD CONSTRAINT events_pkey PRIMARY KEY (id, at);

ALTER TABLE ONLY events_rest
    ADD CONSTRAINT events_rest_pkey PRIMARY KEY (id, at);

ALTER TABLE ONLY exports
    ADD CONSTRAINT exports_pkey PRIMARY KEY (id);

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

ALTER TABLE ONLY heartbeats
    ADD CONSTRAINT heartbeats_pkey PRIMARY KEY (id);

ALTER TABLE ONLY idempotency
    ADD CONSTRAINT idempotency_pkey PRIMARY KEY (key_id, name);

ALTER TABLE ONLY import_parts
    ADD CONSTRAINT import_parts_pkey PRIMARY KEY (import_id, place);

ALTER TABLE ONLY import_runs
    ADD CONSTRAINT import_runs_pkey PRIMARY KEY (id);

ALTER TABLE ONLY imports
    ADD CONSTRAINT imports_pkey PRIMARY KEY (id);

ALTER TABLE ONLY issue_texts
    ADD CONSTRAINT issue_texts_pkey PRIMARY KEY (key);

ALTER TABLE ONLY issues
    ADD CONSTRAINT issues_pkey PRIMARY KEY (key);

ALTER TABLE ONLY kept_figures
    ADD CONSTRAINT kept_figures_pkey PRIMARY KEY (name);

ALTER TABLE ONLY lifted_suppressions
    ADD CONSTRAINT lifted_suppressions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY limits
    ADD CONSTRAINT limits_pkey PRIMARY KEY (scope, key);

ALTER TABLE ONLY notes
    ADD CONSTRAINT notes_pkey PRIMARY KEY (id);

ALTER TABLE ONLY notices
    ADD CONSTRAINT notices_pkey PRIMARY KEY (id);

ALTER TABLE ONLY queue_samples
    ADD CONSTRAINT queue_samples_pkey PRIMARY KEY (kind, at);

ALTER TABLE ONLY receipts
    ADD CONSTRAINT receipts_pkey PRIMARY KEY (send_id);

ALTER TABLE ONLY rejected_events
    ADD CONSTRAINT rejected_events_pkey PRIMARY KEY (digest);

ALTER TABLE ONLY resource_claims
    ADD CONSTRAINT resource_claims_pkey PRIMARY KEY (path);

ALTER TABLE ONLY restore_journal
    ADD CONSTRAINT restore_journal_pkey PRIMARY KEY (id);

ALTER TABLE ONLY reviewers
    ADD CONSTRAINT reviewers_email_normal_key UNIQUE (email_normal);

ALTER TABLE ONLY reviewers
    ADD CONSTRAINT reviewers_pkey PRIMARY KEY (id);

ALTER TABLE ONLY scanner_visits
    ADD CONSTRAINT scanner_visits_pkey PRIMARY KEY (subscriber_id, send_id, email_id);

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

ALTER TABLE ONLY sequence_emails
    ADD CONSTRAINT sequence_emails_pkey PRIMARY KEY (subscriber_id, step_id);

ALTER TABLE ONLY sequence_steps
    ADD CONSTRAINT sequence_steps_pkey PRIMARY KEY (id);

ALTER TABLE ONLY sequence_steps
    ADD CONSTRAINT sequence_steps_sequence_id_key_key UNIQUE (sequence_id, key);

ALTER TABLE ONLY sequences
    ADD CONSTRAINT sequences_name_key UNIQUE (name);

ALTER TABLE ONLY sequences
    ADD CONSTRAINT sequences_pkey PRIMARY KEY (id);

ALTER TABLE ONLY signup_minutes
    ADD CONSTRAINT signup_minutes_pkey PRIMARY KEY (minute);

ALTER TABLE ONLY sns_messages
    ADD CONSTRAINT sns_messages_pkey PRIMARY KEY (id);

ALTER TABLE ONLY standstills
    ADD CONSTRAINT standstills_pkey PRIMARY KEY (name);

ALTER TABLE ONLY stripe_account
    ADD CONSTRAINT stripe_account_pkey PRIMARY KEY (single);

ALTER TABLE ONLY stripe_events
    ADD CONSTRAINT stripe_events_pkey PRIMARY KEY (id);

ALTER TABLE ONLY subscriber_tags
    ADD CONSTRAINT subscriber_tags_pkey PRIMARY KEY (tag, subscriber_id);

ALTER TABLE ONLY subscribers
    ADD CONSTRAINT subscribers_email_normal_key UNIQUE (email_normal);

ALTER TABLE subscribers
    ADD CONSTRAINT subscribers_frequency_check CHECK ((frequency = ANY (ARRAY['every'::text, 'weekly'::text, 'monthly'::text]))) NOT VALID;

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

ALTER TABLE ONLY test_emails
    ADD CONSTRAINT test_emails_pkey PRIMARY KEY (id);

ALTER TABLE transactional_email_events
    ADD CONSTRAINT transactional_email_events_kind_check CHECK ((kind = ANY (ARRAY['send'::text, 'delay'::text, 'delivery'::text, 'reject'::text, 'rendering failure'::text, 'automatic reply'::text, 'provider report'::text, 'provider suppression'::text, 'general bounce'::text, 'content bounce'::text, 'soft bounce'::text, 'hard bounce'::text, 'complaint'::text, 'not spam'::text]))) NOT VALID;

ALTER TABLE ONLY transactional_email_events
    ADD CONSTRAINT transactional_email_events_pkey PRIMARY KEY (email_id, kind, at);

ALTER TABLE transactional_emails
    ADD CONSTRAINT transactional_emails_kind_check CHECK ((kind = ANY (ARRAY['confirmation'::text, 'paid'::text, 'report'::text]))) NOT VALID;

ALTER TABLE ONLY transactional_emails
    ADD CONSTRAINT transactional_emails_pkey PRIMARY KEY (id);

ALTER TABLE transactional_emails
    ADD CONSTRAINT transactional_emails_subscriber_check CHECK (((subscriber_id IS NOT NULL) OR (kind = 'report'::text))) NOT VALID;

ALTER TABLE ONLY unknown_events
    ADD CONSTRAINT unknown_events_pkey PRIMARY KEY (day, kind);

ALTER TABLE ONLY uploaded_editions
    ADD CONSTRAINT uploaded_editions_pkey PRIMARY KEY (digest);

ALTER TABLE ONLY warmup_days
    ADD CONSTRAINT warmup_days_pkey PRIMARY KEY (day);

ALTER TABLE ONLY warmup
    ADD CONSTRAINT warmup_pkey PRIMARY KEY (single);

ALTER TABLE ONLY webhook_attempts
    ADD CONSTRAINT webhook_attempts_pkey PRIMARY KEY (id);

ALTER TABLE ONLY webhook_messages
    ADD CONSTRAINT webhook_messages_pkey PRIMARY KEY (id);

ALTER TABLE ONLY webhooks
    ADD CONSTRAINT webhooks_pkey PRIMARY KEY (id);

ALTER TABLE ONLY work_progress
    ADD CONSTRAINT work_progress_pkey PRIMARY KEY (kind);

CREATE UNIQUE INDEX api_keys_by_name ON api_keys USING btree (name) WHERE (revoked_at IS NULL);

CREATE INDEX api_requests_by_age ON api_requests USING btree (at);

CREATE INDEX charges_by_intent ON charges USING btree (intent) WHERE (intent <> ''::text);

CREATE INDEX charges_by_subscription ON charges USING btree (subscription_id);

CREATE INDEX consents_by_subscriber ON consents USING btree (subscriber_id, at);

CREATE INDEX consents_former_addresses ON consents USING btree (lower((evidence ->> 'before'::text))) WHERE (kind = 'address'::text);

CREATE INDEX customer_deletions_open ON customer_deletions USING btree (due_at) WHERE (done_at IS NULL);

CREATE INDEX customers_by_subscriber ON customers USING btree (subscriber_id);

CREATE INDEX customers_with_email_due ON customers USING btree (email_due_at) WHERE (email_due_at IS NOT NULL);

CREATE INDEX deliveries_by_message ON deliveries USING hash (message_id) WHERE (message_id IS NOT NULL);

CREATE INDEX deliveries_by_subscriber ON deliveries USING btree (subscriber_id);

CREATE INDEX deliveries_claimed ON deliveries USING btree (claimed_at) WHERE (state = 'claimed'::text);

CREATE UNIQUE INDEX deliveries_once ON deliveries USING btree (send_id, address_hash) WHERE (address_hash IS NOT NULL);

CREATE INDEX deliveries_pending ON deliveries USING btree (send_id, wave, subscriber_id) WHERE (state = 'pending'::text);

CREATE INDEX deliveries_uncertain ON deliveries USING btree (send_id, subscriber_id) WHERE (state = 'uncertain'::text);

CREATE INDEX delivery_events_complaints ON delivery_events USING btree (subscriber_id) WHERE (kind = ANY (ARRAY['complaint'::text, 'not spam'::text]));

CREATE INDEX delivery_events_not_hard ON delivery_events USING btree (subscriber_id, at) WHERE (kind = ANY (ARRAY['soft bounce'::text, 'general bounce'::text]));

CREATE INDEX enrolments_due ON enrolments USING btree (step_id, due_at) WHERE (ended_at IS NULL);

CREATE INDEX entitlements_running_out ON entitlements USING btree (until) WHERE (premium AND (until IS NOT NULL));

CREATE INDEX events_by_send ON ONLY events USING btree (send_id, id) WHERE (send_id IS NOT NULL);

CREATE INDEX events_by_subscriber ON ONLY events USING btree (subscriber_id, id) WHERE (subscriber_id IS NOT NULL);

CREATE INDEX events_by_type ON ONLY events USING btree (type, id);

CREATE INDEX events_rest_send_id_id_idx ON events_rest USING btree (send_id, id) WHERE (send_id IS NOT NULL);

CREATE INDEX events_rest_subscriber_id_id_idx ON events_rest USING btree (subscriber_id, id) WHERE (subscriber_id IS NOT NULL);

CREATE INDEX events_rest_type_id_idx ON events_rest USING btree (type, id);

CREATE INDEX gifts_by_intent ON gifts USING btree (intent) WHERE (intent <> ''::text);

CREATE INDEX gifts_by_subscriber ON gifts USING btree (subscriber_id);

CREATE INDEX grants_by_subscriber ON grants USING btree (subscriber_id);

CREATE INDEX heartbeats_by_age ON heartbeats USING btree (seen_at);

CREATE INDEX idempotency_by_age ON idempotency USING btree (at);

CREATE INDEX inbox_emails_by_inbox ON inbox_emails USING btree (inbox, created_at);

CREATE INDEX issues_by_digest ON issues USING btree (digest);

CREATE INDEX lifted_suppressions_by_email ON lifted_suppressions USING btree (email_normal, lifted_at);

CREATE INDEX lifted_suppressions_due ON lifted_suppressions USING btree (ses_due_at) WHERE (ses_due_at IS NOT NULL);

CREATE INDEX limits_by_age ON limits USING btree (used_until);

CREATE INDEX notes_by_model ON notes USING btree (model_type, model_id, id);

CREATE INDEX notices_open ON notices USING btree (id) WHERE (posted_at IS NULL);

CREATE INDEX restore_journal_by_subscriber ON restore_journal USING btree (subscriber_id) WHERE (subscriber_id IS NOT NULL);

CREATE INDEX restore_journal_by_xid ON restore_journal USING btree (xid);

CREATE UNIQUE INDEX sends_continuous ON sends USING btree (step_id) WHERE continuous;

CREATE INDEX sns_messages_by_age ON sns_messages USING btree (at);

CREATE INDEX stripe_events_open ON stripe_events USING btree (due_at) WHERE (done_at IS NULL);

CREATE INDEX subscribers_by_age ON subscribers USING btree (created_at);

CREATE INDEX subscribers_by_any_tag ON subscribers USING gin (tags) WITH (gin_pending_list_limit='256');

CREATE INDEX subscribers_by_metadata ON subscribers USING gin (metadata jsonb_path_ops) WITH (gin_pending_list_limit='256') WHERE (metadata <> '{}'::jsonb);

CREATE INDEX subscribers_by_tag ON subscribers USING gin (tags) WITH (gin_pending_list_limit='256') WHERE (state = 'active'::text);

CREATE INDEX subscribers_monthly ON subscribers USING btree (id) WHERE (frequency = 'monthly'::text);

CREATE INDEX subscribers_paused ON subscribers USING btree (paused_until) WHERE (paused_until IS NOT NULL);

CREATE INDEX subscriptions_by_customer ON subscriptions USING btree (customer_id);

CREATE INDEX subscriptions_by_subscriber ON subscriptions USING btree (subscriber_id);

CREATE INDEX subscriptions_resuming ON subscriptions USING btree (resumes_at) WHERE (resumes_at IS NOT NULL);

CREATE INDEX tallies_by_key ON tallies USING btree (kind, key);

CREATE INDEX test_emails_by_digest ON test_emails USING btree (digest);

CREATE INDEX test_emails_by_time ON test_emails USING btree (at);

CREATE INDEX transactional_emails_by_message ON transactional_emails USING hash (message_id) WHERE (message_id IS NOT NULL);

CREATE INDEX transactional_emails_by_subscriber ON transactional_emails USING btree (subscriber_id, created_at);

CREATE INDEX transactional_emails_held ON transactional_emails USING btree (id) WHERE (state = 'held'::text);

CREATE UNIQUE INDEX transactional_emails_once ON transactional_emails USING btree (once) WHERE (once IS NOT NULL);

CREATE INDEX transactional_emails_open ON transactional_emails USING btree (id) WHERE (state = ANY (ARRAY['pending'::text, 'claimed'::text]));

CREATE INDEX uploaded_editions_by_age ON uploaded_editions USING btree (used_at);

CREATE INDEX webhook_attempts_by_message ON webhook_attempts USING btree (message_id, id);

CREATE INDEX webhook_messages_by_webhook ON webhook_messages USING btree (webhook_id, id);

CREATE INDEX webhook_messages_claimed ON webhook_messages USING btree (webhook_id, claimed_at) WHERE (state = 'claimed'::text);

CREATE INDEX webhook_messages_pending ON webhook_messages USING btree (webhook_id, due_at) WHERE (state = 'pending'::text);

ALTER INDEX events_pkey ATTACH PARTITION events_rest_pkey;

ALTER INDEX events_by_send ATTACH PARTITION events_rest_send_id_id_idx;

ALTER INDEX events_by_subscriber ATTACH PARTITION events_rest_subscriber_id_id_idx;

ALTER INDEX events_by_type ATTACH PARTITION events_rest_type_id_idx;

CREATE TRIGGER delivery_events_told AFTER INSERT ON delivery_events REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION delivery_told();

CREATE TRIGGER desk_acts_stay BEFORE DELETE OR UPDATE ON desk_acts FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER entitlements_enrol AFTER INSERT OR UPDATE ON entitlements FOR EACH ROW EXECUTE FUNCTION enrol_entitled();

CREATE TRIGGER erased_journal AFTER INSERT OR DELETE OR UPDATE ON erased FOR EACH ROW EXECUTE FUNCTION journal_erased();

CREATE TRIGGER events_stay BEFORE DELETE OR UPDATE ON events FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER events_tally AFTER INSERT ON events REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION tally_events();

CREATE TRIGGER events_told AFTER INSERT ON events REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION events_to_webhooks();

CREATE TRIGGER lifted_suppressions_journal AFTER INSERT ON lifted_suppressions FOR EACH ROW WHEN ((new.reason <> ''::text)) EXECUTE FUNCTION journal_suppressions();

CREATE TRIGGER receipts_stay BEFORE DELETE OR UPDATE ON receipts FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER sends_changed AFTER INSERT OR UPDATE OF state ON sends FOR EACH ROW EXECUTE FUNCTION send_changed();

CREATE TRIGGER sends_journal AFTER UPDATE OF started_at ON sends FOR EACH ROW WHEN (((old.started_at IS NULL) AND (new.started_at IS NOT NULL))) EXECUTE FUNCTION journal_send();

CREATE TRIGGER subscribers_came AFTER INSERT ON subscribers REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION reader_came();

CREATE TRIGGER subscribers_changed AFTER UPDATE ON subscribers REFERENCING OLD TABLE AS removed NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION reader_changed();

CREATE TRIGGER subscribers_enrol AFTER UPDATE ON subscribers REFERENCING OLD TABLE AS removed NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION enrol_changed();

CREATE TRIGGER subscribers_journal AFTER UPDATE ON subscribers FOR EACH ROW WHEN (((old.state <> new.state) OR (old.email_normal <> new.email_normal) OR ((old.erased_at IS NULL) AND (new.erased_at IS NOT NULL)))) EXECUTE FUNCTION journal_subscriber();

CREATE TRIGGER subscribers_tally_added AFTER INSERT ON subscribers REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION tally_added();

CREATE TRIGGER subscribers_tally_changed AFTER UPDATE ON subscribers REFERENCING OLD TABLE AS removed NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION tally_changed();

CREATE TRIGGER subscribers_tally_removed AFTER DELETE ON subscribers REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION tally_removed();

CREATE TRIGGER subscribers_wipe BEFORE UPDATE OF erased_at ON subscribers FOR EACH ROW WHEN (((new.erased_at IS NOT NULL) AND (old.erased_at IS NULL))) EXECUTE FUNCTION wipe_added_columns();

CREATE TRIGGER suppressions_journal AFTER INSERT OR UPDATE ON suppressions FOR EACH ROW EXECUTE FUNCTION journal_suppressions();

CREATE TRIGGER suppressions_lifted AFTER INSERT ON lifted_suppressions REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION suppression_lifted();

CREATE TRIGGER transactional_mail_events_told AFTER INSERT ON transactional_email_events REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION single_mail_told();

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

ALTER TABLE ONLY delivery_sums
    ADD CONSTRAINT delivery_sums_send_id_fkey FOREIGN KEY (send_id) REFERENCES sends(id);

ALTER TABLE ONLY edition_variants
    ADD CONSTRAINT edition_variants_edition_id_fkey FOREIGN KEY (edition_id) REFERENCES editions(id);

ALTER TABLE ONLY editions
    ADD CONSTRAINT editions_issue_key_fkey FOREIGN KEY (issue_key) REFERENCES issues(key);

ALTER TABLE ONLY enrolments
    ADD CONSTRAINT enrolments_sequence_id_fkey FOREIGN KEY (sequence_id) REFERENCES sequences(id);

ALTER TABLE ONLY enrolments
    ADD CONSTRAINT enrolments_step_id_fkey FOREIGN KEY (step_id) REFERENCES sequence_steps(id);

ALTER TABLE ONLY enrolments
    ADD CONSTRAINT enrolments_subscriber_id_fkey FOREIGN KEY (subscriber_id) REFERENCES subscribers(id);

ALTER TABLE ONLY entitlements
    ADD CONSTRAINT entitlements_subscriber_id_fkey FOREIGN KEY (subscriber_id) REFERENCES subscribers(id) ON DELETE CASCADE;

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

ALTER TABLE ONLY issue_texts
    ADD CONSTRAINT issue_texts_key_fkey FOREIGN KEY (key) REFERENCES issues(key) ON DELETE CASCADE;

ALTER TABLE ONLY receipts
    ADD CONSTRAINT receipts_send_id_fkey FOREIGN KEY (send_id) REFERENCES sends(id);

ALTER TABLE ONLY scanner_visits
    ADD CONSTRAINT scanner_visits_subscriber_id_fkey FOREIGN KEY (subscriber_id) REFERENCES subscribers(id) ON DELETE CASCADE;

ALTER TABLE ONLY sends
    ADD CONSTRAINT sends_edition_id_fkey FOREIGN KEY (edition_id) REFERENCES editions(id);

ALTER TABLE ONLY sends
    ADD CONSTRAINT sends_issue_key_fkey FOREIGN KEY (issue_key) REFERENCES issues(key);

ALTER TABLE ONLY sequence_emails
    ADD CONSTRAINT sequence_emails_send_id_fkey FOREIGN KEY (send_id) REFERENCES sends(id);

ALTER TABLE ONLY sequence_emails
    ADD CONSTRAINT sequence_emails_step_id_fkey FOREIGN KEY (step_id) REFERENCES sequence_steps(id);

ALTER TABLE ONLY sequence_emails
    ADD CONSTRAINT sequence_emails_subscriber_id_fkey FOREIGN KEY (subscriber_id) REFERENCES subscribers(id);

ALTER TABLE ONLY sequence_steps
    ADD CONSTRAINT sequence_steps_sequence_id_fkey FOREIGN KEY (sequence_id) REFERENCES sequences(id);

ALTER TABLE ONLY subscriptions
    ADD CONSTRAINT subscriptions_subscriber_id_fkey FOREIGN KEY (subscriber_id) REFERENCES subscribers(id) ON DELETE SET NULL;

ALTER TABLE ONLY transactional_emails
    ADD CONSTRAINT transactional_emails_subscriber_id_fkey FOREIGN KEY (subscriber_id) REFERENCES subscribers(id) ON DELETE CASCADE;

ALTER TABLE ONLY webhook_attempts
    ADD CONSTRAINT webhook_attempts_message_id_fkey FOREIGN KEY (message_id) REFERENCES webhook_messages(id) ON DELETE CASCADE;

ALTER TABLE ONLY webhook_messages
    ADD CONSTRAINT webhook_messages_webhook_id_fkey FOREIGN KEY (webhook_id) REFERENCES webhooks(id) ON DELETE CASCADE;
