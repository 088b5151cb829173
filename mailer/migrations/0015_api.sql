-- The API: keys with scopes, what is known about how a reader came, tags as things of their own, segments, notes, forms,
-- requests and their idempotency keys, bulk actions, and counts that need no counting.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE api_keys
ADD COLUMN prefix text NOT NULL DEFAULT '',           -- its first letters, to recognise it by
ADD COLUMN scope text NOT NULL DEFAULT 'admin',       -- read < subscribers < admin; publish is apart
ADD COLUMN expires_at timestamptz,
ADD COLUMN last_used_at timestamptz,                  -- exact to some seconds
ADD COLUMN per_minute integer NOT NULL DEFAULT 0;     -- requests; 0: no limit of its own

ALTER TABLE api_keys ADD CONSTRAINT api_keys_scope_check
CHECK (scope IN ('read', 'subscribers', 'publish', 'admin')) NOT VALID;
-- squawk-ignore constraint-missing-not-valid
ALTER TABLE api_keys VALIDATE CONSTRAINT api_keys_scope_check;

ALTER TABLE subscribers
ADD COLUMN notes text NOT NULL DEFAULT '',
ADD COLUMN referrer_url text NOT NULL DEFAULT '',
ADD COLUMN utm_campaign text NOT NULL DEFAULT '',
ADD COLUMN utm_medium text NOT NULL DEFAULT '',
ADD COLUMN utm_source text NOT NULL DEFAULT '',
ADD COLUMN leaving_reason text NOT NULL DEFAULT '';

-- squawk-ignore require-concurrent-index-creation
CREATE INDEX subscribers_by_any_tag ON subscribers USING gin (tags);
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX subscribers_by_age ON subscribers (created_at);

