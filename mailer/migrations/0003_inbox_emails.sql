-- Each email that a stranger can cause, by the inbox it goes to: one limit covers every form, page and API call that sends one.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE inbox_emails (
    inbox bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX inbox_emails_by_inbox ON inbox_emails (inbox, created_at);
