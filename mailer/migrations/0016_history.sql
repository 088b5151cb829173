-- Events: the history of each reader and send, written by triggers in the transaction of what they report, whoever writes;
-- and webhooks: who is told, and what was tried.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- Rows are only ever added. Never an address: a reader is a number.
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

-- What no month's partition holds; stays empty while months are made ahead.
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
    secret text NOT NULL,                      -- it signs what we post; a hash could not
    enabled boolean NOT NULL DEFAULT true,
    failing_since timestamptz,
    disabled_reason text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now()
);

-- The outbox: one row for each event and webhook that wants it.
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
    status integer,                            -- null: no answer came
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

CREATE TRIGGER subscribers_came AFTER INSERT ON subscribers
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION reader_came();
CREATE TRIGGER subscribers_changed AFTER UPDATE ON subscribers
REFERENCING OLD TABLE AS removed NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION reader_changed();

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

-- What SES says about a mail, in the same words for issues and for single mails.
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
    SELECT 'subscriber.activation_' || outcome_word(added.kind), transactional_mails.subscriber_id, '{}'
    FROM added JOIN transactional_mails ON transactional_mails.id = added.mail_id
    WHERE transactional_mails.kind = 'confirmation' AND added.kind <> 'send'
    ORDER BY added.at;
    RETURN NULL;
END $$;

CREATE TRIGGER transactional_mail_events_told AFTER INSERT ON transactional_mail_events
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION single_mail_told();
