"""The place of a subscriber in the list is found from sums, and is the one that counting finds."""

from __future__ import annotations

import random

import pytest

from mailer.core.db import Database, PageRange
from mailer.flows.subscribers import subscriber_query
from mailer.store.sending import counters
from mailer.store.subscribers.subscriber_records import SubscriberOrder


@pytest.mark.parametrize("newest_first", [True, False])
def test_the_subscriber_at_an_offset_is_found_over_gaps_blocks_and_erased_ones(database: Database, newest_first: bool) -> None:
    chance = random.Random(3)
    ids = sorted(chance.sample(range(1, 400_000), 3_000))

    def find(offset: int) -> tuple[list[int], int]:
        found = subscriber_query.list_page(database, [], SubscriberOrder("id", newest_first), PageRange(1, offset))
        return [one.id for one in found.subscribers], found.count

    with database.transaction() as tx:
        tx.run(
            """
            INSERT INTO subscribers (id, email, email_normal, state) OVERRIDING SYSTEM VALUE
            SELECT id, id || '@example.org', id || '@example.org', 'unconfirmed' FROM unnest(%(ids)s::bigint []) AS id
            """,
            ids=ids,
        )
    gone = ids[:40] + chance.sample(ids, 500)  # a whole block at the start among them
    left = sorted(ids, reverse=newest_first)
    for erased in ([], gone, ids[:2900:2], ids):  # the places of before are no longer right, but the answer is
        with database.transaction() as tx:
            tx.run("UPDATE subscribers SET erased_at = now() WHERE id = ANY(%(gone)s) AND erased_at IS NULL", gone=erased)
            left = [one for one in left if one not in set(erased)]
            assert counters.count_subscribers(tx) == len(left)
        offsets = (0, 1, 1023, 1024, len(left) - 1, *(chance.randrange(len(left)) for _ in range(50))) if left else ()
        for offset in offsets:
            assert find(offset) == (left[offset : offset + 1], len(left)), offset
        assert find(len(left)) == find(len(left) + 5000) == ([], len(left))
