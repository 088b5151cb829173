-- Sequences: emails that follow a trigger. A step has one continuous send at a time, to which deliveries are added as they fall due.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE sequences (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,                 -- of its folder
    trigger text NOT NULL CHECK (trigger IN ('confirmed', 'tagged', 'paid', 'trial ends', 'pause over')),
    tag text NOT NULL DEFAULT '',              -- of the trigger ``tagged``
    audience text NOT NULL,                    -- the rule for who is enrolled, read when the first step is due
    stop text NOT NULL DEFAULT '',             -- the rule for who gets no further step
    stop_when_paid boolean NOT NULL DEFAULT false,
    hours text NOT NULL DEFAULT '',            -- such as 08:00-20:00; empty: at any time
    zone text NOT NULL DEFAULT 'UTC',
    state text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'stopped', 'removed')),
    backfilled_at timestamptz,                 -- when the existing subscribers were enrolled, which is done once
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE sequence_steps (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sequence_id bigint NOT NULL REFERENCES sequences (id),
    key text NOT NULL,                         -- stays with the step when it is renumbered
    position integer NOT NULL,
    after interval NOT NULL,                   -- since the step before it, or since the trigger
    removed_at timestamptz,
    UNIQUE (sequence_id, key)
);

-- One row for ever for each subscriber in a sequence, so that nobody is enrolled twice.
CREATE TABLE enrolments (
    subscriber_id bigint NOT NULL REFERENCES subscribers (id),
    sequence_id bigint NOT NULL REFERENCES sequences (id),
    enrolled_at timestamptz NOT NULL DEFAULT now(),
    last_at timestamptz NOT NULL DEFAULT now(),  -- when the step before the next one was queued, or the trigger
    step_id bigint REFERENCES sequence_steps (id),  -- the next one; NULL when there is none
    due_at timestamptz,
    ended_at timestamptz,
    end_reason text NOT NULL DEFAULT '',
    PRIMARY KEY (subscriber_id, sequence_id)
);
CREATE INDEX enrolments_due ON enrolments (step_id, due_at) WHERE ended_at IS NULL;

-- The ledger of steps: nobody gets one twice. Without a send, it was inserted before the one they waited for.
CREATE TABLE sequence_emails (
    subscriber_id bigint NOT NULL REFERENCES subscribers (id),
    step_id bigint NOT NULL REFERENCES sequence_steps (id),
    send_id bigint REFERENCES sends (id),
    queued_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (subscriber_id, step_id)
);

ALTER TABLE issues ADD COLUMN is_step boolean NOT NULL DEFAULT false;
ALTER TABLE sends ADD COLUMN step_id bigint;
ALTER TABLE sends ADD COLUMN continuous boolean NOT NULL DEFAULT false;  -- deliveries are still added
-- squawk-ignore require-concurrent-index-creation
CREATE UNIQUE INDEX sends_continuous ON sends (step_id) WHERE continuous;

-- Imports and restores change subscribers without a trigger having happened: they set postmerge.enrols to 'off'.
CREATE FUNCTION enrol(subscriber bigint, happened text, tag_name text) RETURNS void
LANGUAGE sql AS $$
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
LANGUAGE plpgsql AS $$
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

CREATE TRIGGER subscribers_enrol AFTER UPDATE ON subscribers
REFERENCING OLD TABLE AS removed NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION enrol_changed();

-- Paying counts while it is new: the first reading of a Stripe account brings subscriptions that began long ago.
CREATE FUNCTION enrol_entitled() RETURNS trigger
LANGUAGE plpgsql AS $$
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

CREATE TRIGGER entitlements_enrol AFTER INSERT OR UPDATE ON entitlements
FOR EACH ROW EXECUTE FUNCTION enrol_entitled();
