"""Pages of subscribers: by key if known, otherwise by the tallies, so that deep pages cost no more than the first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mailer.core import public_ids
from mailer.core.db import Database, Tx
from mailer.flows.subscribers import segment_rules
from mailer.flows.subscribers.subscriber_admin import Rejected
from mailer.store.sending import audiences, counters
from mailer.store.subscribers import segments, subscriber_records
from mailer.store.subscribers.subscriber_records import Condition, SubscriberRecord

PAGE_SIZE = 100  # subscribers
_MAX_GATHERED = 20_000  # up to so many matches, gathering and sorting is faster than scanning in order


@dataclass(frozen=True)
class SubscriberPage:
    """A page of subscribers, the total number, and the key after which the next page begins."""

    subscribers: list[SubscriberRecord]
    count: int
    after: str | None


def list_page(
    database: Database,
    where: Sequence[Condition],
    ordering: str,
    number: int,
    after: str | None = None,
    only_tag: str | None = None,
    tag_names: Sequence[str] = (),
) -> SubscriberPage:
    """Return page ``number``, from 1, or the page after the key ``after``.

    ``only_tag`` says that one tag is the only condition: its count is known. Raises Rejected for an unknown tag.
    """
    by_id = ordering.endswith("creation_date")
    key = _parse_key(after, by_id)
    with database.glance() as tx:
        tagged = _count_tagged(tx, tag_names)
        if not where and by_id:
            count, found = _list_all_by_id(tx, ordering, number, key)
        else:
            count = (
                tagged[only_tag]
                if only_tag
                else subscriber_records.count(tx, where)
                if where
                else counters.count_subscribers(tx)
            )
            offset = 0 if key is not None else PAGE_SIZE * (number - 1)
            few = bool(tagged) and sum(tagged.values()) <= _MAX_GATHERED
            found = subscriber_records.list_page(tx, where, ordering, PAGE_SIZE, offset, key, few)
    last = found[-1] if found else None
    return SubscriberPage(found, count, (public_ids.public("sub", last.id) if by_id else last.email_normal) if last else None)


def _count_tagged(tx: Tx, names: Sequence[str]) -> dict[str, int]:
    """Return how many subscribers have each of these tags."""
    found = counters.count_by_tag(tx, [name.lower() for name in names]) if names else {}
    for name in names:
        if name.lower() not in found:
            raise Rejected("invalid_tag", f"There is no tag {name[:100]!r}.")
    return found


def _list_all_by_id(tx: Tx, ordering: str, number: int, key: int | str | None) -> tuple[int, list[SubscriberRecord]]:
    """Return the total number and the page."""
    if key is not None or number == 1:
        return counters.count_subscribers(tx), subscriber_records.list_page(tx, [], ordering, PAGE_SIZE, 0, key)
    down = ordering.startswith("-")
    count, first = counters.find_block(tx, PAGE_SIZE * (number - 1), newest_first=down)
    return count, subscriber_records.list_page(
        tx, [], ordering, PAGE_SIZE, 0, first + 1 if down else first - 1
    ) if first is not None else []


def _parse_key(after: str | None, by_id: bool) -> int | str | None:
    if after is None or not by_id:
        return after
    found = public_ids.number("sub", after)
    if found is None:
        raise Rejected("invalid_ordering", "The key `after` is invalid: omit it, or follow `next` unchanged.")
    return found


def build_segment_condition(database: Database, names: Sequence[str]) -> Condition:
    """Return the condition of being in one of the segments, by name or public id. Raises BadInput for an unknown one."""
    with database.transaction() as tx:
        shown = {public_ids.public("segment", one.id): one.name for one in segments.list_all(tx)}
        rule = " or ".join(f'segment "{shown.get(name, name)}"' for name in names)
        return Condition(*audiences.compile_rule(segment_rules.read_rule(tx, rule)))


def count_subscribers(database: Database, where: Sequence[Condition]) -> int:
    """Return how many subscribers meet all conditions."""
    with database.transaction() as tx:
        return subscriber_records.count(tx, where)


def iterate_subscribers(database: Database, where: Sequence[Condition], size: int = 1000) -> Iterator[SubscriberRecord]:
    """Yield all subscribers who meet all conditions, oldest first, fetched page by page."""
    last: int | None = None
    while True:
        with database.transaction() as tx:
            found = subscriber_records.list_page(tx, where, "creation_date", size, 0, last)
        yield from found
        if len(found) < size:
            return
        last = found[-1].id
