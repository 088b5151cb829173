"""The guides to moving from other tools: every command runs, in order, on a made-up export of the tool's documented form."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from mailer.core.db import Database
from mailer.fakes.fake_stripe import SECRET, FakeStripe
from mailer.store.billing import entitlement_records
from mailer.store.subscribers import subscribers
from tests import commands, move_exports
from tests.acceptance.test_docs import run
from tests.conftest import ROOT

# By tool: where the old address of an issue leads to it from, and who is suppressed or unsubscribed afterwards.
REDIRECTS = {
    "substack": "p/hello-world",
    "ghost": "from-ghost",
    "buttondown": "archive/hello-world",
    "mailchimp": "posts/atom-entry.html",
    "jekyll": "2023/03/hello-world",
}
PRICE = "price_1AbC"


@dataclass
class Move:
    """A newsletter that somebody moves to, and the environment of its commands."""

    folder: Path
    environ: dict[str, str]
    database: Database

    def follow(self, guide: str) -> int:
        """Do what a guide says, block by block; return how many commands it has."""
        number = 0
        for language, block in re.findall(r"```(\w+)\n(.*?)```", guide, re.DOTALL):
            if language == "sh":
                for command in block.splitlines():
                    run(self.folder, self.environ, command)
                    number += 1
            elif language == "python":
                with (self.folder / "pelicanconf.py").open("a") as settings:
                    settings.write(block)
            else:
                text = re.sub(r"Date: .*", f"Date: {date.today()}", block)
                (self.folder / "content" / "issues" / "we-moved.md").write_text(text)
        return number


@pytest.fixture
def fake() -> Iterator[FakeStripe]:
    with FakeStripe() as fake:
        yield fake


@pytest.fixture
def move(tmp_path: Path, database: Database, fake: FakeStripe) -> Move:
    (tmp_path / "content" / "issues").mkdir(parents=True)
    shutil.copytree(ROOT / "content" / "pages", tmp_path / "content" / "pages")
    (tmp_path / "theme").symlink_to(ROOT / "theme")
    quick = "\nPOSTMERGE_CARDS = False\nPOSTMERGE_SEARCH = False\n"
    (tmp_path / "pelicanconf.py").write_text((ROOT / "pelicanconf.py").read_text() + quick)
    shutil.copy(ROOT / "docs" / "plans.example.toml", tmp_path / "plans.toml")
    environ = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": database.url,
        "POSTMERGE_SENDER": "The Letter <letter@example.org>",
        "POSTMERGE_POSTAL_ADDRESS": "1 Example Street",
        "POSTMERGE_SECRET": "0123456789abcdef0123456789abcdef",
        "POSTMERGE_API_URL": "https://api.example.org",
        "POSTMERGE_TRANSPORT": "outbox",
        "STRIPE_SECRET_KEY": fake.key,
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "STRIPE_API_BASE": fake.url,
    }
    return Move(tmp_path, environ, database)


def sell(fake: FakeStripe) -> None:
    """Let the old tool have sold a subscription to Ada, whose customer is ``cus_ada``."""
    books = fake.books
    for made, name in (
        (books.add("price", "price", unit_amount=700, currency="eur", recurring={"interval": "month"}, active=True), PRICE),
        (books.add("customer", "cus", email="ada@example.org"), "cus_ada"),
    ):
        books.things[name] = {**books.things.pop(made["id"]), "id": name}
    books.subscribe("cus_ada", PRICE, {})


@pytest.mark.slow
@pytest.mark.parametrize("tool", REDIRECTS)
def test_a_guide_moves_a_newsletter(tool: str, move: Move, fake: FakeStripe) -> None:
    sell(fake)
    move_exports.lay_out(tool, move.folder)
    charged = list(fake.books.charged)
    guide = (ROOT / "docs" / "how-to" / f"move-from-{tool}.md").read_text()
    assert move.follow(guide) >= 18
    with move.database.transaction() as tx:
        ada, carol = subscribers.find(tx, "ada@example.org"), subscribers.find(tx, "carol@example.org")
        assert ada
        assert carol
        access = entitlement_records.get(tx, ada.id)
        evidence = tx.value("SELECT evidence FROM consents WHERE subscriber_id = %(id)s AND kind = 'imported'", id=ada.id)
        suppressed = {row["email_normal"]: row["reason"] for row in tx.all("SELECT email_normal, reason FROM suppressions")}
        sends = tx.all("SELECT issue_key, audience, state, audience_size FROM sends")
        emails = tx.all("SELECT kind, facts FROM transactional_emails")
    assert (ada.state, carol.state) == ("active", "unsubscribed")
    assert access
    assert (access.state, emails, fake.books.charged) == ("paying", [], charged)
    assert evidence["evidence"] in guide
    assert suppressed["dan@example.org"] == "hard bounce"
    assert suppressed.get("eve@example.org", "complaint") == "complaint"
    assert [(one["issue_key"], one["audience"]) for one in sends] == [("we-moved", "moved and joined within 52w")]
    listed = commands.run(move.folder, move.environ, "subscribers", "list", "--audience", sends[0]["audience"], "--json")
    assert [one["email"] for one in json.loads(listed.stdout)] == ["ada@example.org"]
    site = move.folder / "build" / "site"
    page = site / REDIRECTS[tool]
    assert "/issues/" in (page / "index.html" if page.is_dir() else page).read_text()
