-- A send keeps the address for replies that it was published with; NULL: published before it was kept.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE sends ADD COLUMN reply_to text;
