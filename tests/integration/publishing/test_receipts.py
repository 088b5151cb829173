"""The receipt of a send: a signed manifest, and that `postmerge verify` finds every copy that is not what was sent."""

from __future__ import annotations

import base64
import json
import quopri
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import psycopg2.errors
import pytest

from mailer import editions
from mailer.commands.publishing.sent_copies import CopyCheck, check_copies
from mailer.core.db import Database
from mailer.core.errors import BadInput, Unavailable
from mailer.exchange import signing
from mailer.exchange.receipt import read_receipt
from mailer.flows.publishing.publish import Request, adopt_issues, publish
from mailer.flows.scheduled.send_scheduler import advance_sends
from mailer.flows.sending.delivery_worker import deliver_send
from mailer.flows.sending.receipts import sign_finished
from mailer.transports.outbox import Outbox
from mailer.workbench.history import History
from tests import factories, web
from tests.integration.editions.test_editions import NewsletterFolder
from tests.web import Web

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NEW_KEY = "ab" * 32


class Newsletter(Web):
    """A site on a socket, whose newest issue was sent."""

    def start(self, folder: Path, url: str) -> None:
        self.source = NewsletterFolder(folder)
        conf = self.source.folder / "pelicanconf.py"
        conf.write_text(f"{conf.read_text()}\nPOSTMERGE_CARDS = POSTMERGE_SEARCH = False\n")
        self.options = replace(self.source.options("build"), site_url=url)
        self.url = f"{url}/issues/hello/"
        self.write("A first paragraph about receipts.\n\nFrom the keeper, with äöü.")

    def write(self, text: str) -> None:
        """Write the issue and build the site."""
        self.source.write("hello.md", "Title: Hello\nDate: 2026-11-24 09:00\nSend: yes\n", f"{text}\n")
        self.report = editions.build(self.options)

    def send_issue(self) -> None:
        """Send it to three subscribers."""
        factories.add_subscribers(self.database, 3)
        adopt_issues(self.database, self.settings, [factories.old()])
        transport, request = Outbox(self.settings.outbox), Request(allow=("old",), commit=COMMIT)
        issues = [factories.old(), replace(self.report.editions[0], dated=factories.NOW)]
        [send] = publish(self.database, self.settings, issues, [], transport, request).send_ids
        advance_sends(self.database, self.settings)
        deliver_send(self.database, self.settings, transport, send)
        advance_sends(self.database, self.settings)

    @property
    def digest(self) -> str:
        return self.report.editions[0].digest

    def email(self) -> bytes:
        """One of the emails, as it arrived."""
        return (self.settings.outbox / f"{self.emails()[0].id}.eml").read_bytes()


@pytest.fixture
def newsletter(database: Database, tmp_path: Path) -> Iterator[Newsletter]:
    folder = tmp_path / "newsletter"
    found = Newsletter(factories.settings(tmp_path, database.url, build=folder / "build"), database)
    with web.served(found.app()) as url:
        found.start(folder, url)
        found.send_issue()
        yield found


def fetch(newsletter: Newsletter) -> bytes:
    """The receipt's file."""
    return bytes(newsletter.client.get(f"/receipts/{newsletter.digest}.json").content)


def outcomes(checks: list[CopyCheck]) -> dict[str, str]:
    return {one.what: one.outcome for one in checks}


def test_page_feed_email_and_receipt_are_the_same(newsletter: Newsletter) -> None:
    checks = check_copies(newsletter.url, newsletter.email(), "")
    assert outcomes(checks) == dict.fromkeys(("receipt", "page", "feed", "email"), "same"), checks
    facts = read_receipt(newsletter.client.get(f"/receipts/{newsletter.digest}.json").content)
    assert (facts["commit"], facts["audience"], facts["subscribers"], facts["state"]) == (COMMIT, "everyone", 3, "finished")
    assert {state: number for state, number in facts["outcomes"].items() if number} == {"accepted": 3}
    assert "@" not in json.dumps(facts)


def test_a_finished_sends_receipt_is_signed_once_and_later_bounces_do_not_change_it(newsletter: Newsletter) -> None:
    assert read_receipt(fetch(newsletter))["outcomes"]["accepted"] == 3
    assert sign_finished(newsletter.database, newsletter.settings) == 1
    kept = fetch(newsletter)
    facts = read_receipt(kept)
    assert (facts["state"], facts["outcomes"]["accepted"]) == ("finished", 3)
    with newsletter.database.transaction() as tx:
        tx.run("UPDATE deliveries SET state = 'bounced' WHERE subscriber_id = 1")
    newsletter.settings = replace(newsletter.settings, signing_key=NEW_KEY)
    newsletter.client = type(newsletter.client)(newsletter.app())
    assert sign_finished(newsletter.database, newsletter.settings) == 0
    assert fetch(newsletter) == kept
    assert facts["key"] in newsletter.client.get("/receipts/keys.json").json()["keys"]
    page = newsletter.client.get(f"/receipts/{newsletter.digest}").text
    assert '<code>accepted</code></th><td class="number">3</td>' in page
    assert "when the send had finished. Bounces and complaints that came later are not included." in page
    with pytest.raises(psycopg2.errors.RaiseException, match="only ever added"), newsletter.database.transaction() as tx:
        tx.run("DELETE FROM receipts")


