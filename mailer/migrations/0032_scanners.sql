-- Who opened the link of a mail that no person sees: a program that opens every link. Its clicks are nobody's.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE scanner_visits (
    subscriber_id bigint NOT NULL REFERENCES subscribers (id) ON DELETE CASCADE,
    send_id bigint NOT NULL DEFAULT 0,     -- 0: a single mail
    mail_id bigint NOT NULL DEFAULT 0,     -- of transactional_mails; 0: an issue
    first_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (subscriber_id, send_id, mail_id)
);
