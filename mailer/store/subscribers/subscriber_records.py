"""Subscribers as the API shows them: one or a page, filtered and sorted; every value is a parameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from mailer.core.db import PageRange, Question, Tx
from mailer.store.subscribers.suppressions import IS_SUPPRESSED, SUPPRESSION, WANTS_EMAILS


class SubscriberRecord(NamedTuple):
    """A subscriber with related facts. ``history`` is pairs of a moment (ISO 8601) and a kind of consent.

    ``labels`` are the tags as people write them; ``place`` is what a list was sorted by, before the id.
    """

    id: int
    email: str
    email_normal: str
    state: str
    tags: list[str]
    metadata: dict[str, Any]
    notes: str
    referrer_url: str
    utm_campaign: str
    utm_medium: str
    utm_source: str
    unsubscribe_reason: str
    paused: bool
    created_at: datetime
    confirmed_at: datetime | None
    unsubscribed_at: datetime | None
    source: str
    ip: str | None
    suppressed: str
    suppressed_at: datetime | None
    access: str | None
    premium: bool
    upgraded_at: datetime | None
    customer: str | None
    history: list[tuple[str, str]]
    labels: list[str] | None = None
    place: str = ""


@dataclass(frozen=True)
class Condition:
    """SQL with named parameters, and their values."""

    sql: str
    values: Mapping[str, Any]


_PAID = """EXISTS (
    SELECT FROM entitlements
    WHERE entitlements.subscriber_id = subscribers.id AND premium AND until > now() IS NOT FALSE {which}
)"""
# The contract's type of a subscriber, as SQL; the keys are the API's words.
TYPES = {
    "complained": f"EXISTS ({SUPPRESSION} AND reason = 'complaint')",
    "undeliverable": f"EXISTS ({SUPPRESSION} AND reason IN ('hard bounce', 'soft bounces'))",
    "blocked": f"EXISTS ({SUPPRESSION} AND reason = 'operator')",
    "unsubscribed": f"state = 'unsubscribed' AND NOT {IS_SUPPRESSED}",
    "unactivated": f"state = 'unconfirmed' AND NOT {IS_SUPPRESSED}",
    "paused": f"state = 'active' AND paused_until > now() AND NOT {IS_SUPPRESSED}",
    "premium": f"{WANTS_EMAILS} AND " + _PAID.format(which="AND entitlements.state <> 'complimentary'"),
    "gifted": f"{WANTS_EMAILS} AND " + _PAID.format(which="AND entitlements.state = 'complimentary'"),
    "regular": f"{WANTS_EMAILS} AND NOT " + _PAID.format(which=""),
}

_FIRST = """(
    SELECT consents.{column} FROM consents
    WHERE consents.subscriber_id = subscribers.id
    ORDER BY consents.at, consents.id LIMIT 1
)"""
FIRST_SOURCE = _FIRST.format(column="source")
FIRST_IP = _FIRST.format(column="ip")

_RECORD = """
    SELECT
        subscribers.id, subscribers.email, subscribers.email_normal, subscribers.state, subscribers.tags,
        subscribers.metadata, subscribers.notes, subscribers.referrer_url, subscribers.utm_campaign,
        subscribers.utm_medium, subscribers.utm_source, subscribers.unsubscribe_reason,
        coalesce(subscribers.paused_until > now(), false) AS paused,
        subscribers.created_at, subscribers.confirmed_at, subscribers.unsubscribed_at,
        coalesce(past.source, '') AS source, past.ip, coalesce(past.history, '[]')::text AS history,
        coalesce(suppressions.reason, '') AS suppressed, suppressions.created_at AS suppressed_at,
        entitlements.state AS access,
            coalesce(entitlements.premium AND entitlements.until > now() IS NOT FALSE, false) AS premium,
        entitlements.at AS upgraded_at,
        (
            SELECT stripe_id FROM customers
            WHERE customers.subscriber_id = subscribers.id
            ORDER BY customers.at DESC, stripe_id DESC LIMIT 1
        ) AS customer,
        CASE WHEN subscribers.tags <> '{{}}' THEN (
            SELECT array_agg(coalesce(nullif(tags.label, ''), had.name) ORDER BY had.number)
            FROM unnest(subscribers.tags) WITH ORDINALITY AS had (name, number) LEFT JOIN tags ON tags.name = had.name
        ) END AS labels,
        {place} AS place
    FROM ({chosen}) AS subscribers
    LEFT JOIN suppressions ON suppressions.email_normal = subscribers.email_normal
    LEFT JOIN entitlements ON entitlements.subscriber_id = subscribers.id
    LEFT JOIN LATERAL (
        SELECT
            (array_agg(consents.source ORDER BY at, id))[1] AS source,
            host((array_agg(consents.ip ORDER BY at, id))[1]) AS ip,
            json_agg(json_build_array(at, kind) ORDER BY at, id) AS history
        FROM consents WHERE consents.subscriber_id = subscribers.id
    ) AS past ON true
