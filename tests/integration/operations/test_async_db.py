"""Questions asked from an event loop: answered, by few connections, and no harm done when one is lost or given up."""

from __future__ import annotations

import asyncio

import pytest

from mailer.core.async_db import Asker
from mailer.core.db import Database, Question
from mailer.core.errors import Unavailable

NAME = "asked by a test"


@pytest.fixture
def asker(database: Database) -> Asker:
    return Asker(database.url, NAME, most=3)


def twice(number: int, pause: float = 0.0) -> Question[int]:
    sql = "SELECT %(number)s::int * 2 AS found FROM pg_sleep(%(pause)s)"
    return Question(sql, {"number": number, "pause": pause}, lambda found: int(found))


def connections(database: Database) -> int:
    with database.transaction() as tx:
        return int(tx.value("SELECT count(*) FROM pg_stat_activity WHERE application_name = %(name)s", name=NAME))


def test_many_questions_share_few_connections(asker: Asker, database: Database) -> None:
    async def all_at_once() -> tuple[list[int | None], int]:
        found = await asyncio.gather(*(asker.ask(twice(number, 0.01)) for number in range(40)))
        return found, connections(database)

    found, used = asyncio.run(all_at_once())
    assert found == [2 * number for number in range(40)]
    assert used == 3


def test_no_row_is_no_answer(asker: Asker) -> None:
    nobody = Question("SELECT 1 AS one WHERE %(never)s::int = 1", {"never": 0}, lambda one: int(one))
    assert asyncio.run(asker.ask(nobody)) is None


def test_a_connection_that_is_lost_counts_as_away_and_the_next_question_is_answered(asker: Asker, database: Database) -> None:
    async def lose() -> int | None:
        await asyncio.gather(*(asker.ask(twice(number, 0.05)) for number in range(3)))
        with database.transaction() as tx:
            tx.all("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %(name)s", name=NAME)
        with pytest.raises(Unavailable, match="Postgres cannot be reached"):
            await asker.ask(twice(1))
        return await asker.ask(twice(21))

    assert asyncio.run(lose()) == 42


def test_a_caller_that_gives_up_spoils_no_response_for_the_next(asker: Asker) -> None:
    async def give_up() -> list[int | None]:
        for number in range(6):  # more often than there are connections
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asker.ask(twice(number, 5)), 0.05)
        return [await asker.ask(twice(number)) for number in range(6)]

    assert asyncio.run(give_up()) == [0, 2, 4, 6, 8, 10]


def test_who_waits_for_a_connection_and_gives_up_is_passed_over(asker: Asker) -> None:
    async def crowded() -> int | None:
        busy = [asyncio.create_task(asker.ask(twice(number, 0.3))) for number in range(3)]
        await asyncio.sleep(0.1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asker.ask(twice(1)), 0.05)
        answer = await asker.ask(twice(21))
        await asyncio.gather(*busy)
        return answer

    assert asyncio.run(crowded()) == 42


def test_a_server_that_is_away_is_one_sentence() -> None:
    away = Asker("postgresql://postgres@127.0.0.1:1/postgres")
    for _ in range(10):  # no connection is counted that never was
        with pytest.raises(Unavailable, match="check that it runs"):
            asyncio.run(away.ask(twice(1)))
