from __future__ import annotations

import psycopg2
import pytest

from mailer.core.db import Database
from mailer.core.errors import Unavailable


def test_a_server_that_dies_in_the_middle_of_an_answer_counts_as_away(database: Database) -> None:
    with pytest.raises(Unavailable, match="server closed the connection"), database.transaction():
        raise psycopg2.DatabaseError("server closed the connection unexpectedly\n\tThis probably means the server terminated")


def test_a_backend_that_is_terminated_counts_as_away_and_the_next_transaction_works(database: Database) -> None:
    with pytest.raises(Unavailable), database.transaction() as tx:
        tx.value("SELECT pg_terminate_backend(pg_backend_pid()) FROM generate_series(1, 2)")
    with database.transaction() as tx:
        assert tx.value("SELECT 1") == 1


def test_connections_that_a_restarted_server_closed_while_they_were_idle_are_not_used(database: Database) -> None:
    other = Database(database.url, "victim")
    with other.transaction(), other.transaction():
        pass  # two connections wait for work now
    with database.transaction() as tx:
        ended = tx.all("SELECT pg_terminate_backend(pid, 5000) AS gone FROM pg_stat_activity WHERE application_name = 'victim'")
    assert [row["gone"] for row in ended] == [True, True]
    with other.transaction() as tx:
        assert tx.value("SELECT 1") == 1
    with other.glance() as tx:
        assert tx.value("SELECT 2") == 2
    other.close()
