-- Outcomes with which a stopped send was resumed all the same: from then on its brakes count only what is new.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE sends
    ADD COLUMN excused_mails integer NOT NULL DEFAULT 0,
    ADD COLUMN excused_hard integer NOT NULL DEFAULT 0,
    ADD COLUMN excused_soft integer NOT NULL DEFAULT 0,
    ADD COLUMN excused_complaints integer NOT NULL DEFAULT 0;
