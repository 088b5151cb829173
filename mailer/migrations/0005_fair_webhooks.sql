-- Each webhook has messages in flight of its own, and pauses while its target fails: a dead target delays no other.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE webhooks
    ADD COLUMN paused_until timestamptz,
    ADD COLUMN max_in_flight smallint NOT NULL DEFAULT 1;  -- more only while the target accepts messages
