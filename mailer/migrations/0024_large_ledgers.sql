-- What a ledger of many millions of rows needs: sums of old sends, samples of queues, and vacuum settings. And the request of
-- an event of Stripe, for log lines.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- How many deliveries of a send are in each state: of sends that ended weeks ago, so that lists of sends do not count millions
-- of rows. A change of such a delivery removes the send's rows.
CREATE TABLE delivery_sums (
    send_id bigint NOT NULL REFERENCES sends (id),
    state text NOT NULL,
    number integer NOT NULL,
    PRIMARY KEY (send_id, state)
);

-- How queues were in the last two minutes: whether they grow.
CREATE TABLE queue_samples (
    kind text NOT NULL,                        -- as in work_progress
    at timestamptz NOT NULL,
    due_since timestamptz NOT NULL,            -- of the oldest work
    waiting integer,                           -- rows, up to a limit; null: unknown
    PRIMARY KEY (kind, at)
);

ALTER TABLE stripe_events ADD COLUMN request text NOT NULL DEFAULT '';  -- the id of the HTTP request that brought it

-- By default, a table is vacuumed when a fifth of it changed: of 26 million deliveries, after 17 sends to 100,000 subscribers,
-- whose dead rows every claim would meet in the index of pending ones. Fixed numbers do not wait longer as the ledger grows.
-- A frozen audience is vacuumed too, so that its rows are counted in the index of pending ones alone.
ALTER TABLE deliveries SET (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 100000,
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 20000,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 100000
);

-- Rows are only ever added: the vacuum keeps its visibility map and freezes rows little by little.
ALTER TABLE delivery_events SET (
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 500000,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 200000
);

-- Each row changes its state two to four times within seconds.
ALTER TABLE transactional_emails SET (
    fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000
);
ALTER TABLE webhook_messages SET (
    fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000
);
ALTER TABLE subscribers SET (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02);

-- Small tables that every batch, request or heartbeat changes: each scan reads what the vacuum has not removed yet.
ALTER TABLE tallies SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
ALTER TABLE limits SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
ALTER TABLE sends SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
