"""Imports: a list is staged in a temporary table, judged against the subscribers, and applied. All in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mailer.core.db import Tx, each, json
from mailer.store.subscribers.exports import ESCAPED
from mailer.store.subscribers.suppressions import ALSO_BLOCKED, RANKED_REASONS

_STAGED = """
    number bigint, email text, email_normal text, state text, suppressed text, tags text [], metadata jsonb, lang text,
    created_at timestamptz, confirmed_at timestamptz, unsubscribed_at timestamptz, proof jsonb, hashes bytea [], frequency text,
    flags text [], paused_until timestamptz, active_at timestamptz, suppression jsonb, consents jsonb, notes text,
    referrer_url text, utm_campaign text, utm_medium text, utm_source text, unsubscribe_reason text, wrong text
"""
COLUMNS = tuple(part.split()[0] for part in _STAGED.split(","))

# A list that names a complaint or a block counts, although the address bounced here; a bounce ends by itself.
_IS_STRONGER = (
    f"(known_reason IS NULL OR array_position({RANKED_REASONS}, known_reason) < array_position({RANKED_REASONS}, suppressed))"
)

_JUDGED = f"""
    CREATE TEMP TABLE judged ON COMMIT DROP AS
    WITH looked AS (
        SELECT
            staged.*,
            first_value(staged.number) OVER (
                PARTITION BY staged.email_normal, staged.wrong
                ORDER BY staged.suppressed <> '' DESC, staged.state = 'unsubscribed' DESC, staged.number
            ) AS chosen_number,
            known.id AS known_id, known.state AS known_state, known.unsubscribed_at AS known_unsubscribed_at,
            known.tags AS known_tags, known.metadata AS known_metadata, known.lang AS known_lang,
            coalesce(known.confirmed_at, known.created_at) AS known_since,
            suppressions.reason AS known_reason,
            EXISTS (SELECT FROM erased WHERE erased.hash = ANY(staged.hashes)) AS was_erased,
            moved.email_normal IS NOT NULL AND (known.id IS NULL OR known.state = 'unconfirmed' AND staged.state = 'active')
                AS has_moved,
            complaining.email_normal IS NOT NULL AS has_complained
        FROM staged
        LEFT JOIN subscribers AS known ON known.email_normal = staged.email_normal AND known.erased_at IS NULL
        LEFT JOIN suppressions ON suppressions.email_normal = staged.email_normal
        LEFT JOIN unnest(%(moved)s::text []) AS moved (email_normal) ON moved.email_normal = staged.email_normal
        LEFT JOIN unnest(%(complaining)s::text []) AS complaining (email_normal)
            ON complaining.email_normal = staged.email_normal
    ),

    refused AS (
        SELECT
            *,
            CASE
                WHEN wrong <> '' THEN 'cannot be read'
                WHEN chosen_number <> number THEN 'twice in the file'
                WHEN was_erased THEN 'erased'
                WHEN has_moved AND suppressed = '' AND state IN ('active', 'unconfirmed') THEN 'moved'
                WHEN known_unsubscribed_at IS NOT NULL AND suppressed = '' AND state IN ('active', 'unconfirmed')
                    AND NOT (state = known_state AND unsubscribed_at IS NOT DISTINCT FROM known_unsubscribed_at)
                    THEN 'unsubscribed'
                WHEN (known_reason IS NOT NULL OR has_complained) AND suppressed = '' AND state IN ('active', 'unconfirmed')
                    THEN 'suppressed'
                WHEN state = 'unsubscribed' AND known_state = 'active'
                    AND (unsubscribed_at IS NULL OR unsubscribed_at <= known_since)
                    THEN 'active here'
                ELSE ''
            END AS refusal
        FROM looked
    ),

    weighed AS (
        SELECT
            *,
            state = 'active' AND %(evidence)s AND known_unsubscribed_at IS NULL
            AND (known_state IS NULL OR known_state = 'unconfirmed') AS activates,
            state = 'unsubscribed' AND known_state IN ('unconfirmed', 'active') AS leaves,
            suppressed <> '' AND {_IS_STRONGER} AS suppresses,
            known_id IS NOT NULL AND (NOT tags <@ known_tags) AS tagged,
            known_id IS NOT NULL AND known_metadata || metadata <> known_metadata AS described,
            known_lang = '' AND lang <> '' AS translated
        FROM refused
    )

    SELECT
        *,
        CASE
            WHEN refusal <> '' THEN 'refused'
            WHEN state = '' THEN CASE WHEN suppresses THEN 'new' ELSE 'same' END
            WHEN known_id IS NULL THEN 'new'
            WHEN activates OR leaves OR suppresses OR tagged OR described OR translated THEN 'changed'
            ELSE 'same'
        END AS verdict,
        CASE
            WHEN refusal = 'cannot be read' THEN wrong
            WHEN refusal = 'twice in the file' THEN 'the same address as line ' || chosen_number
            WHEN refusal = 'erased' THEN 'was erased on request: only they can subscribe again'
            WHEN refusal = 'moved' THEN 'the subscriber has changed to another address: only they can subscribe with this one'
            WHEN refusal = 'unsubscribed'
                THEN 'unsubscribed on ' || known_unsubscribed_at::date || ': only they can subscribe again'
            WHEN refusal = 'suppressed' THEN 'is suppressed (' || coalesce(known_reason, 'complaint') || ')'
            WHEN refusal = 'active here' THEN 'is active here, and the file has no later date of unsubscribing'
            ELSE concat_ws(
                ', ',
                CASE WHEN known_id IS NOT NULL AND activates THEN 'becomes active' END,
                CASE WHEN leaves THEN 'unsubscribes' END,
                CASE WHEN suppresses THEN 'is suppressed (' || suppressed || ')' END,
                CASE WHEN tagged THEN 'gains tags' END,
                CASE WHEN described THEN 'metadata' END,
                CASE WHEN translated THEN 'language' END,
                CASE WHEN known_id IS NULL AND state = 'active' AND NOT %(evidence)s THEN 'unconfirmed: no --evidence' END
            )
        END AS why
    FROM weighed
