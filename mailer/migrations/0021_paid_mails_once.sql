-- A mail about one matter is queued once, however often that matter is looked at. The table is small when this runs.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- squawk-ignore require-concurrent-index-creation
CREATE UNIQUE INDEX transactional_mails_once ON transactional_mails (once) WHERE once IS NOT NULL;
ALTER TABLE transactional_mails VALIDATE CONSTRAINT transactional_mails_kind_check;
