-- All private links carry their subscriber's epoch: a new address, a refund or a click on "Create new links" ends the older ones.
-- It replaces entitlements.epoch, which the code no longer reads and the next release can drop.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE subscribers ADD COLUMN link_epoch integer NOT NULL DEFAULT 1;

-- Links of the first format count as epoch 1: those sent before a change of address must not open the page.
UPDATE subscribers SET link_epoch = 2 WHERE id IN (SELECT subscriber_id FROM consents WHERE kind = 'address');
