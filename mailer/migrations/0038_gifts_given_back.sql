-- A gift whose payment went back is over. Payments are known by their intent at Stripe.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE gifts ADD COLUMN intent text NOT NULL DEFAULT '';
ALTER TABLE gifts ADD COLUMN returned_at timestamptz;
ALTER TABLE charges ADD COLUMN intent text NOT NULL DEFAULT '';

-- Both tables are small when this runs.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX gifts_by_intent ON gifts (intent) WHERE intent <> '';
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX charges_by_intent ON charges (intent) WHERE intent <> '';
