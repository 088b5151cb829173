"""The archive-live gate: before the first mail, the issue's page must be public and carry the edition's digest.

So must the page of each translation: mails lead to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mailer.core import log
from mailer.core.db import Database, Tx
from mailer.flows.publishing.preflight import live_digest
from mailer.flows.sending.send_control import halt
from mailer.store.publishing import editions
from mailer.store.sending import sends
from mailer.store.sending.sends import NOT_STARTED, Send, State

events = log.get("gate")

AGAIN = timedelta(seconds=15)
LONGEST = timedelta(hours=1)  # since the first look; after that the send is paused and a person is asked


def is_open(database: Database, send: Send) -> bool:
    """May the send start? Fetches the page outside any transaction; when it is not live, the send waits, at last it holds."""
    if not send.gated:
        return True
    with database.transaction() as tx:
        pages = editions.pages(tx, send.edition_id)
    url, found = next(((url, found) for url, digest in pages if (found := live_digest(url)) != digest), ("", ""))
    if not url:
        return True
    what = "shows another text" if found else "does not show this issue"
    with database.transaction() as tx:
        if not still(tx, send):
            return False
        if send.page_awaited_since and datetime.now(UTC) - send.page_awaited_since > LONGEST:
            halt(tx, send, State.PAUSED, _held(send, url, what))
        else:
            sends.await_page(tx, send.id, AGAIN, f"{url} {what} yet; it starts as soon as that is live")
    events.warning("send.waits_for_page", send=send.id)
    return False


def still(tx: Tx, send: Send) -> Send | None:
    """The send, locked, unless it was started, changed or taken away since it was read: fetching a page takes long."""
    now = sends.lock(tx, send.id)
    same = now and (now.state, now.due_at, now.edition_id, now.gated) == (send.state, send.due_at, send.edition_id, send.gated)
    return now if same and now and now.state in NOT_STARTED else None


def _held(send: Send, url: str, what: str) -> str:
    return f"{url} still {what}: deploy the site and then `postmerge resume {send.id}`, or `… --no-gate` to mail without it"
