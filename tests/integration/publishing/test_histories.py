"""Series of merges: whatever git does to the files, each issue is sent once, with the text of the last merge before that."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mailer.core.db import Database, Tx
from mailer.core.edition import Finding, SendIntent
from mailer.core.errors import Refused
from mailer.core.settings import Settings
from mailer.flows.publishing.publish import Request, adopt_issues, cancel_send, publish
from mailer.flows.publishing.publish_plan import Action
from mailer.store.sending import sends
from mailer.store.sending.sends import Send
from tests.factories import NOW, add_subscribers, edition, old, settings
from tests.histories import File, History, Repository, build
from tests.integration.publishing.test_publish import Limits, Publish, states
from tests.integration.publishing.test_publish import run as run

ALLOWED = ("many",)
ADVICE = {
    r"^(?P<path>\S+) may be a new issue or .* write `Id: (?P<root>\S+)` or": "identity",
    r"^(?P<path>\S+) has nearly the same text as": "own text",
    r"give (?P<path>\S+) a `Slug:` of its own": "own slug",
    r"^(?P<path>\S+) has the `Id: .* give it an `Id:` of its own, or remove the line": "own id or none",
    r"^(?P<path>\S+):1: The issue key .* give one of them another `Id:`": "own id",
}


class Publishing:
    """Publishes a history's merges; where a merge is refused, the writer does what the refusal says."""

    def __init__(self, database: Database, conf: Settings, history: History) -> None:
        self.database, self.conf, self.history = database, conf, history

    def merge(self, files: Repository, issue: str = "") -> None:
        for _ in range(8):
            editions, findings = build(files)
            try:
                publish(self.database, self.conf, [old(), *editions], findings, Limits(), Request(issue=issue, allow=ALLOWED))
            except Refused as refused:
                self.history.story.append(str(refused))
                files = self.advised(files, str(refused))
            else:
                return self.history.published(files)
        raise AssertionError(f"doing what the refusals say does not end: {self.history.story[-8:]}")

    def advised(self, files: Repository, refusal: str) -> Repository:
        """The files after the writer did what the first sentence says."""
        found = [
            (match, what) for line in refusal.split("\n") for where, what in ADVICE.items() if (match := re.search(where, line))
        ]
        assert found, refusal
        match, what = found[0]
        file = files[match["path"]]
        return {**files, file.path: self._mended(file, what, match.groupdict())}

    def _mended(self, file: File, what: str, said: Mapping[str, str]) -> File:
        own = f"id-{file.uid}-{self.history.random.randrange(1000)}"
        if what == "own text":
            return replace(file, text=self.history.fresh_text())
        if what == "own slug":
            return replace(file, slug=f"slug-{own}")
        if what == "identity":
            return replace(file, id=said["root"] if self.uid_of(said["root"]) == file.uid else own)
        return replace(file, id="" if what == "own id or none" and self.history.random.random() < 0.5 else own)

    def uid_of(self, root: str) -> int:
        """Which issue was sent under this key; 0 when none was."""
        with self.database.transaction() as tx:
            rows = tx.all(f"{_SENDS} WHERE sends.issue_key = %(root)s ORDER BY sends.id", root=root)
        return int(rows[0]["preheader"].split()[0]) if rows else 0

    def start(self) -> None:
        """The hold window is over, and the emails are out."""
        with self.database.transaction() as tx:
            tx.run("UPDATE sends SET state = 'finished', started_at = now(), finished_at = now() WHERE state = 'holding'")
        self.history.expected.start()

    def cancel(self) -> None:
        """The operator cancels one of the waiting sends."""
        with self.database.transaction() as tx:
            rows = tx.all(f"{_SENDS} WHERE sends.state = 'holding' ORDER BY sends.id")
        if rows:
            row = self.history.random.choice(rows)
            cancel_send(self.database, f"send:{row['id']}")
            self.history.expected.cancel((int(row["preheader"].split()[0]), row["edition_number"]))

    def ledger(self) -> dict[tuple[int, int], tuple[str, int]]:
        """Sends that wait or have begun."""
        with self.database.transaction() as tx:
            rows = tx.all(f"{_SENDS} WHERE sends.state <> 'cancelled' ORDER BY sends.id")
        found: dict[tuple[int, int], tuple[str, int]] = {}
        for row in rows:
            uid, version = map(int, row["preheader"].split())
            key = uid, row["edition_number"]
            assert key not in found, f"a second send of issue {key}"
            found[key] = "waiting" if row["state"] == "holding" else "begun", version
        return found


_SENDS = """
    SELECT sends.id, edition_number, state, preheader FROM sends JOIN editions ON editions.id = sends.edition_id
"""


