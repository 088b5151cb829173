-- The operator chose the issue with `publish --issue`: a merge neither cancels its send nor puts it back on its schedule.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE sends ADD COLUMN chosen boolean NOT NULL DEFAULT false;