-- A tag's colour and words; which reader has it stands in subscribers.tags. Written by a trigger for each new name.
CREATE TABLE tags (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    color text NOT NULL DEFAULT '#0069FF',
    description text,
    public_description text,
    subscriber_editable boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE segments (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    description text NOT NULL DEFAULT '',
    filters jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE notes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    body text NOT NULL,
    model_type text NOT NULL,
    model_id bigint NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX notes_by_model ON notes (model_type, model_id, id);

-- What came in through the API, without bodies and addresses: the path is the route's pattern.
CREATE TABLE api_requests (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    key_id bigint REFERENCES api_keys (id),
    method text NOT NULL,
    path text NOT NULL,
    status integer NOT NULL,
    source text NOT NULL,
    ip inet
);

CREATE INDEX api_requests_by_age ON api_requests (at);

-- Answers to requests that carried an Idempotency-Key; kept for a day.
CREATE TABLE idempotency (
    key_id bigint NOT NULL REFERENCES api_keys (id),
    name text NOT NULL,
    digest bytea NOT NULL,                     -- SHA-256 of method, path and body
    status integer,                            -- null while the first request is at work
    body text NOT NULL DEFAULT '',
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (key_id, name)
);

CREATE INDEX idempotency_by_age ON idempotency (at);

CREATE TABLE bulk_actions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    type text NOT NULL,
    metadata jsonb NOT NULL,
    state text NOT NULL DEFAULT 'not_started' CHECK (state IN ('not_started', 'in_progress', 'processed', 'failed')),
    created_at timestamptz NOT NULL DEFAULT now(),
    done_at timestamptz
);

-- Counts, as rows to be summed: each statement that changes readers adds its differences, so nobody waits for a shared row.
-- ``block``: readers whose id divided by 1024 is ``key``. ``tag``: readers with the tag ``key``.
CREATE TABLE tallies (
    kind text NOT NULL,
    key text NOT NULL,
    number bigint NOT NULL
);

CREATE INDEX tallies_by_key ON tallies (kind, key);

INSERT INTO tallies (kind, key, number)
SELECT 'block', (id / 1024)::text, count(*) FROM subscribers WHERE erased_at IS NULL GROUP BY 2;
INSERT INTO tallies (kind, key, number)
SELECT 'tag', tag, count(*)
FROM subscribers, unnest(tags) AS tag
WHERE erased_at IS NULL
GROUP BY 2;
INSERT INTO tags (name) SELECT key FROM tallies WHERE kind = 'tag' ORDER BY key;

CREATE FUNCTION tally_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tallies (kind, key, number)
    SELECT 'block', (id / 1024)::text, count(*) FROM added WHERE erased_at IS NULL GROUP BY 2;
    INSERT INTO tallies (kind, key, number)
    SELECT 'tag', tag, count(*) FROM added, unnest(tags) AS tag WHERE erased_at IS NULL GROUP BY 2;
    IF FOUND THEN
        INSERT INTO tags (name)
        SELECT DISTINCT tag FROM added, unnest(tags) AS tag
        WHERE NOT EXISTS (SELECT FROM tags WHERE tags.name = tag) ORDER BY 1
        ON CONFLICT (name) DO NOTHING;
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION tally_removed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tallies (kind, key, number)
    SELECT 'block', (id / 1024)::text, -count(*) FROM removed WHERE erased_at IS NULL GROUP BY 2;
    INSERT INTO tallies (kind, key, number)
    SELECT 'tag', tag, -count(*) FROM removed, unnest(tags) AS tag WHERE erased_at IS NULL GROUP BY 2;
    RETURN NULL;
END $$;

CREATE FUNCTION tally_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM added JOIN removed USING (id)
        WHERE added.tags <> removed.tags OR (added.erased_at IS NULL) <> (removed.erased_at IS NULL)
    ) THEN
        RETURN NULL;
    END IF;
    INSERT INTO tallies (kind, key, number)
    SELECT 'block', (id / 1024)::text, sum(CASE WHEN added.erased_at IS NULL THEN 1 ELSE -1 END)
    FROM added JOIN removed USING (id)
    WHERE (added.erased_at IS NULL) <> (removed.erased_at IS NULL)
    GROUP BY 2;
    INSERT INTO tallies (kind, key, number)
    SELECT 'tag', tag, sum(number)
    FROM (
        SELECT unnest(tags) AS tag, 1 AS number FROM added WHERE erased_at IS NULL
        UNION ALL
        SELECT unnest(tags), -1 FROM removed WHERE erased_at IS NULL
    ) AS both_sides
    GROUP BY 2
    HAVING sum(number) <> 0;
    INSERT INTO tags (name)
    SELECT DISTINCT tag FROM added, unnest(tags) AS tag
    WHERE NOT EXISTS (SELECT FROM tags WHERE tags.name = tag) ORDER BY 1
    ON CONFLICT (name) DO NOTHING;
    RETURN NULL;
END $$;

CREATE TRIGGER subscribers_tally_added AFTER INSERT ON subscribers
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION tally_added();
CREATE TRIGGER subscribers_tally_removed AFTER DELETE ON subscribers
REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION tally_removed();
CREATE TRIGGER subscribers_tally_changed AFTER UPDATE ON subscribers
REFERENCING OLD TABLE AS removed NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION tally_changed();

-- Whoever erases a reader: what this migration added goes too.
CREATE FUNCTION wipe_added_columns() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.notes := '';
    NEW.referrer_url := '';
    NEW.utm_campaign := '';
    NEW.utm_medium := '';
    NEW.utm_source := '';
    NEW.leaving_reason := '';
    DELETE FROM notes WHERE model_type = 'subscriber' AND model_id = NEW.id;
    RETURN NEW;
END $$;

CREATE TRIGGER subscribers_wipe BEFORE UPDATE OF erased_at ON subscribers
FOR EACH ROW WHEN (NEW.erased_at IS NOT NULL AND OLD.erased_at IS NULL) EXECUTE FUNCTION wipe_added_columns();
