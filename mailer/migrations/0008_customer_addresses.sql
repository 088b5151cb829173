-- A subscriber's new address is sent to Stripe, where receipts go, and retried until Stripe has it.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE customers ADD COLUMN email_due_at timestamptz; -- NULL: Stripe has the address
ALTER TABLE customers ADD COLUMN email_attempts integer NOT NULL DEFAULT 0;