def test_a_running_send_has_a_receipt_of_the_moment_and_none_is_kept(database: Database, tmp_path: Path) -> None:
    running = web.make(tmp_path, database)
    running.send(2)
    with database.transaction() as tx:
        tx.run("UPDATE sends SET state = 'sending', finished_at = NULL")
    assert sign_finished(database, running.settings) == 0
    digest = factories.edition().digest
    assert read_receipt(running.client.get(f"/receipts/{digest}.json").content)["state"] == "sending"
    assert "came later" not in running.client.get(f"/receipts/{digest}").text


def test_a_changed_email_is_found(newsletter: Newsletter) -> None:
    email = newsletter.email().replace(b"first paragraph", b"worst paragraph")
    assert outcomes(check_copies(newsletter.url, email, ""))["email"] == "differs"
    assert outcomes(check_copies(newsletter.url, b"Subject: other\n\nother", ""))["email"] == "differs"


def _attach(email: bytes, as_file: bool) -> bytes:
    outer = EmailMessage()
    outer["Subject"] = "Fwd: Hello"
    outer.set_content("See the attachment.")
    if as_file:
        outer.add_attachment(email, maintype="application", subtype="octet-stream", filename="Hello.EML")
    else:
        outer.add_attachment(message_from_bytes(email, policy=policy.default))
    return outer.as_bytes()


def _encode_again(email: bytes, encoding: str) -> bytes:
    """The email as a server in between may send it: another transfer encoding, folded headers, CRLF in what is encoded."""
    message = message_from_bytes(email)
    for part in message.walk():
        if part.get_content_maintype() == "text":
            data = bytes(part.get_payload(decode=True)).replace(b"\r\n", b"\n")
            del part["Content-Transfer-Encoding"]
            part["Content-Transfer-Encoding"] = encoding
            crlf = data.replace(b"\n", b"\r\n")
            part.set_payload(base64.encodebytes(crlf) if encoding == "base64" else quopri.encodestring(data))
    return message.as_bytes()


SAVED: dict[str, Callable[[bytes], bytes]] = {
    "with lines of Unix": lambda email: email.replace(b"\r\n", b"\n"),
    "after a server": lambda email: b"Return-Path: <a@b>\r\nReceived: from a by b;\r\n\tMon, 30 Nov 2026\r\n" + email,
    "in base64": lambda email: _encode_again(email, "base64"),
    "in quoted-printable": lambda email: _encode_again(email, "quoted-printable"),
    "from a mailbox": lambda email: b"From - Mon Nov 30 22:00:00 2026\n" + re.sub(rb"(?m)^From the", b">From the", email),
    "from Apple Mail": lambda email: b"%-10d\n" % len(email) + email + b'<?xml version="1.0"?><plist/>\n',
    "from an editor": lambda email: b"\xef\xbb\xbf" + email,
    "attached": lambda email: _attach(email, as_file=False),
    "attached as a file": lambda email: _attach(email, as_file=True),
    "folded": lambda email: re.sub(rb"(?m)^(List-Unsubscribe|Subject|X-Postmerge-Digest): ", rb"\1:\r\n ", email),
}


@pytest.mark.parametrize("kind", SAVED)
def test_an_email_is_the_same_however_it_travelled_and_was_saved(newsletter: Newsletter, kind: str) -> None:
    email = SAVED[kind](newsletter.email())
    assert b"From the keeper" in newsletter.email(), "a line that mailboxes change"
    assert outcomes(check_copies(newsletter.url, email, ""))["email"] == "same"
    changed = SAVED[kind](newsletter.email().replace(b"first paragraph", b"worst paragraph"))
    assert outcomes(check_copies(newsletter.url, changed, ""))["email"] == "differs"


def test_an_edited_page_says_so_and_the_sent_text_is_kept(newsletter: Newsletter) -> None:
    sent = newsletter.digest
    newsletter.write("A paragraph that was changed.")
    checks = check_copies(newsletter.url, newsletter.email(), "")
    assert outcomes(checks) == {"receipt": "same", "page": "differs", "feed": "same", "email": "same"}
    assert next(one.sentence for one in checks if one.what == "page").startswith("It was edited since it was sent")
    page = newsletter.client.get(f"/receipts/{newsletter.digest}", params={"page": newsletter.url}).text
    assert "Edited since it was sent" in page
    assert "A first paragraph about receipts." in page
    assert sent in page
    assert "This is exactly the text that was sent." in newsletter.client.get(f"/receipts/{sent}").text


