-- An uploaded edition is found by its issue's key too; empty: uploaded before it was kept, and uploaded again when it is needed.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE uploaded_editions ADD COLUMN issue_key text NOT NULL DEFAULT '';

-- The receipt of a finished send, signed once.
CREATE TABLE receipts (
    send_id bigint PRIMARY KEY REFERENCES sends,
    document bytea NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now()
);

CREATE TRIGGER receipts_stay BEFORE DELETE OR UPDATE ON receipts
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
