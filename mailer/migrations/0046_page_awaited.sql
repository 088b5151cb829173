-- Since when the start waits for the issue's page, and when it was last looked for: what tells a page that is late from a server that was off.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE sends
    ADD COLUMN page_awaited_since timestamptz,
    ADD COLUMN page_looked_at timestamptz;
