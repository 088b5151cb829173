-- What a receipt shows beside the digest: the text as it was sent, and the commit it was published from. Empty for older editions.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE editions
ADD COLUMN body text NOT NULL DEFAULT '',
ADD COLUMN commit_id text NOT NULL DEFAULT '';

-- Keys that plan and send test emails, for pull requests.
-- squawk-ignore ban-drop-constraint
ALTER TABLE api_keys DROP CONSTRAINT api_keys_scope_check;
ALTER TABLE api_keys ADD CONSTRAINT api_keys_scope_check CHECK (
    scope IN ('read', 'subscribers', 'publish', 'review', 'admin')
) NOT VALID;
