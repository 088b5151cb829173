from __future__ import annotations

import pytest

from mailer.core.db import Database
from mailer.core.errors import Unavailable
from mailer.core.migrate import migrate, pending


def test_migrating_twice_applies_nothing_the_second_time(database: Database) -> None:
    assert migrate(database) == []
    assert pending(database) == []


def test_an_unreachable_database_is_one_sentence() -> None:
    with pytest.raises(Unavailable, match=r"Postgres cannot be reached .* check that it runs"):
        migrate(Database("postgresql://nobody@127.0.0.1:1/none"))
