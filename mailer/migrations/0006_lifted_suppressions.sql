-- Suppressions that ended, as evidence: who lifted each, when and why, and whether SES's own list has been cleared of the address.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE lifted_suppressions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email_normal text NOT NULL,
    reason text NOT NULL,                      -- as in suppressions; empty: only SES listed the address
    detail text NOT NULL DEFAULT '',
    suppressed_at timestamptz NOT NULL,
    lifted_at timestamptz NOT NULL DEFAULT now(),
    lifted_by text NOT NULL,                   -- cli, api, page (a new sign-up), ses, clock
    why text NOT NULL DEFAULT '',              -- in the operator's words
    ses_due_at timestamptz,                    -- when to remove the address from SES's list; null: nothing to do
    ses_outcome text NOT NULL DEFAULT ''       -- what SES answered
);

CREATE INDEX lifted_suppressions_by_email ON lifted_suppressions (email_normal, lifted_at);
CREATE INDEX lifted_suppressions_due ON lifted_suppressions (ses_due_at) WHERE ses_due_at IS NOT NULL;

-- The next statement puts a wider constraint in its place.
-- squawk-ignore ban-drop-constraint
ALTER TABLE consents DROP CONSTRAINT consents_kind_check;
ALTER TABLE consents ADD CONSTRAINT consents_kind_check CHECK (
    kind IN ('requested', 'confirmed', 'unsubscribed', 'added', 'imported', 'address', 'chosen', 'paused', 'resumed', 'unsuppressed')
) NOT VALID;

CREATE FUNCTION suppression_lifted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO events (type, subscriber_id, facts)
    SELECT 'subscriber.type.changed', subscribers.id, jsonb_build_object('from', 'suppressed', 'to', subscribers.state)
    FROM added JOIN subscribers ON subscribers.email_normal = added.email_normal
    WHERE added.reason <> ''
    ORDER BY subscribers.id;
    RETURN NULL;
END $$;

CREATE TRIGGER suppressions_lifted AFTER INSERT ON lifted_suppressions
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION suppression_lifted();
