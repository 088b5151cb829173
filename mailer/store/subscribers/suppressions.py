"""Suppressions: addresses that must not be emailed, whoever requests it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from mailer.core.db import Tx

# Conditions on a row of ``subscribers``. No email goes to a suppressed address; issues and digests only to those who want them.
SUPPRESSION = "SELECT FROM suppressions WHERE suppressions.email_normal = subscribers.email_normal"
IS_SUPPRESSED = f"EXISTS ({SUPPRESSION})"
WANTS_EMAILS = f"""subscribers.state = 'active'
    AND (subscribers.paused_until IS NULL OR subscribers.paused_until <= now())
    AND NOT {IS_SUPPRESSED}"""

BOUNCES = ("soft bounces", "hard bounce")
# What an address is suppressed for, mildest first. An event of the same reason renews the suppression; a milder one does not.
RANKED_REASONS = "ARRAY['soft bounces', 'hard bounce', 'operator', 'complaint']"
ALSO_BLOCKED = "blocked by the operator, too"  # the detail of a complaint: the block stays if the complaint is taken back
_RENEWS = f"array_position({RANKED_REASONS}, suppressions.reason) <= array_position({RANKED_REASONS}, excluded.reason)"
_RENEW = f"""
        ON CONFLICT (email_normal) DO UPDATE SET
            reason = CASE WHEN {_RENEWS} THEN excluded.reason ELSE suppressions.reason END,
            created_at = CASE WHEN {_RENEWS} THEN excluded.created_at ELSE suppressions.created_at END,
            detail = CASE
                WHEN suppressions.reason <> excluded.reason AND 'operator' IN (suppressions.reason, excluded.reason)
                    AND 'complaint' IN (suppressions.reason, excluded.reason) THEN '{ALSO_BLOCKED}'
                ELSE suppressions.detail
            END
        WHERE {_RENEWS} OR (excluded.reason = 'operator' AND suppressions.detail <> '{ALSO_BLOCKED}')
"""


def list_blocked(
    tx: Tx, hashes_by_email: Mapping[str, Sequence[bytes]], spare_bounces_after: timedelta | None = None
) -> set[str]:
    """Return those of these normal addresses that are suppressed, or were when they were erased (by any of their hashes).

    Bounces longer than ``spare_bounces_after`` ago do not count.
    """
    pairs = [(email, hash_) for email, hashes in hashes_by_email.items() for hash_ in hashes]
    rows = tx.often_all(
        """
        SELECT email_normal FROM suppressions
        WHERE email_normal = ANY(%(emails)s::text [])
            AND (reason = ANY(%(bounces)s::text []) AND created_at < now() - %(spare)s::interval) IS NOT TRUE
        UNION
        SELECT asked.email
        FROM unnest(%(owners)s::text [], %(hashes)s::bytea []) AS asked (email, hash)
        JOIN erased ON erased.hash = asked.hash
        WHERE erased.reason <> ''
            AND (erased.reason = ANY(%(bounces)s::text []) AND erased.at < now() - %(spare)s::interval) IS NOT TRUE
        """,
        bounces=list(BOUNCES),
        spare=spare_bounces_after,
        emails=list(hashes_by_email),
        owners=[email for email, _ in pairs],
        hashes=[hash_ for _, hash_ in pairs],
    )
    return {row["email_normal"] for row in rows}


@dataclass(frozen=True)
class AddressStatus:
    """What is known of a normal address: its subscriber's id, whether it is suppressed (or was when it was erased), erased, or
    one that a subscriber has changed to another; and the addresses like it that complained.
    """

    subscriber_id: int | None
    is_blocked: bool
    is_erased: bool
    is_former: bool
    complaints: list[str]


@dataclass(frozen=True)
class AddressQuery:
    """A normal address in its forms: its ``own_hashes``, its ``hashes`` with those of its inbox, its ``spellings``, its inbox.

    The inbox has one of the ``domains``, begins with ``first``, and its provider ignores the characters ``ignored``.
    """

    email: str
    own_hashes: list[bytes]
    hashes: list[bytes]
    spellings: list[str]
    domains: list[str]
    first: str
    ignored: str


def find_status(tx: Tx, query: AddressQuery, subscriber_id: int = 0) -> AddressStatus:
    """Return what is known of an address, in one statement; ``is_former`` is about others than this subscriber."""
    row = tx.often(
        f"""
        SELECT
            (SELECT id FROM subscribers WHERE email_normal = %(email)s) AS subscriber_id,
            EXISTS (SELECT FROM suppressions WHERE email_normal = %(email)s)
                OR EXISTS (SELECT FROM erased WHERE hash = ANY(%(hashes)s::bytea []) AND reason <> '') AS is_blocked,
            EXISTS (SELECT FROM erased WHERE hash = ANY(%(own_hashes)s::bytea [])) AS is_erased,
            EXISTS (
                SELECT FROM consents
                WHERE kind = 'address' AND lower(evidence ->> 'before') = ANY(%(spellings)s::text [])
                    AND subscriber_id <> %(id)s
            ) AS is_former,
            ARRAY({_COMPLAINTS}) AS complaints
        """,
        email=query.email,
        own_hashes=query.own_hashes,
        hashes=query.hashes,
        spellings=query.spellings,
        domains=query.domains,
        first=query.first,
        ignored=query.ignored,
        id=subscriber_id,
    )
    assert row
    return AddressStatus(**row)


_COMPLAINTS = """
        SELECT email_normal FROM suppressions
        WHERE reason = 'complaint'
            AND split_part(email_normal, '@', 2) = ANY(%(domains)s::text [])
            AND %(first)s::text IN (left(email_normal, 1), left(translate(email_normal, %(ignored)s::text, ''), 1))
"""


def list_complaints(tx: Tx, domains: Sequence[str], first: str, ignored: str) -> list[str]:
    """Return the addresses that complained, at one of these domains and beginning with this character.

    Their provider ignores the characters ``ignored`` before the @, also at the beginning.
    """
    rows = tx.often_all(_COMPLAINTS, domains=list(domains), first=first, ignored=ignored)
    return [row["email_normal"] for row in rows]


def list_all_complaints(tx: Tx) -> list[str]:
    """Return all addresses that complained."""
    return [row["email_normal"] for row in tx.all("SELECT email_normal FROM suppressions WHERE reason = 'complaint'")]


def add(tx: Tx, email_normals: Sequence[str], reason: str) -> int:
    """Suppress addresses; return how many are new or renewed (a stronger reason stays)."""
    return tx.run(
        f"""
        INSERT INTO suppressions (email_normal, reason)
        SELECT email_normal, %(reason)s FROM unnest(%(emails)s::text []) AS email_normal ORDER BY email_normal
{_RENEW}        """,
        emails=list(email_normals),
        reason=reason,
    )


def add_for_subscribers(tx: Tx, subscriber_ids: Sequence[int], reason: str) -> int:
    """Suppress these subscribers' addresses; return how many are new or renewed (a stronger reason stays)."""
    return tx.run(
        f"""
        INSERT INTO suppressions (email_normal, reason)
        SELECT email_normal, %(reason)s FROM subscribers WHERE id = ANY(%(ids)s::bigint []) ORDER BY email_normal
{_RENEW}        """,
        ids=list(subscriber_ids),
        reason=reason,
    )