def play(database: Database, conf: Settings, seed: int, merges: int) -> None:
    """One history, with the ledger looked at after each merge."""
    with database.transaction() as tx:
        tx.run("TRUNCATE issues, sends, editions CASCADE")
    adopt_issues(database, conf, [old()])
    history = History(seed)
    publishing = Publishing(database, conf, history)
    for _ in range(merges):
        publishing.merge(history.next_merge())
        wanted = {key: at for key, at in history.expected.sends.items() if at[0] != "cancelled"}
        assert publishing.ledger() == wanted, f"seed {seed}: {history.story}"
        what = history.random.random()
        if what < 0.4:
            publishing.start()
        elif what < 0.45:
            publishing.cancel()


@pytest.fixture
def conf(tmp_path: Path) -> Settings:
    return settings(tmp_path, hold=timedelta(minutes=10))


# The first ten found a send that was doubled or lost when only paths and titles were looked at.
@pytest.mark.parametrize("seed", [10, 12, 15, 46, 47, 53, 62, 63, 79, 83, *range(10)])
def test_random_histories_send_each_issue_once(database: Database, conf: Settings, seed: int) -> None:
    add_subscribers(database, 1)
    play(database, conf, seed, merges=12)


OTHER = "<p>Seven swans were counted at dawn by volunteers who had slept badly in a cold hut near the reeds.</p>"
LONG = edition().body + "<p>And as every week, the list of those to whom we owe thanks, and the line on how to write to us.</p>"


def begun(database: Database) -> None:
    """What waits has begun, and is out."""
    with database.transaction() as tx:
        tx.run("UPDATE sends SET state = 'finished', started_at = now(), finished_at = now() WHERE state = 'holding'")


@pytest.mark.parametrize("in_the_hold_window", [True, False])
def test_a_lower_edition_than_one_that_was_sent_sends_nothing(
    database: Database, run: Publish, conf: Settings, in_the_hold_window: bool
) -> None:
    if in_the_hold_window:
        run(edition(), conf=conf)
    run(edition(number=2), conf=conf)
    begun(database)
    for _ in range(2):
        done = run(edition(), conf=conf)
        assert done.send_ids == ()
        assert "edition 2, a higher one, is finished as send" in done.plan.steps[-1].why
    assert run(edition(), conf=conf, issue="2026-11-24-hello").send_ids == ()
    assert len(run(edition(number=3), conf=conf).send_ids) == 1


