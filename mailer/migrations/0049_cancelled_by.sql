-- Who cancelled a send: what a merge cancelled, a merge can arm again; what the operator cancelled stays cancelled.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE sends ADD COLUMN cancelled_by text NOT NULL DEFAULT '' CHECK (cancelled_by IN ('', 'merge', 'operator'));

UPDATE sends
SET cancelled_by = CASE
    WHEN reason IN ('no longer asks to be mailed', 'its issue is gone from the build') THEN 'merge'
    ELSE 'operator'
END
WHERE state = 'cancelled';

-- The address of each issue's page, to notice when another issue would take it.
ALTER TABLE issues ADD COLUMN url text NOT NULL DEFAULT '';
