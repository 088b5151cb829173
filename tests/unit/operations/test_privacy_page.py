"""The sample privacy page names everything that the database stores about a person."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "content" / "pages" / "privacy.md").read_text(encoding="utf-8")
SCHEMA = (ROOT / "mailer" / "schema.sql").read_text(encoding="utf-8")
PERSONAL = re.compile(
    r"^\s+(subscriber_id|email|email_normal|ip|inbox|address|address_hash|hash|customer_id|key|body|payload|facts)\b",
    re.M,
)
# Where the page speaks of a table, in its words
SAID = {
    "subscribers": "your email address",
    "consents": "from which IP address and page, and the words you agreed to",
    "deliveries": "when it was sent, whether it was delivered",
    "delivery_events": "what the receiving server said",
    "events": "whether it was delivered, bounced or was reported as spam",
    "transactional_emails": "for each email",
    "transactional_email_events": "for each email",
    "enrolments": "which series of emails you are in",
    "sequence_emails": "which of them you got",
    "scanner_visits": "that a program opened the hidden link",
    "events_rest": "whether it was delivered, bounced or was reported as spam",
    "rejected_events": "reports of Amazon SES that could not be read",
    "webhook_messages": "messages about you to services that we have connected",
    "limits": "counters of your IP address and network",
    "inbox_emails": "scrambled codes of your address",
    "suppressions": "that an address unsubscribed, bounced or reported spam",
    "lifted_suppressions": "that an address unsubscribed, bounced or reported spam",
    "erased": "after deletion, a scrambled code of it",
    "restore_journal": "so that a restored backup forgets none of it",
    "notes": "our notes about our correspondence",
    "entitlements": "what you may read",
    "grants": "what you may read",
    "subscriptions": "your plan, its price, dates, pauses and end",
    "customers": "your customer number at Stripe",
    "customer_deletions": "your customer number at Stripe",
    "charges": "each payment, refund and dispute",
    "subscriber_tags": "your topics",
    "reviewers": "whether you want test emails",
    "test_emails": "which test emails we sent you",
    "gifts": "gifts: the plan, the amount, who gets it",
}
OTHERS = {
    "api_keys", "api_requests", "drafts", "desk_links", "desk_sessions", "editions", "edition_variants", "idempotency",
    "issue_texts", "issues", "sequence_steps", "tallies",
}  # about no subscriber  # fmt: skip
COLUMNS = {
    "ip": "IP address", "lang": "your language", "tags": "your topics", "frequency": "how often you want email",
    "paused_until": "your pauses", "metadata": "what else you entered in a form", "notes": "our notes",
    "referrer_url": "the page", "utm_campaign": "campaign", "wording": "the words you agreed to",
}  # fmt: skip


def tables() -> dict[str, str]:
    """The columns of each table, as written."""
    return dict(re.findall(r"^CREATE TABLE (\w+) \((.*?)^\)", SCHEMA, re.M | re.S))


@pytest.mark.parametrize("name", [name for name, columns in tables().items() if PERSONAL.search(columns)])
def test_the_page_speaks_of_every_table_about_a_person(name: str) -> None:
    assert name in SAID or name in OTHERS, f"{name} is new: say on content/pages/privacy.md what it stores, and add it here"
    assert SAID.get(name, "") in PAGE


@pytest.mark.parametrize(("column", "words"), COLUMNS.items())
def test_the_page_speaks_of_every_kind_of_column(column: str, words: str) -> None:
    assert words in PAGE


@pytest.mark.parametrize(
    "words",
    ["Who is responsible", "Legal basis", "Amazon SES", "Stripe", "withdraw your consent", "data protection authority",
     "download all your data", "object"],
)  # fmt: skip
def test_the_page_says_what_the_gdpr_asks_for(words: str) -> None:
    assert words in PAGE
