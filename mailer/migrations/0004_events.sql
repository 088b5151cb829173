-- What SES says about mails afterwards: events of deliveries and of single mails, and what could not be read or matched.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- Rows are only ever added; the key makes an event that comes twice change nothing.
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

CREATE TABLE transactional_mail_events (
    mail_id bigint NOT NULL,
    kind text NOT NULL CHECK (
        kind IN (
            'send', 'delay', 'delivery', 'reject', 'rendering failure', 'soft bounce', 'hard bounce', 'complaint'
        )
    ),
    at timestamptz NOT NULL,
    subtype text NOT NULL DEFAULT '',
    detail text NOT NULL DEFAULT '',
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (mail_id, kind, at)
);

-- squawk-ignore ban-drop-constraint
ALTER TABLE transactional_mails DROP CONSTRAINT transactional_mails_state_check;
ALTER TABLE transactional_mails ADD CONSTRAINT transactional_mails_state_check CHECK (
    state IN (
        'pending', 'claimed', 'accepted', 'delivered', 'skipped', 'failed', 'bounced', 'complained', 'uncertain'
    )
) NOT VALID;
-- squawk-ignore constraint-missing-not-valid
ALTER TABLE transactional_mails VALIDATE CONSTRAINT transactional_mails_state_check;

-- Events without our tags (notifications of an identity) are matched by SES's id of the message.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX deliveries_by_message ON deliveries USING hash (message_id) WHERE message_id IS NOT NULL;

-- squawk-ignore require-concurrent-index-creation
CREATE INDEX transactional_mails_by_message ON transactional_mails USING hash (message_id)
WHERE message_id IS NOT NULL;

-- What is in doubt is looked for across all sends.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX deliveries_uncertain ON deliveries (send_id, subscriber_id) WHERE state = 'uncertain';

-- Messages that could not be read, kept for the operator; one row for the same message however often it comes.
CREATE TABLE unread_events (
    digest bytea PRIMARY KEY,                  -- SHA-256 of the body
    source text NOT NULL,                      -- sqs, https
    reason text NOT NULL,
    body text NOT NULL,
    times bigint NOT NULL DEFAULT 1,
    first_at timestamptz NOT NULL DEFAULT now(),
    last_at timestamptz NOT NULL DEFAULT now()
);

-- Events about mails that the ledger does not know, counted by day.
CREATE TABLE unknown_events (
    day date NOT NULL,
    kind text NOT NULL,
    number bigint NOT NULL,
    PRIMARY KEY (day, kind)
);

-- Messages of SNS over HTTPS that were taken: none is taken twice. Older ones are refused by their time.
CREATE TABLE sns_messages (
    id text PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX sns_messages_by_age ON sns_messages (at);
