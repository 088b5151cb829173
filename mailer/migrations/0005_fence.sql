-- The fence: the ledger's half of a mark whose twin lies outside the database. See flows/fence.py.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE fence (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),  -- one row
    id uuid NOT NULL,                          -- the ledger; a copy that was accepted gets an id of its own
    epoch bigint NOT NULL CHECK (epoch >= 1),  -- counts up with each publish, start and stretch of sending
    place text NOT NULL,                       -- the server and database in which the ledger was accepted
    at timestamptz NOT NULL DEFAULT now()
);
