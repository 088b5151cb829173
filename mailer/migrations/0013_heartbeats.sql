-- Which processes run, when work of each kind last moved, which standstills the operator knows of, and counts for metrics.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE heartbeats (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CONSTRAINT heartbeats_kind_check CHECK (kind IN ('serve', 'worker', 'scheduler', 'events')),
    host text NOT NULL,
    version text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(),
    stopped_at timestamptz,                    -- when it ended in order; null: it runs, or was killed
    backlog_since timestamptz                  -- of events: when SQS got the oldest message of those received lately
);
CREATE INDEX heartbeats_by_age ON heartbeats (seen_at);

CREATE TABLE work_progress (
    kind text PRIMARY KEY,                     -- sends, transactional emails, ...; ping: the last call of POSTMERGE_PING_URL
    moved_at timestamptz NOT NULL
);

CREATE TABLE standstills (
    name text PRIMARY KEY,                     -- worker, scheduler, send 12, ...
    text text NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(),
    told_at timestamptz                        -- when the operator's notice was written
);

-- Any process may post notices: a claim keeps the others from posting the same one.
ALTER TABLE notices ADD COLUMN claimed_at timestamptz;

-- Metrics are sums of tallies too. Kind ``event``: rows of ``events`` by type, and of bounces by kind.
CREATE FUNCTION tally_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tallies (kind, key, number)
    SELECT 'event', concat_ws(' ', type, CASE WHEN type = 'subscriber.bounced' THEN facts ->> 'kind' END), count(*)
    FROM added GROUP BY 2;
    RETURN NULL;
END $$;
CREATE TRIGGER events_tally AFTER INSERT ON events
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION tally_events();
