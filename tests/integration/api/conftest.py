"""A newsletter, and a client of its API whose key has every permission."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from mailer.core.db import Database
from tests import web
from tests.web import Web


@pytest.fixture
def newsletter(database: Database, tmp_path: Path) -> Web:
    return web.make(tmp_path, database)


@pytest.fixture
def api(newsletter: Web) -> TestClient:
    return newsletter.holder()
