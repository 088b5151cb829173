-- Customers of erased readers: their subscriptions at Stripe must end, also when Stripe does not answer at that moment.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE farewells (
    customer_id text PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),     -- what was begun later was begun by a person who came back
    due_at timestamptz NOT NULL DEFAULT now(),
    attempts integer NOT NULL DEFAULT 0,
    done_at timestamptz,
    detail text NOT NULL DEFAULT ''
);

CREATE INDEX farewells_open ON farewells (due_at) WHERE done_at IS NULL;