def test_a_page_with_another_text_than_its_digest_is_found(newsletter: Newsletter) -> None:
    page = newsletter.settings.site_folder / "issues/hello/index.html"
    page.write_text(page.read_text().replace("A first paragraph", "A false paragraph"))
    assert outcomes(check_copies(newsletter.url, None, ""))["page"] == "differs"


def test_a_feed_with_another_text_is_found(newsletter: Newsletter) -> None:
    feed = newsletter.settings.site_folder / "feeds/all.json"
    for path in (feed, feed.with_name("all.atom.xml"), feed.with_name("all.rss.xml")):
        whole = path.read_text()
        assert outcomes(check_copies(newsletter.url, None, ""))["feed"] == "same"
        path.write_text(whole.replace("A first paragraph", "A false paragraph"))
        assert outcomes(check_copies(newsletter.url, None, ""))["feed"] == "differs"
        page = newsletter.settings.site_folder / "issues/hello/index.html"
        page.write_text("".join(line for line in page.open() if path.name not in line))  # leads to the next kind of feed


def test_any_changed_byte_of_a_receipt_is_noticed(newsletter: Newsletter) -> None:
    raw = newsletter.client.get(f"/receipts/{newsletter.digest}.json").content
    assert read_receipt(raw)["issue"] == "hello"
    for place in range(len(raw)):
        changed = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        with pytest.raises(BadInput, match=r"^(The receipt was changed|This is not a receipt)"):
            read_receipt(changed)


def test_after_a_rotation_the_old_key_is_still_published(newsletter: Newsletter) -> None:
    old = newsletter.client.get("/receipts/keys.json").json()["keys"]
    raw = newsletter.client.get(f"/receipts/{newsletter.digest}.json").content
    assert read_receipt(raw)["key"] == old[0]
    newsletter.settings = replace(newsletter.settings, signing_key=f"{NEW_KEY},public:{'cd' * 32}")
    newsletter.client = type(newsletter.client)(newsletter.app())
    keys = newsletter.client.get("/receipts/keys.json").json()["keys"]
    assert keys[1:] == ["cd" * 32, *old]
    assert read_receipt(newsletter.client.get(f"/receipts/{newsletter.digest}.json").content)["key"] == keys[0]


def test_a_receipt_signed_with_an_unknown_key_is_found(newsletter: Newsletter) -> None:
    [check] = [one for one in check_copies(newsletter.url, None, "ef" * 32) if one.what == "receipt"]
    assert (check.outcome, check.sentence) == ("differs", "It is signed with another key than the one you gave.")
    known = newsletter.client.get("/receipts/keys.json").json()["keys"][0]
    assert outcomes(check_copies(newsletter.url, None, known))["receipt"] == "same"


@pytest.mark.parametrize("key", ["short", f"public:{'ab' * 32}", f"{NEW_KEY},zz", "AB" * 32])
def test_a_signing_key_that_is_none_is_refused(key: str) -> None:
    with pytest.raises(BadInput, match="POSTMERGE_SIGNING_KEY is not valid"):
        signing.read_keys(key, ("x" * 32,))


def test_what_was_never_sent_has_no_receipt(newsletter: Newsletter) -> None:
    for path in (f"/receipts/{'0' * 64}", "/receipts/nothing", f"/receipts/{'0' * 64}.json?page=http://example.org/"):
        assert newsletter.client.get(path).status_code == 404
    with pytest.raises(BadInput, match="names no receipt"):
        check_copies(newsletter.url.replace("issues/hello/", ""), None, "")
    with pytest.raises(BadInput, match="There is no such page"):
        check_copies(f"{newsletter.url}missing/", None, "")
    with pytest.raises(Unavailable, match="does not respond"):
        check_copies("http://127.0.0.1:9/", None, "")


def test_a_commit_is_named_only_when_it_has_the_content(tmp_path: Path) -> None:
    (tmp_path / "content").mkdir()
    (tmp_path / "content/a.md").write_text("a")
    for words in (("init", "-q"), ("add", "."), ("-c", "user.name=a", "-c", "user.email=a@b.org", "commit", "-qm", "a")):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    head = subprocess.run(["git", "-C", str(tmp_path), "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout
    assert History(tmp_path / "content").find_commit() == head.strip()
    (tmp_path / "content/a.md").write_text("b")
    assert History(tmp_path / "content").find_commit() == ""
