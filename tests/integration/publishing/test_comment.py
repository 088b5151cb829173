"""The report on a change: in the words of the issue, from a real repository and a real ledger."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from PIL import Image

from mailer.checks import Remark
from mailer.core.db import Database
from mailer.core.edition import SendIntent
from mailer.exchange.fork_text import MARK
from mailer.flows.publishing.preflight import Refusal
from mailer.flows.publishing.publish import Outlook
from mailer.flows.publishing.publish_plan import Action, Plan, Step
from mailer.transports.base import AccountLimits
from mailer.workbench.review import Change, Review, render_review
from tests import commands
from tests.conftest import ROOT
from tests.factories import add_subscribers, bind_stripe, edition, settings
from tests.processes import environment

WHEN = datetime(2026, 12, 1, 8, 0, tzinfo=UTC)
ACCOUNT = AccountLimits(rate=50, quota=50_000, sent=0)


def review(step: Step | None, *, refusals: tuple[Refusal, ...] = (), change: Change | None = None, **more: object) -> str:
    plan = Plan((step,) if step else (), first=False, made_at=WHEN)
    values: dict[str, object] = {"changes": [change or Change("content/issues/a.md", step.edition if step else None, None)]}
    values |= {"remarks": [], "outlook": Outlook(plan, refusals, ACCOUNT), "why": "", "zone": "Europe/Berlin"}
    values |= {"hold": timedelta(minutes=10), "base": "main", **more}
    return render_review(Review(**values))  # type: ignore[arg-type]


def test_a_scheduled_send_is_told_in_one_sentence() -> None:
    made = edition(subject="The *answer*", send=SendIntent.AT, send_at=WHEN)
    step = Step(Action.SEND, made.key, made.key, "asks", edition=made, size=12_403, due_at=WHEN, scheduled=True)
    said = review(step)
    assert said.startswith(MARK + "\n")
    assert (
        "Merging this **will send** *The \\*answer\\** to **12,403 subscribers** on **Tue 1 Dec 09:00 CET**,"
        " done by about 09:04 at 50 emails/s, costing about 1.24 USD."
    ) in said


def test_what_sends_nothing_says_why_and_what_would_be_refused_is_said() -> None:
    made = edition()
    quiet = Step(Action.KEEP, made.key, made.key, "edition 1 is finished as send 12", edition=made)
    assert "**sends nothing** for *Title of 2026\\-11\\-24\\-hello*, because edition 1 is finished as send 12." in review(quiet)
    send = Step(Action.SEND, made.key, made.key, "asks", edition=made, size=1, due_at=WHEN)
    said = review(send, refusals=(Refusal("old", "It is dated 9 days ago."),))
    assert "to **1 subscriber** 10 min after the merge, done in about 1 s at 50 emails/s" in said
    assert "> **Publishing would refuse this:** It is dated 9 days ago." in said


def test_findings_and_what_changed_are_shown_and_nobody_is_called() -> None:
    now, before = edition(text="One\n```\nTwo @ada\n"), edition(text="One\n")
    step = Step(Action.KEEP, now.key, now.key, "waits as send 3", edition=now)
    remark = Remark("alt-empty", "warning", "content/issues/a.md", 7, 1, "A picture | without <words> by @ada.")
    said = review(step, change=Change("content/issues/a.md", now, before), remarks=[remark])
    assert "| warning | `content/issues/a.md:7` | A picture \\| without &lt;words\\> by &#64;&#8203;ada\\. |" in said
    assert "````diff\n" in said
    assert "+Two @ada" in said


EVIL = "`]( ![x](https://evil.example/p.png) <!-- --> </code></details> | @ada #12 ```\\n# head\n/close"


def test_no_text_of_a_change_becomes_a_link_a_picture_a_name_or_markup_in_the_report() -> None:
    path = f"content/issues/{EVIL}.md"
    now = edition(subject=EVIL, title=EVIL, audience=EVIL, path=path, text=f"One\n{EVIL}\n", send=SendIntent.YES)
    step = Step(Action.SEND, now.key, now.key, EVIL, edition=now, size=1, due_at=WHEN)
    remark = Remark("alt-empty", "warning", path, 7, 1, EVIL)
    for change in (Change(path, now, edition(text="One\n")), Change(path, now, None), Change(path, None, now)):
        told = {"remarks": [remark], "change": change, "left_out": [(path, "it has errors")], "refusals": (Refusal("x", EVIL),)}
        for said in (review(step, **told), review(None, **told), review(None, **told, outlook=None, why=EVIL)):  # type: ignore[arg-type]
            told_outside_code = re.sub(r"(?ms)^(`{3,})diff$.*?^\1$", "", said).removeprefix(MARK)
            shown = re.sub(r"(?m)(?<![\\`])`[^`\n]*`", "", told_outside_code)
            for markup in ("](", "![", "<!--", "</details> ", "@ada", "#12", "https://", "\n/", "\n# "):
                assert markup not in shown, (markup, shown)


class Repository:
    """A newsletter in git with subscribers, and one issue that the ledger knows."""

    def __init__(self, folder: Path, database: Database, redis_url: str) -> None:
        self.folder = folder
        for name in ("pelicanconf.py", "theme"):
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
        (folder / "content" / "issues").mkdir(parents=True)
        (folder / "mailer").symlink_to(ROOT / "mailer")
        (folder / ".gitignore").write_text("build/\nmailer\n__pycache__/\n")
        self.environ = {**environment(settings(folder, database.url, redis_url), {}), "PYTHONPATH": str(ROOT)}
        self.write("old", "2020-01-01", "Long ago.")
        self.git("init", "-q", "-b", "main")
        self.commit()
        self.run("adopt")

    def write(self, name: str, day: str, body: str, head: str = "") -> None:
        (self.folder / f"content/issues/{name}.md").write_text(f"Title: {name.title()}\nDate: {day}\n{head}\n{body}\n")

    def git(self, *words: str) -> None:
        who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
        subprocess.run(["git", *who, *words], cwd=self.folder, check=True, capture_output=True)

    def output(self, *words: str) -> str:
        return subprocess.run(["git", *words], cwd=self.folder, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "Text")

    def run(self, *words: str, ok: bool = True, **environ: str) -> str:
        done = commands.run(self.folder, {**self.environ, **environ}, *words)
        assert (done.returncode == 0) is ok, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout if ok else done.stderr


@pytest.fixture
def repository(tmp_path: Path, database: Database, redis_url: str) -> Repository:
    add_subscribers(database, 20)
    return Repository(tmp_path, database, redis_url)


@pytest.mark.slow
def test_a_branch_is_reported(repository: Repository) -> None:
    repository.git("checkout", "-q", "-b", "draft")
    assert "**sends nothing**, because it changes no issue." in repository.run("comment", "--base", "main")
    repository.write("hello", date.today().isoformat(), "See [here](https://example.org/).", "Send: yes\n")
    repository.write("old", "2020-01-01", "Very long ago.")
    repository.commit()
    said = repository.run("comment", "--base", "main")
    assert "**will send** *Hello* to **20 subscribers** at once after the merge." in said
    assert "**sends nothing** for *Old*, because it was adopted: public before the ledger began." in said
    assert "| warning | `content/issues/hello.md:5` |" in said
    assert "-Long ago." in said
    assert "+Very long ago." in said
    repository.git("rm", "-q", "content/issues/old.md")
    assert "**sends nothing**, because `content/issues/old.md` is gone." in repository.run(
        "comment", "--base", "main", "--built"
    )
    repository.write("later", "2026-12-01", "Not yet.", "Status: draft\n")
    (repository.folder / "content/issues/broken.md").write_text("Date: 2026-12-01\n\nNo title.\n")
    repository.commit()
    said = repository.run("comment", "--base", "main")
    assert "**sends nothing** for `content/issues/later.md`, because it is a draft." in said
    assert "**sends nothing** for `content/issues/broken.md`, because it has errors." in said
    without = repository.run("comment", "--base", "main", DATABASE_URL="")
    assert "to the audience `everyone` at once" in without
    assert "The database is not available here" in without


def test_a_translation_is_told_with_its_original(repository: Repository) -> None:
    bind_stripe(Database(repository.environ["DATABASE_URL"]))
    with Database(repository.environ["DATABASE_URL"]).transaction() as tx:
        tx.run("UPDATE subscribers SET lang = 'de' WHERE id <= 3")
    repository.git("checkout", "-q", "-b", "draft")
    paid = "\n\n:::premium\nThe whole secret of the eleven dry cellars below.\n:::\n"
    repository.write("hello", date.today().isoformat(), f"English words.{paid}", "Send: yes\n")
    repository.write("hello.de", date.today().isoformat(), f"Deutsche Worte.{paid}", "Lang: de\n")
    repository.commit()
    said = repository.run("comment", "--base", "main")
    assert "**will send** *Hello* to **20 subscribers** (en 17, de 3)" in said
    assert "is a translation of *Hello*: **3** of its 20 subscribers get it in this language." in said
    assert "`content/issues/hello.de.md` is new" in said
    assert said.count("will send") == 1
    assert "eleven dry cellars" not in said
    repository.git("checkout", "-q", "main")
    repository.git("merge", "-q", "draft")
    repository.git("checkout", "-q", "-b", "later")
    repository.write("old.de", "2020-01-01", "Lange her.", "Lang: de\n")
    repository.commit()
    said = repository.run("comment", "--base", "main")
    assert re.search(r"\*\*sends nothing\*\* for \*.+\*, a translation: its original is not sent\.", said)


@pytest.mark.slow
def test_the_email_is_drawn(repository: Repository) -> None:
    repository.write("hello", date.today().isoformat(), "Text", "Send: yes\n")
    repository.run(
        "comment", "--base", "main", "--output", "c.md", "--picture", "mail.png", "--picture-url", "https://x.example/m.png"
    )
    assert '<img src="https://x.example/m.png"' in (repository.folder / "c.md").read_text()
    with Image.open(repository.folder / "mail.png") as picture:
        assert picture.size == (780, 900)
        assert len(set(picture.convert("L").resize((78, 90)).tobytes())) > 10


@pytest.mark.parametrize("words", [("--base", "nothing"), ("--base", "--output=x")])
def test_a_base_that_git_does_not_know_is_one_sentence(repository: Repository, words: tuple[str, ...]) -> None:
    said = repository.run("comment", *words, ok=False)
    assert said.startswith("error: ")


def test_without_git_it_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "content").mkdir()
    env = {**os.environ, "PYTHONPATH": str(ROOT), "GIT_CEILING_DIRECTORIES": str(tmp_path)}
    done = commands.run(tmp_path, env, "comment")
    assert (done.returncode, done.stderr[:7]) == (1, "error: ")
    assert "run this in the newsletter's repository." in " ".join(done.stderr.split())


def test_the_checks_ask_the_ledger(repository: Repository, database: Database) -> None:
    repository.write("hello", date.today().isoformat(), "First.", "Send: yes\nPreheader: In short\n")
    repository.run("publish", "--no-gate")
    with database.transaction() as tx:
        tx.run("UPDATE sends SET state = 'finished', started_at = now(), finished_at = now()")
        tx.run("UPDATE deliveries SET state = 'delivered'")
    assert repository.run("check").endswith("nothing found.\n")
    repository.write("hello", date.today().isoformat(), "Second.", "Send: yes\nPreheader: In short\n")
    assert "The text has changed since this issue was sent" in repository.run("check")
    repository.write("hello", date.today().isoformat(), "Second.", "Send: yes\nEdition: 2\nAudience: pyhton\n")
    repository.run("check", ok=False)
    repository.write("hello", date.today().isoformat(), "Second.", "Send: yes\nEdition: 2\nAudience: sent edition 1\n")
    assert "audience" not in repository.run("check")
    repository.git("checkout", "-q", "-b", "draft")
    assert "**will send** *Hello* to **20 subscribers**" in repository.run("comment", "--base", "main")


@pytest.mark.slow
def test_what_is_for_paying_subscribers_is_not_quoted_in_the_report(repository: Repository) -> None:
    """It may be public. A finding about such a heading does not quote it, also when the issue cannot be built."""
    heading, secret = "Eleven cellars below Brewery Lane", "The ledger of the second winter names eleven cellars under the yard"
    repository.write("winter", "2026-11-24", f"Free.\n\n:::premium\n# {heading}\n\n#### {heading}\n\n{secret}.\n:::")
    repository.commit()
    said = repository.run("comment", "--base", "HEAD~1")
    assert "This is about text for paying subscribers, which is not quoted here" in said
    for words in (heading, secret):
        assert words not in said
    repository.write("winter", "2026-11-24", f"Free.\n\n:::premium\n# {heading}\n\n#### {heading}\n\n{secret}.")
    repository.commit()
    said = repository.run("comment", "--base", "HEAD~2")
    for words in (heading, secret):
        assert words not in said
    repository.write("winter", "2026-11-24", f"Free: {secret}.\n\n:::premium\n{secret}.\n:::")
    repository.commit()
    assert "Paid text would become public" in repository.run("comment", "--base", "HEAD~3", ok=False)
