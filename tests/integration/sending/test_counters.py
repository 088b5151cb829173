"""The place of a subscriber in the list is found from sums, and is the one that counting finds."""

from __future__ import annotations

import random

import pytest

from mailer.core.db import Database
from mailer.store.sending import counters


@pytest.mark.parametrize("newest_first", [True, False])
def test_the_subscriber_at_an_offset_is_found_over_gaps_blocks_and_erased_ones(database: Database, newest_first: bool) -> None:
    chance = random.Random(3)
    ids = sorted(chance.sample(range(1, 400_000), 3_000))
    with database.transaction() as tx:
        tx.run(
            """
            INSERT INTO subscribers (id, email, email_normal, state) OVERRIDING SYSTEM VALUE
            SELECT id, id || '@example.org', id || '@example.org', 'unconfirmed' FROM unnest(%(ids)s::bigint []) AS id
            """,
            ids=ids,
        )
        gone = ids[:40] + chance.sample(ids, 500)  # a whole block at the start among them
        tx.run("UPDATE subscribers SET erased_at = now() WHERE id = ANY(%(gone)s)", gone=gone)
        left = sorted(set(ids) - set(gone), reverse=newest_first)
        for offset in (0, 1, 1023, 1024, len(left) - 1, *(chance.randrange(len(left)) for _ in range(200))):
            assert counters.find_block(tx, offset, newest_first) == (len(left), left[offset]), offset
        assert counters.find_block(tx, len(left), newest_first) == (len(left), None)
        assert counters.count_subscribers(tx) == len(left)
