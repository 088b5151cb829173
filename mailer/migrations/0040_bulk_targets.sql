-- Whom a bulk action still has to change: it is done in batches, and whoever dies in between is followed by another.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE bulk_targets (
    action_id bigint NOT NULL REFERENCES bulk_actions (id) ON DELETE CASCADE,
    position integer NOT NULL,
    target text NOT NULL,
    PRIMARY KEY (action_id, position)
);