def test_a_lower_edition_is_not_sent_when_the_higher_one_begins_at_that_moment(
    database: Database, run: Publish, conf: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(edition(number=2), conf=conf)

    def late(tx: Tx, send_id: int) -> Send | None:
        tx.run("UPDATE sends SET state = 'sending', started_at = now() WHERE id = %(id)s", id=send_id)
        return sends.get(tx, send_id)

    monkeypatch.setattr(sends, "lock", late)
    with pytest.raises(Refused, match="The ledger changed while publishing"):
        run(edition(), conf=conf)
    assert len(states(database)) == 1


def test_an_adopted_issue_is_not_sent_after_two_merges_under_another_name(
    database: Database, run: Publish, conf: Settings
) -> None:
    adopt_issues(database, conf, [old(), edition()])
    for key in ("hello-again", "hello-again", "hello-at-last"):
        assert run(replace(edition(), key=key, path=f"issues/{key}.md"), conf=conf).send_ids == ()
    assert states(database) == []


@pytest.mark.parametrize("name", ["preheader", "lang", "title", "url", "html", "text"])
def test_whatever_the_email_is_made_from_is_corrected_in_the_hold_window(
    database: Database, run: Publish, conf: Settings, name: str
) -> None:
    run(edition(), conf=conf)
    corrected = replace(edition(), **{name: "de"})  # type: ignore[arg-type]
    run(corrected, conf=conf)
    with database.transaction() as tx:
        assert tx.value(f"SELECT {name} FROM editions JOIN sends ON editions.id = sends.edition_id") == "de"
    assert run(corrected, conf=conf).plan.of(Action.UPDATE) == []


def test_a_copy_that_asks_to_be_sent_only_later_is_refused_as_well(database: Database, run: Publish, conf: Settings) -> None:
    run(edition(), conf=conf)
    begun(database)
    copy = edition("copy", title="Copy", body=edition().body, send=SendIntent.NO)
    assert run(edition(), copy, conf=conf).send_ids == ()
    with pytest.raises(Refused, match=r"copy\.md has nearly the same text as issues/2026-11-24-hello\.md"):
        run(edition(), replace(copy, send=SendIntent.YES), conf=conf)


def test_a_renamed_and_half_rewritten_issue_is_not_sent_again_beside_a_new_file_of_its_old_name(
    database: Database, run: Publish, conf: Settings
) -> None:
    run(edition(body=LONG), conf=conf)
    begun(database)
    moved = replace(edition(body=OTHER), key="moved", path="issues/moved.md", url="http://127.0.0.1:9/issues/moved/")
    new = edition(title="Swans", body="<p>Bread without yeast.</p>", dated=NOW - timedelta(days=1), send=SendIntent.NO)
    assert run(moved, new, conf=conf).send_ids == ()
    done = run(moved, replace(new, send=SendIntent.YES), conf=conf)
    assert [step.edition.title for step in done.plan.of(Action.SEND) if step.edition] == ["Swans"]


TEMPLATES: dict[str, dict[str, Any]] = {
    "the title of each week": {"title": "Title of 2026-11-24-hello", "body": LONG + OTHER},
    "most of the text": {"title": "Another week", "body": LONG + OTHER},
    "the name and the title": {"key": "2026-11-24-hello", "title": "Title of 2026-11-24-hello", "body": OTHER},
}


@pytest.mark.parametrize("asks_at_once", [True, False])
@pytest.mark.parametrize("name", TEMPLATES)
def test_a_new_issue_that_resembles_one_that_is_gone_is_sent_once_its_id_says_that_it_is_new(
    database: Database, run: Publish, conf: Settings, name: str, asks_at_once: bool
) -> None:
    run(edition(body=LONG), conf=conf)
    begun(database)
    facts: dict[str, Any] = {"key": "next", "dated": NOW + timedelta(days=1), "path": "issues/2027/next.md", **TEMPLATES[name]}
    new = edition(**facts)
    if not asks_at_once:
        run(conf=conf)
        for _ in range(2):
            assert run(replace(new, send=SendIntent.NO), conf=conf).send_ids == ()
    with pytest.raises(Refused, match=r"next\.md may be a new issue or the one that was at issues/2026-11-24-hello\.md"):
        run(new, conf=conf)
    assert len(run(replace(new, key="of-its-own", named=True), conf=conf).send_ids) == 1
    assert run(replace(edition(body=LONG)), conf=conf).send_ids == (), "the one that was gone comes back"


def test_an_issue_comes_back_to_a_path_that_another_one_had_in_the_meantime(
    database: Database, run: Publish, conf: Settings
) -> None:
    first, second = edition(), edition(key="2026-11-24-hello-2", title="Swans", body=OTHER, dated=NOW - timedelta(days=1))
    run(first, conf=conf)
    begun(database)
    run(conf=conf)
    second = replace(second, path=first.path)
    assert len(run(second, conf=conf).send_ids) == 1
    begun(database)
    for again in (first, second, first):
        assert run(again, conf=conf).send_ids == ()
    assert len(states(database)) == 2


def test_an_id_that_was_copied_and_then_changed_in_the_old_file_moves_no_issue(
    database: Database, run: Publish, conf: Settings
) -> None:
    first = edition("x", path="issues/b-old.md", named=True)
    run(first, conf=conf)
    begun(database)
    new = edition("x", path="issues/a-new.md", named=True, title="Swans", body=OTHER, dated=NOW - timedelta(days=1))
    with pytest.raises(Refused, match=r"a-new\.md has the `Id: x` of an issue that is in issues/b-old\.md"):
        run(replace(first, key="y"), new, conf=conf)
    done = run(replace(first, key="y"), replace(new, key="z", url="http://127.0.0.1:9/issues/z/"), conf=conf)
    assert [step.edition.path for step in done.plan.of(Action.SEND) if step.edition] == ["issues/a-new.md"]


def test_a_refusal_names_the_sends_that_it_does_not_change(database: Database, run: Publish, conf: Settings) -> None:
    run(edition(), conf=conf)
    late = edition("late", body=OTHER, audience="nobody-has-this")
    with pytest.raises(Refused, match=r"Send 1 of 2026-11-24-hello was not cancelled and starts at .*`postmerge cancel 1`"):
        run(late, conf=conf)
    with pytest.raises(Refused, match="Send 1 of 2026-11-24-hello was not changed and starts at"):
        run(late, edition(subject="Corrected"), conf=conf)


def test_a_file_that_cannot_be_read_any_more_does_not_cancel_its_send(database: Database, run: Publish, conf: Settings) -> None:
    run(edition(), conf=conf)
    broken = Finding("error", edition().path, 1, "`Title:` is missing.")  # after a conflict nothing says `Send:` any more
    with pytest.raises(Refused, match="`Title:` is missing"):
        run(conf=conf, findings=[broken])
    assert states(database) == ["holding"]


def test_what_the_operator_chose_is_sent_once_when_it_is_reverted_and_merged_again(
    database: Database, run: Publish, conf: Settings
) -> None:
    plain = edition(send=SendIntent.NO)
    run(plain, conf=conf)
    run(plain, conf=conf, issue=plain.key)
    for merged, state in (((), "cancelled"), ((plain,), "holding"), ((plain,), "holding")):
        run(*merged, conf=conf)
        assert states(database) == [state]
