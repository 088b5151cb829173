"""The page gate: before the first email, the issue's page must be public and carry the edition's digest.

So must the page of each translation, because emails link to it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mailer.core import log
from mailer.core.db import Database, Tx
from mailer.flows.publishing.preflight import fetch_live_digest
from mailer.flows.sending.send_control import halt_send
from mailer.store.publishing import editions
from mailer.store.sending import sends
from mailer.store.sending.sends import NOT_STARTED, Send, SendState

logger = log.get("gate")

RETRY_INTERVAL = timedelta(seconds=15)
MAX_WAIT = timedelta(hours=1)  # since the first check; after that, the send is paused and the operator notified


def check_page(database: Database, send: Send, site_url: str = "") -> bool:
    """Whether the send may start. Fetches the pages outside any transaction; until they are live, the send backs off.

    After ``MAX_WAIT``, the send is paused.
    """
    if not send.gated:
        return True
    with database.transaction() as tx:
        pages = editions.list_pages(tx, send.edition_id)
    url, found = next(
        ((url, found) for url, digest in pages if (found := fetch_live_digest(url, site_url)) != digest), ("", "")
    )
    if not url:
        return True
    what = "shows another text" if found else "does not show this issue"
    with database.transaction() as tx:
        if not lock_unchanged(tx, send):
            return False
        if send.page_awaited_since and datetime.now(UTC) - send.page_awaited_since > MAX_WAIT:
            halt_send(tx, send, SendState.PAUSED, _pause_reason(send, url, what))
        else:
            sends.await_page(tx, send.id, RETRY_INTERVAL, f"{url} {what} yet; the send starts as soon as the page is live")
    logger.warning("send.waits_for_page", send=send.id)
    return False


def lock_unchanged(tx: Tx, send: Send) -> Send | None:
    """Lock the send; None if it was started, changed or cancelled since it was read (fetching a page takes long)."""
    now = sends.lock(tx, send.id)
    same = now and (now.state, now.due_at, now.edition_id, now.gated) == (send.state, send.due_at, send.edition_id, send.gated)
    return now if same and now and now.state in NOT_STARTED else None


def _pause_reason(send: Send, url: str, what: str) -> str:
    return f"{url} still {what}: deploy the site and run `postmerge resume {send.id}`, or `… --no-gate` to send without it"
