-- When everything was last compared with Stripe.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE stripe_account ADD COLUMN reconciled_at timestamptz;
