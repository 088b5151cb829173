-- Events that say nothing bad about an address are kinds of their own, and a delivery's state names the event that proved it.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '300s';

ALTER TABLE deliveries ADD COLUMN event_kind text NOT NULL DEFAULT '';
ALTER TABLE transactional_emails ADD COLUMN event_kind text NOT NULL DEFAULT '';
UPDATE deliveries SET event_kind = CASE WHEN detail LIKE 'hard%' THEN 'hard bounce' ELSE 'soft bounce' END
WHERE state = 'bounced';
UPDATE transactional_emails SET event_kind = CASE WHEN detail LIKE 'hard%' THEN 'hard bounce' ELSE 'soft bounce' END
WHERE state = 'bounced';

-- The next statement puts a wider constraint in its place.
-- squawk-ignore ban-drop-constraint
ALTER TABLE delivery_events DROP CONSTRAINT delivery_events_kind_check;
ALTER TABLE delivery_events ADD CONSTRAINT delivery_events_kind_check CHECK (
    kind IN (
        'send', 'delay', 'delivery', 'reject', 'rendering failure', 'automatic reply', 'provider report',
        'provider suppression', 'general bounce', 'content bounce', 'soft bounce', 'hard bounce', 'complaint', 'not spam'
    )
) NOT VALID;
-- squawk-ignore ban-drop-constraint
ALTER TABLE transactional_email_events DROP CONSTRAINT transactional_email_events_kind_check;
ALTER TABLE transactional_email_events ADD CONSTRAINT transactional_email_events_kind_check CHECK (
    kind IN (
        'send', 'delay', 'delivery', 'reject', 'rendering failure', 'automatic reply', 'provider report',
        'provider suppression', 'general bounce', 'content bounce', 'soft bounce', 'hard bounce', 'complaint', 'not spam'
    )
) NOT VALID;

-- Soft bounces that were recorded before: those without a cause are compared with the delivery now.
UPDATE delivery_events SET kind = 'general bounce' WHERE kind = 'soft bounce' AND subtype IN ('General', 'Undetermined');

-- Null: the event is recorded, and is no event of the API and of webhooks.
CREATE OR REPLACE FUNCTION outcome_word(kind text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN kind = 'delivery' THEN 'delivered'
        WHEN kind = 'delay' THEN 'deferred'
        WHEN kind LIKE '% bounce' THEN 'bounced'
        WHEN kind = 'complaint' THEN 'complained'
        WHEN kind = 'send' THEN 'sent'
        WHEN kind IN ('reject', 'rendering failure', 'provider suppression') THEN 'rejected'
    END
$$;

CREATE OR REPLACE FUNCTION delivery_told() RETURNS trigger LANGUAGE plpgsql AS $$
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

CREATE OR REPLACE FUNCTION single_mail_told() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO events (type, subscriber_id, facts)
    SELECT 'subscriber.activation_' || outcome_word(added.kind), transactional_emails.subscriber_id, '{}'
    FROM added JOIN transactional_emails ON transactional_emails.id = added.email_id
    WHERE transactional_emails.kind = 'confirmation' AND added.kind <> 'send' AND outcome_word(added.kind) IS NOT NULL
    ORDER BY added.at;
    RETURN NULL;
END $$;
