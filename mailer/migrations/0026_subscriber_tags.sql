-- Who has a tag, in the order of entry: a list by tag reads only the rows that it shows, however long ago they got the tag. The
-- array in subscribers stays the truth; the triggers that count its tags keep this table too.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE subscriber_tags (
    tag text NOT NULL,
    subscriber_id bigint NOT NULL,                 -- no foreign key: checking one would cost each row another lookup
    PRIMARY KEY (tag, subscriber_id)
);

CREATE OR REPLACE FUNCTION tally_added() RETURNS trigger LANGUAGE plpgsql AS $$
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
        INSERT INTO subscriber_tags (tag, subscriber_id)
        SELECT tag, id FROM added, unnest(tags) AS tag WHERE erased_at IS NULL
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION tally_changed() RETURNS trigger LANGUAGE plpgsql AS $$
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
    DELETE FROM subscriber_tags
    USING added JOIN removed USING (id), unnest(removed.tags) AS lost (tag)
    WHERE subscriber_tags.tag = lost.tag AND subscriber_tags.subscriber_id = removed.id
        AND (added.erased_at IS NOT NULL OR lost.tag <> ALL(added.tags));
    INSERT INTO subscriber_tags (tag, subscriber_id)
    SELECT given.tag, added.id FROM added JOIN removed USING (id), unnest(added.tags) AS given (tag)
    WHERE added.erased_at IS NULL AND (removed.erased_at IS NOT NULL OR given.tag <> ALL(removed.tags))
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION tally_removed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tallies (kind, key, number)
    SELECT 'block', (id / 1024)::text, -count(*) FROM removed WHERE erased_at IS NULL GROUP BY 2;
    INSERT INTO tallies (kind, key, number)
    SELECT 'tag', tag, -count(*) FROM removed, unnest(tags) AS tag WHERE erased_at IS NULL GROUP BY 2;
    DELETE FROM subscriber_tags USING removed, unnest(removed.tags) AS lost (tag)
    WHERE subscriber_tags.tag = lost.tag AND subscriber_tags.subscriber_id = removed.id;
    RETURN NULL;
END $$;
