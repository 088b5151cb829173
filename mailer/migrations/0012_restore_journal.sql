-- What a restored backup must learn: unsubscribes, changes of address, suppressions, erasures and started sends. Processes copy
-- these rows to the journal beside the fence's half outside the database. Transactions do not commit in the order of ids: the
-- number of its transaction in each row tells from which on a process has to look again.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE restore_journal (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    at timestamptz NOT NULL DEFAULT now(),
    kind text NOT NULL CONSTRAINT restore_journal_kind_check CHECK (
        kind IN ('state', 'address', 'erased', 'suppression', 'erased address', 'send')
    ),
    subscriber_id bigint,
    email_normal text NOT NULL DEFAULT '',
    hash bytea,
    detail text NOT NULL DEFAULT ''
);
CREATE INDEX restore_journal_by_xid ON restore_journal (xid);
CREATE INDEX restore_journal_by_subscriber ON restore_journal (subscriber_id) WHERE subscriber_id IS NOT NULL;

-- Of an erased subscriber, only the keyed hash remains, which the row of ``erased`` brings.
CREATE FUNCTION journal_subscriber() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.erased_at IS NOT NULL THEN
        IF OLD.erased_at IS NULL THEN
            DELETE FROM restore_journal
            WHERE subscriber_id = NEW.id OR (kind = 'suppression' AND email_normal = OLD.email_normal);
            INSERT INTO restore_journal (kind, subscriber_id) VALUES ('erased', NEW.id);
        END IF;
        RETURN NULL;
    END IF;
    IF OLD.email_normal <> NEW.email_normal THEN
        INSERT INTO restore_journal (kind, subscriber_id, email_normal, detail)
        VALUES ('address', NEW.id, OLD.email_normal, NEW.email);
    END IF;
    IF OLD.state <> NEW.state AND 'unsubscribed' IN (OLD.state, NEW.state) THEN
        INSERT INTO restore_journal (kind, subscriber_id, email_normal, detail)
        VALUES ('state', NEW.id, NEW.email_normal, NEW.state);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER subscribers_journal AFTER UPDATE ON subscribers FOR EACH ROW
WHEN (
    old.state <> new.state OR old.email_normal <> new.email_normal
    OR (old.erased_at IS NULL AND new.erased_at IS NOT NULL)
)
EXECUTE FUNCTION journal_subscriber();

-- A suppression of '' is one that was lifted.
CREATE FUNCTION journal_suppressions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO restore_journal (kind, email_normal, detail)
    VALUES ('suppression', NEW.email_normal, CASE WHEN TG_TABLE_NAME = 'suppressions' THEN NEW.reason ELSE '' END);
    RETURN NULL;
END $$;
CREATE TRIGGER suppressions_journal AFTER INSERT OR UPDATE ON suppressions FOR EACH ROW EXECUTE FUNCTION journal_suppressions();
CREATE TRIGGER lifted_suppressions_journal AFTER INSERT ON lifted_suppressions FOR EACH ROW WHEN (new.reason <> '')
EXECUTE FUNCTION journal_suppressions();

-- 'forgotten': the person subscribed again.
CREATE FUNCTION journal_erased() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO restore_journal (kind, hash, detail) VALUES ('erased address', OLD.hash, 'forgotten');
    ELSE
        INSERT INTO restore_journal (kind, hash, detail) VALUES ('erased address', NEW.hash, NEW.reason);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER erased_journal AFTER INSERT OR UPDATE OR DELETE ON erased FOR EACH ROW EXECUTE FUNCTION journal_erased();

CREATE FUNCTION journal_send() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO restore_journal (kind, detail)
    SELECT 'send', jsonb_build_object(
        'key', issues.key, 'path', issues.path, 'title', issues.title, 'dated', issues.dated, 'url', issues.url,
        'digest', issues.digest, 'number', NEW.edition_number, 'send', NEW.id
    )
    FROM issues WHERE issues.key = NEW.issue_key;
    RETURN NULL;
END $$;
CREATE TRIGGER sends_journal AFTER UPDATE OF started_at ON sends FOR EACH ROW
WHEN (old.started_at IS NULL AND new.started_at IS NOT NULL)
EXECUTE FUNCTION journal_send();
