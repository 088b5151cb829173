-- Warm-up: the plan by which the daily volume of sends grows, and the days so far. Without a row in ``warmup`` it is off.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE warmup (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    first_volume integer NOT NULL CHECK (first_volume >= 1),
    days integer NOT NULL CHECK (days >= 2),
    target integer NOT NULL CHECK (target >= 1),    -- emails on the last day
    started_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE warmup_days (
    day date PRIMARY KEY,                           -- in the site's zone
    place integer NOT NULL CHECK (place >= 0),      -- in the plan; the same again after a day with bad outcomes
    volume integer NOT NULL,
    used integer NOT NULL DEFAULT 0,                -- emails claimed, without those that never left
    watched_since timestamptz NOT NULL DEFAULT now(),
    used_before integer NOT NULL DEFAULT 0,         -- ``used`` at ``watched_since``
    paused_until timestamptz,
    reason text NOT NULL DEFAULT ''                 -- what was bad; the next day does not grow then
);
