"""How long each table keeps its rows: the one place that says it, and the deletions that belong to no other module."""

from __future__ import annotations

from dataclasses import dataclass

from mailer.core.db import Tx

MAX_PRUNED_ROWS = 1000  # deleted by one statement


@dataclass(frozen=True)
class RetentionRule:
    """``kept`` is for people; ``old`` selects the keys of rows to delete here, oldest first ('' if another module does)."""

    kept: str
    key: str = ""
    old: str = ""


_SUBSCRIBER = "as long as the subscriber; deleted with the erasure"
_FOREVER = "forever: it is the proof of what was sent to whom, without addresses"
_STRIPE = "forever: the copy of Stripe's records that access and revenue follow from"
_OPERATOR = "until you delete it"

RULES = {
    "api_keys": RetentionRule("forever, revoked ones too: the request log names them"),
    "api_requests": RetentionRule("90 days"),
    "bulk_actions": RetentionRule(
        "90 days after its end", "id", "state IN ('processed', 'failed') AND done_at < now() - interval '90 days'"
    ),
    "bulk_targets": RetentionRule("until the bulk action has changed it"),
    "charges": RetentionRule(_STRIPE),
    "consents": RetentionRule(_SUBSCRIBER),
    "customer_deletions": RetentionRule(_STRIPE),
    "customers": RetentionRule(_STRIPE),
    "deliveries": RetentionRule(_FOREVER),
    "delivery_events": RetentionRule(_FOREVER),
    "delivery_sums": RetentionRule("forever: a few rows for each old send; made again when a late event changes it"),
    "desk_acts": RetentionRule("forever: who did what on the desk; rows are only ever added"),
    "desk_links": RetentionRule("30 days after they expired"),
    "desk_sessions": RetentionRule("30 days after they expired"),
    "digests": RetentionRule("forever: a row a week and a month"),
    "edition_variants": RetentionRule(_FOREVER),
    "draft_images": RetentionRule(
        "90 days; the branches of drafts that show it have it too", "id", "created_at < now() - interval '90 days'"
    ),
    "drafts": RetentionRule(_OPERATOR),
    "editions": RetentionRule(_FOREVER),
    "email_domains": RetentionRule("90 days", "domain", "asked_at < now() - interval '90 days'"),
    "enrolments": RetentionRule(_SUBSCRIBER),
    "entitlements": RetentionRule(_SUBSCRIBER),
    "erased": RetentionRule("forever: a keyed hash, so that no import adds the person again"),
    "events": RetentionRule("forever, in a partition for each month"),
    "events_rest": RetentionRule("as `events`; it stays empty"),
    "exports": RetentionRule("90 days; the file itself is never stored", "id", "created_at < now() - interval '90 days'"),
    "fence": RetentionRule("forever: one row"),
    "firewall": RetentionRule("forever: one row"),
    "gifts": RetentionRule(_STRIPE),
    "grants": RetentionRule(_SUBSCRIBER),
    "heartbeats": RetentionRule("7 days after the process was last seen"),
    "idempotency": RetentionRule("1 day"),
    "import_parts": RetentionRule("until the import ends, and at most 1 day"),
    "import_runs": RetentionRule("forever: the evidence that was given for imported addresses"),
    "imports": RetentionRule("forever: counts, without addresses"),
    "inbox_emails": RetentionRule("30 days"),
    "issue_texts": RetentionRule("as long as the issue"),
    "issues": RetentionRule(_FOREVER),
    "kept_figures": RetentionRule("until they are counted again; the sums of a past month's events forever"),
    "lifted_suppressions": RetentionRule("as long as the subscriber; deleted with the erasure of its address"),
    "limits": RetentionRule("until the limit is unused again"),
    "notes": RetentionRule(_OPERATOR),
    "notices": RetentionRule("90 days", "id", "created_at < now() - interval '90 days'"),
    "queue_samples": RetentionRule("2 minutes"),
    "receipts": RetentionRule("forever: the signed, public proof of what was sent; rows are only ever added"),
    "rejected_events": RetentionRule("the newest of each source; see `postmerge events --unread`"),
    "resource_claims": RetentionRule("until the request ends"),
    "restore_journal": RetentionRule("30 days"),
    "reviewers": RetentionRule(_OPERATOR),
    "scanner_visits": RetentionRule(_SUBSCRIBER),
    "schema_migrations": RetentionRule("forever: one row for each migration"),
    "segments": RetentionRule(_OPERATOR),
    "sends": RetentionRule(_FOREVER),
    "sequence_emails": RetentionRule(_SUBSCRIBER),
    "sequence_steps": RetentionRule("forever: a row for each step of a sequence"),
    "sequences": RetentionRule("forever: a row for each sequence"),
    "signup_minutes": RetentionRule("31 days"),
    "sns_messages": RetentionRule("as long as SNS can deliver the message again"),
    "standstills": RetentionRule("until the standstill is over"),
    "stripe_account": RetentionRule("forever: one row"),
    "stripe_events": RetentionRule("400 days after they were processed", "id", "done_at < now() - interval '400 days'"),
    "subscriber_tags": RetentionRule("as long as the subscriber has the tag"),
    "subscribers": RetentionRule(
        "until the erasure; unconfirmed ones `POSTMERGE_KEEP_UNCONFIRMED`, unsubscribed ones `POSTMERGE_KEEP_UNSUBSCRIBED`"
    ),
    "subscriptions": RetentionRule(_STRIPE),
    "suppressions": RetentionRule("until it is lifted, or its address is erased"),
    "tags": RetentionRule(_OPERATOR),
    "tallies": RetentionRule("forever: a few rows for each counter"),
    "test_emails": RetentionRule("400 days"),
    "transactional_email_events": RetentionRule(_SUBSCRIBER),
    "transactional_emails": RetentionRule(f"{_SUBSCRIBER}; monthly reports 400 days"),
    "unknown_events": RetentionRule("400 days", "day", "day < now() - interval '400 days'"),
    "uploaded_editions": RetentionRule("90 days after they were last used"),
    "warmup": RetentionRule("until the warm-up ends"),
    "warmup_days": RetentionRule("until the warm-up ends"),
    "webhook_attempts": RetentionRule("as long as the message"),
    "webhook_messages": RetentionRule(
        "90 days after it was delivered or given up",
        "id",
        "state IN ('delivered', 'failed') AND settled_at < now() - interval '90 days'",
    ),
    "webhooks": RetentionRule(_OPERATOR),
    "work_progress": RetentionRule("forever: a row for each kind of work"),
}  # by table


def delete_old_rows(tx: Tx, table: str) -> int:
    """Delete up to ``MAX_PRUNED_ROWS`` old rows of a table; return how many."""
    rule = RULES[table]
    if not rule.old:
        return 0
    return tx.run(
        f"DELETE FROM {table} WHERE ({rule.key}) IN"
        f" (SELECT {rule.key} FROM {table} WHERE {rule.old} ORDER BY {rule.key} LIMIT {MAX_PRUNED_ROWS})"
    )
