"""Pages of subscribers: by key if known, otherwise by the tallies, so that deep pages cost no more than the first."""

from __future__ import annotations

import bisect
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mailer.core import public_ids
from mailer.core.db import Database, PageRange, Tx
from mailer.flows.subscribers import segment_rules
from mailer.flows.subscribers.subscriber_admin import Rejected
from mailer.store.sending import audiences, counters
from mailer.store.subscribers import segments, subscriber_records
from mailer.store.subscribers.subscriber_records import Condition, SubscriberOrder, SubscriberRecord

_MAX_GATHERED = 20_000  # up to so many matches, they are gathered and sorted to find a page and their number at once
_MAX_SPARSE = 100_000  # up to so many, gathering is faster than scanning in order when the first rows have too few
_SCANNED_ROWS = 10_000  # are read in order before gathering
_MAX_EXACT_COUNT = 2_000
_MAX_COUNT_AGE = 30.0  # seconds, of a count above _MAX_EXACT_COUNT, which takes long
_MAX_COUNTS = 200
_blocks: dict[str, _Blocks] = {}  # by database
_counts: dict[tuple[str, str], tuple[int, float]] = {}  # by database and filter: the count, and when it was counted


class _Blocks:
    """Where the blocks of ids begin in the list, as they were read: a guess, which one sum over the tallies verifies."""

    def __init__(self, blocks: Sequence[tuple[int, int]]) -> None:
        self._blocks = [block for block, _ in blocks]
        self._ends = list(itertools.accumulate(number for _, number in blocks))

    def find(self, offset: int, newest_first: bool) -> int:
        """Return the block that had the subscriber at the offset, or the nearest one."""
        if not self._blocks:
            return 0
        place = bisect.bisect_right(self._ends, self._ends[-1] - 1 - offset if newest_first else offset)
        return self._blocks[min(place, len(self._blocks) - 1)]


@dataclass(frozen=True)
class SubscriberPage:
    """A page of subscribers, and the total number."""

    subscribers: list[SubscriberRecord]
    count: int


@dataclass(frozen=True)
class WantedTags:
    """The tags that a list is filtered by; ``alone``: it is not filtered by anything else."""

    names: Sequence[str] = ()
    alone: bool = False


def list_page(
    database: Database, where: Sequence[Condition], ordering: SubscriberOrder, page: PageRange, tags: WantedTags = WantedTags()
) -> SubscriberPage:
    """Return a page of subscribers. ``page.after`` is the key of the last row before it.

    ``where`` has the condition of the ``tags`` too. A count above 2,000 may be half a minute old. Raises Rejected for an
    unknown tag.
    """
    with database.glance() as tx:
        tagged = _count_tagged(tx, tags.names)
        if not where and ordering.is_by_id:
            return _list_all_by_id(database, tx, ordering, page)
        if tags.names and ordering.is_by_id:
            alone = tags.alone and len(tagged) == 1
            count = next(iter(tagged.values())) if alone else _count_or_recall(database, tx, where)
            return SubscriberPage(subscriber_records.list_tagged_page(tx, where, ordering, page, tags.alone), count)
        if where and not ordering.place and (found := _list_first_or_gathered(database, tx, where, ordering, page)):
            return found
        count = _count_or_recall(database, tx, where) if where else counters.count_subscribers(tx)
        return SubscriberPage(subscriber_records.list_page(tx, where, ordering, page), count)


def _list_first_or_gathered(
    database: Database, tx: Tx, where: Sequence[Condition], ordering: SubscriberOrder, page: PageRange
) -> SubscriberPage | None:
    """Return a page of the first rows if they have as many, or of gathered ones; None if scanning further is faster."""
    known = _recall(database, where)
    if known and not page.offset:
        first = subscriber_records.list_page(tx, where, ordering, page, _SCANNED_ROWS)
        if len(first) == page.limit:
            return SubscriberPage(first, known)
    if known > _MAX_SPARSE:
        return None
    found = subscriber_records.gather_page(tx, where, ordering, page, _MAX_SPARSE if known else _MAX_GATHERED)
    if found is None:
        return None
    _remember(database, where, found[1])
    return SubscriberPage(*found)


def _count_tagged(tx: Tx, names: Sequence[str]) -> dict[str, int]:
    """Return how many subscribers have each of these tags, by their names in lower case."""
    found = counters.count_by_tag(tx, [name.lower() for name in names]) if names else {}
    for name in names:
        if name.lower() not in found:
            raise Rejected("invalid_tag", f"There is no tag {name[:100]!r}.")
    return found


def _count_or_recall(database: Database, tx: Tx, where: Sequence[Condition]) -> int:
    """Return how many meet all conditions: a large number is counted once in half a minute, not for each page."""
    if number := _recall(database, where):
        return number
    number = subscriber_records.count(tx, where)
    _remember(database, where, number)
    return number


def _remember(database: Database, where: Sequence[Condition], number: int) -> None:
    if number > _MAX_EXACT_COUNT:
        while len(_counts) >= _MAX_COUNTS:
            _counts.pop(next(iter(_counts)), None)
        _counts[database.url, repr(where)] = number, time.monotonic()


def _recall(database: Database, where: Sequence[Condition]) -> int:
    """Return the large number of matches that was counted less than half a minute ago, or 0."""
    number, counted_at = _counts.get((database.url, repr(where)), (0, -_MAX_COUNT_AGE))
    return number if time.monotonic() - counted_at < _MAX_COUNT_AGE else 0


def _list_all_by_id(database: Database, tx: Tx, ordering: SubscriberOrder, page: PageRange) -> SubscriberPage:
    if not page.offset:
        return SubscriberPage(subscriber_records.list_page(tx, [], ordering, page), counters.count_subscribers(tx))
    down = ordering.down
    known = _blocks.get(database.url)
    count, first = counters.find_in_block(tx, page.offset, known.find(page.offset, down), down) if known else (1, None)
    if first is None and count:  # too much was added or erased since the blocks were read, or it is beyond the end
        known = _blocks[database.url] = _Blocks(counters.list_blocks(tx))
        count, first = counters.find_in_block(tx, page.offset, known.find(page.offset, down), down)
    if first is None:
        return SubscriberPage([], count)
    start = PageRange(page.limit, after=first + 1 if down else first - 1)
    return SubscriberPage(subscriber_records.list_page(tx, [], ordering, start), count)


def check_tags(database: Database, names: Sequence[str]) -> None:
    """Raise Rejected for a tag that does not exist: without it, everybody would be left."""
    if names:
        with database.glance() as tx:
            _count_tagged(tx, names)


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
