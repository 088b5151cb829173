"""Pages of subscribers: by key if known, otherwise by the tallies, so that deep pages cost no more than the first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mailer.core import public_ids
from mailer.core.db import Database, PageRange, Tx
from mailer.flows.subscribers import segment_rules
from mailer.flows.subscribers.subscriber_admin import Rejected
from mailer.store.sending import audiences, counters
from mailer.store.subscribers import segments, subscriber_records
from mailer.store.subscribers.subscriber_records import Condition, SubscriberOrder, SubscriberRecord

_MAX_GATHERED = 20_000  # up to so many matches, gathering and sorting is faster than scanning in order


@dataclass(frozen=True)
class SubscriberPage:
    """A page of subscribers, and the total number."""

    subscribers: list[SubscriberRecord]
    count: int


def list_page(
    database: Database,
    where: Sequence[Condition],
    ordering: SubscriberOrder,
    page: PageRange,
    only_tag: str | None = None,
    tag_names: Sequence[str] = (),
) -> SubscriberPage:
    """Return a page of subscribers. ``page.after`` is the key of the last row before it.

    ``only_tag`` says that one tag is the only condition: its count is known. Raises Rejected for an unknown tag.
    """
    with database.glance() as tx:
        tagged = _count_tagged(tx, tag_names)
        if not where and ordering.is_by_id:
            count, found = _list_all_by_id(tx, ordering, page)
        else:
            count = (
                tagged[only_tag]
                if only_tag
                else subscriber_records.count(tx, where)
                if where
                else counters.count_subscribers(tx)
            )
            few = bool(tagged) and sum(tagged.values()) <= _MAX_GATHERED
            found = subscriber_records.list_page(tx, where, ordering, page, few)
    return SubscriberPage(found, count)


def _count_tagged(tx: Tx, names: Sequence[str]) -> dict[str, int]:
    """Return how many subscribers have each of these tags."""
    found = counters.count_by_tag(tx, [name.lower() for name in names]) if names else {}
    for name in names:
        if name.lower() not in found:
            raise Rejected("invalid_tag", f"There is no tag {name[:100]!r}.")
    return found


def _list_all_by_id(tx: Tx, ordering: SubscriberOrder, page: PageRange) -> tuple[int, list[SubscriberRecord]]:
    """Return the total number and the page."""
    if not page.offset:
        return counters.count_subscribers(tx), subscriber_records.list_page(tx, [], ordering, page)
    down = ordering.down
    count, first = counters.find_block(tx, page.offset, newest_first=down)
    if first is None:
        return count, []
    return count, subscriber_records.list_page(tx, [], ordering, PageRange(page.limit, after=first + 1 if down else first - 1))


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
            found = subscriber_records.list_page(tx, where, SubscriberOrder("id", down=False), PageRange(size, after=last))
        yield from found
        if len(found) < size:
            return
        last = found[-1].id
