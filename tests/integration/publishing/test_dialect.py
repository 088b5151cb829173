"""The dialect of Markdown and the library that reads it decide how issues look, never what is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailer.core.db import Database
from mailer.core.settings import Settings
from mailer.editions.mail import gfm
from mailer.flows.publishing.publish import Request, adopt_issues, publish
from mailer.flows.scheduled.send_scheduler import advance_sends
from mailer.store.sending.sends import SendState
from tests.factories import add_subscribers, old, settings
from tests.integration.editions.test_builds import QUICK
from tests.integration.editions.test_editions import NewsletterFolder
from tests.integration.editions.test_gfm_builds import BODY, choose
from tests.integration.publishing.test_publish import Limits, states

HEAD = "Title: {}\nDate: {:%Y-%m-%d %H:%M}\nSend: yes"


def list_sent_texts(database: Database) -> list[tuple[str, int, str]]:
    with database.transaction() as tx:
        rows = tx.all(
            "SELECT sends.issue_key, editions.number, editions.digest FROM sends"
            " JOIN editions ON editions.id = sends.edition_id ORDER BY sends.id"
        )
    return [(row["issue_key"], row["number"], row["digest"]) for row in rows]


def test_another_dialect_and_another_version_send_nothing_again(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf, folder = settings(tmp_path / "state"), NewsletterFolder(tmp_path / "site")
    choose(folder, QUICK + 'POSTMERGE_MARKDOWN = ""')
    folder.write("hello.md", HEAD.format("Hello", old().dated), BODY)
    folder.write("2026-11-01-plain.md", HEAD.format("Plain", old().dated), "No construct at all.\n")
    add_subscribers(database, 3)
    adopt_issues(database, conf, [old()])
    assert len(publish_again(database, conf, folder, "many", "old")) == 2
    advance_sends(database, conf)
    assert states(database) == [SendState.SENDING, SendState.SENDING]
    before = list_sent_texts(database)

    choose(folder, 'POSTMERGE_MARKDOWN = "gfm"')
    assert publish_again(database, conf, folder) == ()
    choose(folder, "POSTMERGE_SMART_QUOTES = True")
    assert publish_again(database, conf, folder) == ()
    convert = gfm.to_html
    monkeypatch.setattr(gfm, "renderer", lambda: "comrak 99")
    monkeypatch.setattr(gfm, "to_html", lambda text, chosen: convert(text, chosen).replace("<p>", '<p class="new">'))
    assert publish_again(database, conf, folder) == ()
    choose(folder, 'POSTMERGE_MARKDOWN = ""')
    assert publish_again(database, conf, folder) == ()
    assert list_sent_texts(database) == before


def publish_again(database: Database, conf: Settings, folder: NewsletterFolder, *allow: str) -> tuple[int, ...]:
    report = folder.build()
    return tuple(publish(database, conf, [old(), *report.editions], [], Limits(), Request("", allow, False)).send_ids)