"""


@dataclass(frozen=True)
class JudgedLine:
    """The verdict on one line: new, changed, same or refused, and why."""

    number: int
    email: str
    verdict: str
    why: str


def stage_lines(tx: Tx, file: Any) -> int:
    """Copy lines (COPY text, in the order of COLUMNS) into the temporary table; return how many."""
    tx.script(f"CREATE TEMP TABLE staged ({_STAGED}) ON COMMIT DROP")
    tx.script("SET LOCAL work_mem = '128MB'")
    number = tx.copy(f"COPY staged ({', '.join(COLUMNS)}) FROM STDIN", file)
    tx.script("ANALYZE staged")
    return number


def has_erased(tx: Tx) -> bool:
    """Return whether anybody was ever erased."""
    return bool(tx.value("SELECT EXISTS (SELECT FROM erased)"))


def judge_lines(tx: Tx, evidence: bool, moved: Sequence[str], complaining: Sequence[str] = ()) -> None:
    """Judge each staged line against the current subscribers.

    Of several lines with one address, the one that prevents emails counts, otherwise the first. ``moved`` are normalized
    addresses, without duplicates, that subscribers replaced by others: an old list must not add these again. ``complaining``
    are those of the list whose inbox complained, in whatever spelling.
    """
    tx.run(_JUDGED, evidence=evidence, moved=list(moved), complaining=list(complaining))


def list_new_complaints(tx: Tx) -> list[str]:
    """Return the addresses that complained according to the list, and were not suppressed before."""
    rows = tx.all(
        """
        SELECT email_normal FROM judged
        WHERE (verdict IN ('new', 'changed') OR refusal = 'changed meanwhile') AND suppresses AND suppressed = 'complaint'
        """
    )
    return [row["email_normal"] for row in rows]


def count_verdicts(tx: Tx) -> dict[str, int]:
    """Return the number of lines for each verdict."""
    rows = tx.all("SELECT verdict, count(*) AS number FROM judged GROUP BY verdict")
    return {row["verdict"]: row["number"] for row in rows}


def count_refusals(tx: Tx) -> dict[str, int]:
    """Return the number of refused lines for each kind of reason, most frequent first."""
    rows = tx.all("SELECT refusal, count(*) AS number FROM judged WHERE refusal <> '' GROUP BY refusal ORDER BY 2 DESC, 1")
    return {row["refusal"]: row["number"] for row in rows}


def count_unconfirmed(tx: Tx) -> int:
    """Return how many lines are active in the file and become unconfirmed, because no evidence was given."""
    return int(tx.value("SELECT count(*) FROM judged WHERE verdict = 'new' AND state = 'active' AND NOT activates"))


def list_lines(tx: Tx, limit: int | None, verdicts: tuple[str, ...]) -> list[JudgedLine]:
    """Return the lines with these verdicts in the file's order."""
    rows = tx.all(
        """
        SELECT number, email, verdict, why
        FROM judged
        WHERE verdict = ANY(%(verdicts)s)
        ORDER BY number
        LIMIT %(limit)s
        """,
        verdicts=list(verdicts),
        limit=limit,
    )
    return each(rows, JudgedLine)


