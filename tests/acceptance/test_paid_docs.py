"""The guides about money: every command runs, every promise names a test that exists."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from mailer.fakes.fake_stripe import SECRET, FakeStripe
from tests.acceptance.test_docs import newsletter, run
from tests.conftest import ROOT

__all__ = ["newsletter"]


def test_every_command_of_the_guide_to_selling_runs(newsletter: Path, database_url: str) -> None:
    found = re.findall(r"^ *\$ (postmerge .*)$", (ROOT / "docs" / "how-to" / "paid.md").read_text(), re.MULTILINE)
    assert len(found) == 8
    shutil.copy(ROOT / "docs" / "plans.example.toml", newsletter / "plans.toml")
    with FakeStripe() as fake:
        environment = {
            **os.environ,
            "DATABASE_URL": database_url,
            "POSTMERGE_SENDER": "The Letter <letter@example.org>",
            "POSTMERGE_SECRET": "0123456789abcdef0123456789abcdef",
            "POSTMERGE_API_URL": "https://api.example.org",
            "POSTMERGE_TRANSPORT": "outbox",
            "STRIPE_SECRET_KEY": fake.key,
            "STRIPE_WEBHOOK_SECRET": SECRET,
            "STRIPE_API_BASE": fake.url,
            "PYTHONPATH": str(ROOT),
        }
        run(newsletter, environment, "postmerge subscribers add grace@example.org --confirmed")
        for command in found:
            if command == "postmerge stripe play":
                continue  # serves until it is stopped: test_play_stripe.py
            run(newsletter, environment, command)
        assert len(fake.books.of("price")) == 4


def test_every_promise_names_a_test_that_exists() -> None:
    """Also every odd case of the guide; what is called a browser's test is one, and no browser's promise is left out."""
    promises, guide = ((ROOT / "docs" / name).read_text() for name in ("explanation/promises.md", "how-to/paid.md"))
    code = "".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
    named = set(re.findall(r"`(test_\w+)`", promises + guide))
    assert len(named) >= 35
    assert {name for name in named if f"def {name}(" not in code} == set()
    files = re.findall(r"`(tests/[\w/]+\.py)`", promises + guide)
    assert {name for name in files if not (ROOT / name).is_file()} == set()
    browser = set(re.findall(r"^def (test_\w+)", (ROOT / "tests" / "browser" / "test_promises.py").read_text(), re.MULTILINE))
    assert set(re.findall(r"`(test_\w+)` \(browser\)", promises)) == browser - {"test_the_pages_fit_a_phone"}