"""

_NOT_ERASED = "SELECT * FROM subscribers WHERE erased_at IS NULL AND "
_NOWHERE = "''"
_WITH_ID = _RECORD.format(chosen=_NOT_ERASED + "id = %(id)s", place=_NOWHERE)
_WITH_IDS = _RECORD.format(chosen=_NOT_ERASED + "id = ANY(%(ids)s)", place=_NOWHERE)
_WITH_EMAIL = _RECORD.format(chosen=_NOT_ERASED + "email_normal = %(email)s", place=_NOWHERE)

_MOMENT = "coalesce(to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'), '')"  # sorts as text
_SUPPRESSED_AT = f"(SELECT created_at {SUPPRESSION.removeprefix('SELECT ')} AND reason <> 'operator')"
_METADATA_VALUE = (
    "coalesce(subscribers.metadata ->> %(order_key)s, subscribers.metadata #>> string_to_array(%(order_key)s, '.'), '')"
)
_PLACES = {
    "unsubscription_date": _MOMENT.format("subscribers.unsubscribed_at"),
    "undeliverability_date": _MOMENT.format(_SUPPRESSED_AT),
    "bounce_date": _MOMENT.format(_SUPPRESSED_AT),
}
_COLUMNS = {"creation_date": "id", "email_address": "email_normal"}
# Not tracked here, so equal for all subscribers: they stay in the order of their ids.
_EQUAL_FOR_ALL = ("open_rate", "click_rate", "last_open_date", "last_click_date", "churn_date", "risk_score")
ORDERINGS = (*_COLUMNS, *_PLACES, *_EQUAL_FOR_ALL)
_METADATA_ORDERING = "metadata:"


@dataclass(frozen=True)
class SubscriberOrder:
    """What subscribers are sorted by: a unique ``column``, or before their id the text ``place`` (SQL, with ``key``)."""

    column: str
    down: bool
    place: str = ""
    key: str = ""

    @property
    def is_by_id(self) -> bool:
        """Whether the id alone decides."""
        return self.column == "id" and not self.place

    def get_key(self, subscriber: SubscriberRecord) -> int | str | list[str | int]:
        """What a subscriber is sorted by: the cursor behind it."""
        if self.place:
            return [subscriber.place, subscriber.id]
        return subscriber.id if self.column == "id" else subscriber.email_normal


def parse_ordering(text: str) -> SubscriberOrder | None:
    """Return the order that a client names, such as `-creation_date`, `undeliverability_date_desc` or `metadata:plan`."""
    name = text.removeprefix("-").removesuffix("_desc")
    down = name != text
    if name.startswith(_METADATA_ORDERING):
        key = name.removeprefix(_METADATA_ORDERING)
        return SubscriberOrder("id", down, _METADATA_VALUE, key) if key and "\0" not in key else None
    if name not in ORDERINGS:
        return None
    return SubscriberOrder(_COLUMNS.get(name, "id"), down, _PLACES.get(name, ""))


def by_id(tx: Tx, subscriber_id: int) -> SubscriberRecord | None:
    """Return a subscriber who was not erased, or None."""
    return tx.answer(question_by_id(subscriber_id))


def by_ids(tx: Tx, ids: Sequence[int]) -> dict[int, SubscriberRecord]:
    """Return subscribers who were not erased, by their ids."""
    found = [_build_record(**row) for row in tx.all(_WITH_IDS, ids=list(ids))] if ids else []
    return {one.id: one for one in found}


def question_by_id(subscriber_id: int) -> Question[SubscriberRecord]:
    """Build the query for a subscriber by id who was not erased."""
    return Question(_WITH_ID, {"id": subscriber_id}, _build_record)


def question_by_email(email_normal: str) -> Question[SubscriberRecord]:
    """Build the query for a subscriber by address."""
    return Question(_WITH_EMAIL, {"email": email_normal}, _build_record)


def gather_page(
    tx: Tx, where: Sequence[Condition], ordering: SubscriberOrder, page: PageRange, most: int
) -> tuple[list[SubscriberRecord], int] | None:
    """Return a page in the order of a column and the number of all who meet the conditions: they are gathered, then sorted.

    None if there are more than ``most``, or none on the page. One statement finds them once, for the page and the number.
    """
    found, values = _join_conditions(where)
    order, after = f"{ordering.column}{_direct(ordering)}", ""
    if page.after is not None:
        after, values["after"] = f"WHERE {ordering.column} {'<' if ordering.down else '>'} %(after)s", page.after
    chosen = f"""
        WITH gathered AS MATERIALIZED (SELECT id, email_normal FROM subscribers WHERE {found} LIMIT {most + 1:d})

        SELECT *, (SELECT count(*) FROM gathered) AS total FROM subscribers
        WHERE id IN (SELECT id FROM gathered {after} ORDER BY {order} {_cut(page)})
    """
    sql = f"{_RECORD.format(chosen=chosen, place=f'subscribers.total, {_NOWHERE}')} ORDER BY subscribers.{order}"
    rows = tx.all(sql, **values)
    totals = [row.pop("total") for row in rows]
    return ([_build_record(**row) for row in rows], totals[0]) if rows and totals[0] <= most else None


def list_page(
    tx: Tx, where: Sequence[Condition], ordering: SubscriberOrder, page: PageRange, most: int = 0
) -> list[SubscriberRecord]:
    """Return a page of subscribers, scanned in order: at most the next ``most`` rows, unless it is 0.

    ``page.after`` is the key of the last row of the previous page.
    """
    place, down = ordering.place, _direct(ordering)
    order = f"{place}{down}, subscribers.id{down}" if place else f"{ordering.column}{down}"
    found, values = _join_conditions(where)
    after = ""
    if place:
        values["order_key"] = ordering.key
    if page.after is not None:
        keys, values["after"] = (f"({place}, subscribers.id)", tuple(page.after)) if place else (ordering.column, page.after)
        after = f" AND {keys} {'<' if ordering.down else '>'} %(after)s"
    rows = "subscribers"
    if most:
        rows = f"(SELECT * FROM subscribers WHERE erased_at IS NULL{after} ORDER BY {order} LIMIT {most:d}) AS subscribers"
    chosen = f"SELECT * FROM {rows} WHERE {found}{after} ORDER BY {order} {_cut(page)}"
    sql = f"{_RECORD.format(chosen=chosen, place=place or _NOWHERE)} ORDER BY {order if place else f'subscribers.{order}'}"
    often = not page.offset and not place and not where  # then there are few such statements
    return [_build_record(**row) for row in (tx.often_all if often else tx.all)(sql, **values)]


def list_tagged_page(
    tx: Tx, where: Sequence[Condition], ordering: SubscriberOrder, page: PageRange, alone: bool
) -> list[SubscriberRecord]:
    """Return a page, in the order of ids, of subscribers with one of the tags in the value ``tags`` of ``where``.

    Each tag's subscribers are read in order and no further than the page. ``alone``: the tags are the only condition.
    """
    found, values = _join_conditions(where)
    down = _direct(ordering)
    after = ""
    if page.after is not None:
        after, values["after"] = f"AND subscriber_id {'<' if ordering.down else '>'} %(after)s", page.after
    fits = "" if alone else f"CROSS JOIN LATERAL (SELECT FROM subscribers WHERE id = subscriber_id AND {found} LIMIT 1) AS hit"

    def choose(tag: str, cut: str) -> str:
        return f"""
            SELECT subscriber_id FROM subscriber_tags {fits}
            WHERE subscriber_tags.tag = {tag} {after} ORDER BY subscriber_id{down} {cut}
        """

    if len(values["tags"]) == 1:
        ids = choose("(%(tags)s::text [])[1]", _cut(page))
    else:
        ids = f"""
            SELECT DISTINCT had.subscriber_id FROM unnest(%(tags)s::text []) AS wanted (tag)
            CROSS JOIN LATERAL ({choose("wanted.tag", f"LIMIT {page.offset + page.limit:d}")}) AS had
            ORDER BY 1{down} {_cut(page)}
        """
    chosen = f"SELECT * FROM subscribers WHERE id IN ({ids})"
    sql = f"{_RECORD.format(chosen=chosen, place=_NOWHERE)} ORDER BY subscribers.id{down}"
    often = alone and not page.offset
    return [_build_record(**row) for row in (tx.often_all if often else tx.all)(sql, **values)]


def _direct(ordering: SubscriberOrder) -> str:
    return " DESC" if ordering.down else ""


def _cut(page: PageRange) -> str:
    return f"LIMIT {page.limit:d}" + (f" OFFSET {page.offset:d}" if page.offset else "")


def _build_record(**row: Any) -> SubscriberRecord:
    row["history"] = orjson.loads(row["history"])
    return SubscriberRecord(**row)


def _join_conditions(where: Sequence[Condition]) -> tuple[str, dict[str, Any]]:
    values: dict[str, Any] = {}
    for one in where:
        values.update(one.values)
    return " AND ".join(["erased_at IS NULL", *(f"({one.sql})" for one in where)]), values


def list_ids(tx: Tx, where: Sequence[Condition]) -> list[int]:
    """Return the ids of all subscribers who meet all conditions, oldest first."""
    found, values = _join_conditions(where)
    return [row["id"] for row in tx.all(f"SELECT id FROM subscribers WHERE {found} ORDER BY id", **values)]


def count(tx: Tx, where: Sequence[Condition]) -> int:
    """Return how many meet all conditions."""
    found, values = _join_conditions(where)
    return int(tx.value(f"SELECT count(*) FROM subscribers WHERE {found}", **values))


def lock(tx: Tx, subscriber_id: int) -> None:
    """Lock the row until the transaction ends."""
    tx.run("SELECT FROM subscribers WHERE id = %(id)s FOR UPDATE", id=subscriber_id)


def update(tx: Tx, subscriber_id: int, changes: Mapping[str, Any]) -> None:
    """Set columns; callers choose the names from their own list, never from outside."""
    if changes:
        sets = ", ".join(f"{name} = %({name})s" for name in changes)
        tx.run(f"UPDATE subscribers SET {sets} WHERE id = %(id)s", id=subscriber_id, **changes)