def write_report(tx: Tx, file: Any) -> int:
    """Write every line's verdict as CSV; return how many."""
    return tx.copy(
        f"""
        COPY (
            SELECT number AS line, verdict, {ESCAPED.format("why")} AS why, {ESCAPED.format("email")} AS email
            FROM judged
            ORDER BY number
        ) TO STDOUT (FORMAT csv, HEADER)
        """,
        file,
    )


def add_run(tx: Tx, file: str, digest: str, file_format: str, evidence: str, numbers: dict[str, int]) -> int:
    """Record that an import is applied; return its id."""
    return int(
        tx.value(
            """
            INSERT INTO import_runs (file, digest, format, evidence, counts)
            VALUES (%(file)s, %(digest)s, %(format)s, %(evidence)s, %(counts)s)
            RETURNING id
            """,
            file=file,
            digest=digest,
            format=file_format,
            evidence=evidence,
            counts=json(numbers),
        )
    )


def apply_lines(tx: Tx, run_id: int, evidence: str) -> None:
    """Apply the verdicts: new subscribers, changed ones, suppressions, and the evidence for each.

    A line whose subscriber was added or changed since the verdict becomes refused.
    """
    tx.script("SET LOCAL postmerge.enrols = 'off'")  # an import begins no sequence
    tx.script("CREATE TEMP TABLE added (id bigint, email_normal text) ON COMMIT DROP")
    tx.run(_NEW)
    tx.script("ANALYZE added")
    tx.run(_REFUSE_NEW)
    tx.run(_NEW_CONSENTS, run=run_id, evidence=evidence)
    tx.run(_OWN_CONSENTS)
    tx.run(_CHANGED)
    tx.run(_CHANGED_CONSENTS, run=run_id, evidence=evidence)
    tx.run(_SUPPRESSIONS)
    tx.script("ANALYZE subscribers")


def set_counts(tx: Tx, run_id: int, numbers: dict[str, int]) -> None:
    """Record what an import did."""
    tx.run("UPDATE import_runs SET counts = %(counts)s WHERE id = %(id)s", id=run_id, counts=json(numbers))


_NEW = """
    WITH inserted AS (
        INSERT INTO subscribers (
            email, email_normal, state, tags, metadata, lang, frequency, flags, created_at, confirmed_at, unsubscribed_at,
            paused_until, active_at, notes, referrer_url, utm_campaign, utm_medium, utm_source, unsubscribe_reason
        )
        SELECT
            email, email_normal,
            CASE WHEN state = 'active' AND NOT activates THEN 'unconfirmed' ELSE state END,
            tags, metadata, lang, coalesce(frequency, 'every'), coalesce(flags, '{}'),
            CASE WHEN consents IS NULL
                THEN least(now(), coalesce(created_at, confirmed_at, unsubscribed_at, now()))
                ELSE coalesce(created_at, now())
            END,
            CASE
                WHEN activates AND consents IS NULL THEN least(now(), coalesce(confirmed_at, created_at, now()))
                WHEN activates OR state <> 'active' THEN confirmed_at
            END,
            CASE WHEN state = 'unsubscribed' THEN coalesce(unsubscribed_at, now())
                WHEN consents IS NOT NULL THEN unsubscribed_at END,
            paused_until, active_at, coalesce(notes, ''), coalesce(referrer_url, ''), coalesce(utm_campaign, ''),
            coalesce(utm_medium, ''), coalesce(utm_source, ''), coalesce(unsubscribe_reason, '')
        FROM judged
        WHERE verdict = 'new' AND state <> ''
        ORDER BY number
        ON CONFLICT (email_normal) DO NOTHING
        RETURNING id, email_normal
    )

    INSERT INTO added (id, email_normal) SELECT id, email_normal FROM inserted
"""

