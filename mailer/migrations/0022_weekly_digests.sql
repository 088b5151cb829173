-- A digest a week, beside the one a month: ``month`` is the first day of the digest's month or week.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- squawk-ignore ban-drop-constraint
ALTER TABLE subscribers DROP CONSTRAINT subscribers_frequency_check;
ALTER TABLE subscribers ADD CONSTRAINT subscribers_frequency_check CHECK (
    frequency IN ('every', 'weekly', 'monthly')
) NOT VALID;

-- A small table, with a row a month: rebuilding its key takes no time.
ALTER TABLE digests ADD COLUMN frequency text NOT NULL DEFAULT 'monthly';
-- squawk-ignore ban-drop-constraint
ALTER TABLE digests DROP CONSTRAINT digests_pkey;
-- squawk-ignore adding-serial-primary-key-field, constraint-missing-not-valid, disallowed-unique-constraint
ALTER TABLE digests ADD CONSTRAINT digests_pkey PRIMARY KEY (frequency, month);
