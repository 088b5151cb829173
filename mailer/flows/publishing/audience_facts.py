"""Facts from the ledger for the checks: subscribers' tags, audience sizes, and issues already sent."""

from __future__ import annotations

from mailer.checks import Ledger
from mailer.core import audience
from mailer.core.db import Database
from mailer.flows.subscribers import segment_rules
from mailer.store.publishing import issues
from mailer.store.sending import audiences, sends
from mailer.store.sending.sends import SendState


def load_ledger(database: Database) -> Ledger:
    """Return the checks' view of the ledger. Raises Unavailable without a database."""
    with database.transaction() as tx:
        now = {known.root: known.key for known in issues.list_all(tx)}
        roots = {key: root for root, key in now.items()}
        sent = [send for send in sends.list_all(tx) if send.state is not SendState.CANCELLED and send.started_at]
    by_key = {(now.get(send.issue_key, send.issue_key), send.edition_number): send.digest for send in sent}

    def unknown_tags(rule: str) -> list[str]:
        with database.transaction() as tx:
            return audiences.list_unknown_tags(tx, audience.tags(segment_rules.read_rule(tx, rule)))

    def size(rule: str, key: str) -> int:
        with database.transaction() as tx:
            return audiences.count(tx, audience.of_issue(segment_rules.read_rule(tx, rule), roots.get(key, key)))

    return Ledger(unknown_tags, size, by_key)
