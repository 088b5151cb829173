"""Pages of subscribers: by key where a key is known, by the tallies where only a number is, so that depth costs nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mailer.core import public_ids
from mailer.core.db import Database, Tx
from mailer.flows.subscribers import segments
from mailer.flows.subscribers.subscriber_admin import Rejected
from mailer.store.sending import audiences, counters
from mailer.store.subscribers import segments as stored_segments
from mailer.store.subscribers import subscriber_admin as members
from mailer.store.subscribers.subscriber_admin import Member, Where

PAGE = 100  # readers
_FEW = 20_000  # readers that are gathered and put in order sooner than a page of them is found in order


@dataclass(frozen=True)
class Page:
    """Some readers, how many there are in all, and the key behind which the next page begins."""

    members: list[Member]
    count: int
    after: str | None


def page(
    database: Database,
    where: Sequence[Where],
    ordering: str,
    number: int,
    after: str | None = None,
    only_tag: str | None = None,
    tag_names: Sequence[str] = (),
) -> Page:
    """Page ``number``, from 1, behind the key ``after`` when that is given.

    ``only_tag`` says that one tag is the only condition: its count is known. Raises Rejected for a tag nobody knows.
    """
    by_id = ordering.endswith("creation_date")
    key = _key(after, by_id)
    with database.glance() as tx:
        tagged = _tagged(tx, tag_names)
        if not where and by_id:
            count, found = _all_by_id(tx, ordering, number, key)
        else:
            count = tagged[only_tag] if only_tag else members.count(tx, where) if where else counters.count_subscribers(tx)
            offset = 0 if key is not None else PAGE * (number - 1)
            few = bool(tagged) and sum(tagged.values()) <= _FEW
            found = members.page(tx, where, ordering, PAGE, offset, key, few)
    last = found[-1] if found else None
    return Page(found, count, (public_ids.public("sub", last.id) if by_id else last.email_normal) if last else None)


def _tagged(tx: Tx, names: Sequence[str]) -> dict[str, int]:
    """How many have each of these tags."""
    found = counters.count_by_tag(tx, [name.lower() for name in names]) if names else {}
    for name in names:
        if name.lower() not in found:
            raise Rejected("invalid_tag", f"There is no tag {name[:100]!r}.")
    return found


def _all_by_id(tx: Tx, ordering: str, number: int, key: int | str | None) -> tuple[int, list[Member]]:
    """How many there are, and the page's."""
    if key is not None or number == 1:
        return counters.count_subscribers(tx), members.page(tx, [], ordering, PAGE, 0, key)
    down = ordering.startswith("-")
    count, first = counters.find_block(tx, PAGE * (number - 1), newest_first=down)
    return count, members.page(tx, [], ordering, PAGE, 0, first + 1 if down else first - 1) if first is not None else []


def _key(after: str | None, by_id: bool) -> int | str | None:
    if after is None or not by_id:
        return after
    found = public_ids.number("sub", after)
    if found is None:
        raise Rejected("invalid_ordering", "The key `after` cannot be read: leave it out, or follow `next` as it is.")
    return found


def in_segments(database: Database, names: Sequence[str]) -> Where:
    """The condition of being in one of the segments, named or by public id. Raises BadInput for one that is not there."""
    with database.transaction() as tx:
        shown = {public_ids.public("segment", one.id): one.name for one in stored_segments.every(tx)}
        rule = " or ".join(f'segment "{shown.get(name, name)}"' for name in names)
        return Where(*audiences.compile_rule(segments.read(tx, rule)))


def count(database: Database, where: Sequence[Where]) -> int:
    """How many readers fulfil all conditions."""
    with database.transaction() as tx:
        return members.count(tx, where)


def walk(database: Database, where: Sequence[Where], size: int = 1000) -> Iterator[Member]:
    """Everybody who fulfils all conditions, the oldest first, read page by page."""
    last: int | None = None
    while True:
        with database.transaction() as tx:
            found = members.page(tx, where, "creation_date", size, 0, last)
        yield from found
        if len(found) < size:
            return
        last = found[-1].id