_REFUSE = "SET verdict = 'refused', refusal = 'changed meanwhile', why = 'changed during the import: import the list again'"

_REFUSE_NEW = f"""
    UPDATE judged {_REFUSE}
    WHERE verdict = 'new' AND state <> '' AND NOT EXISTS (SELECT FROM added WHERE added.email_normal = judged.email_normal)
"""

_NEW_CONSENTS = """
    INSERT INTO consents (subscriber_id, kind, source, evidence)
    SELECT
        added.id, 'imported', 'import',
        judged.proof || jsonb_build_object('import', %(run)s, 'line', judged.number, 'evidence', %(evidence)s)
    FROM added
    JOIN judged ON judged.email_normal = added.email_normal AND judged.verdict = 'new'
    WHERE judged.consents IS NULL
    ORDER BY added.id
"""

_OWN_CONSENTS = """
    INSERT INTO consents (subscriber_id, kind, source, ip, evidence, at)
    SELECT
        added.id, one.value ->> 'kind', one.value ->> 'source', (one.value ->> 'ip')::inet,
        one.value -> 'evidence', (one.value ->> 'at')::timestamptz
    FROM added
    JOIN judged ON judged.email_normal = added.email_normal AND judged.verdict = 'new'
    CROSS JOIN LATERAL jsonb_array_elements(judged.consents) WITH ORDINALITY AS one (value, place)
    WHERE judged.consents IS NOT NULL
    ORDER BY added.id, one.place
"""

_CHANGED_CONSENTS = """
    INSERT INTO consents (subscriber_id, kind, source, evidence)
    SELECT
        known_id, CASE WHEN leaves THEN 'unsubscribed' ELSE 'imported' END, 'import',
        proof || jsonb_build_object('import', %(run)s, 'line', number, 'evidence', %(evidence)s, 'what', why)
    FROM judged
    WHERE verdict = 'changed'
    ORDER BY number
"""

_CHANGED = f"""
    WITH written AS (
        UPDATE subscribers
        SET state = CASE WHEN activates THEN 'active' WHEN leaves THEN 'unsubscribed' ELSE subscribers.state END,
            confirmed_at = CASE
                WHEN activates THEN least(now(), coalesce(judged.confirmed_at, now())) ELSE subscribers.confirmed_at
            END,
            unsubscribed_at = CASE
                WHEN leaves THEN least(now(), coalesce(judged.unsubscribed_at, now())) ELSE subscribers.unsubscribed_at
            END,
            tags = ARRAY(SELECT DISTINCT unnest(subscribers.tags || judged.tags) ORDER BY 1),
            metadata = subscribers.metadata || judged.metadata,
            lang = CASE WHEN translated THEN judged.lang ELSE subscribers.lang END
        FROM judged
        WHERE judged.verdict = 'changed'
            AND subscribers.id = judged.known_id
            AND subscribers.state = judged.known_state
            AND subscribers.unsubscribed_at IS NOT DISTINCT FROM judged.known_unsubscribed_at
        RETURNING subscribers.id
    )

    UPDATE judged {_REFUSE}
    WHERE verdict = 'changed' AND NOT EXISTS (SELECT FROM written WHERE written.id = judged.known_id)
"""

_SUPPRESSIONS = f"""
    INSERT INTO suppressions (email_normal, reason, detail, created_at)
    SELECT
        email_normal, suppressed,
        coalesce(suppression ->> 'detail', 'as the imported list says'),
        coalesce((suppression ->> 'at')::timestamptz, now())
    FROM judged
    WHERE (verdict IN ('new', 'changed') OR refusal = 'changed meanwhile') AND suppresses
    ON CONFLICT (email_normal) DO UPDATE
    SET reason = excluded.reason,
        detail = CASE WHEN suppressions.reason = 'operator' THEN '{ALSO_BLOCKED}' ELSE excluded.detail END,
        created_at = excluded.created_at
    WHERE array_position({RANKED_REASONS}, suppressions.reason) < array_position({RANKED_REASONS}, excluded.reason)
"""
