"""``postmerge test``: an issue in your own inbox, before anybody else gets it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click
from rich.text import Text

from mailer.commands.common import as_json, load_settings, open_database, out, print_json
from mailer.commands.completion import complete_issue
from mailer.commands.publishing import remote_publish
from mailer.commands.publishing.build_steps import editions_of
from mailer.commands.publishing.publish import built, server_option
from mailer.core.edition import Edition
from mailer.core.errors import BadInput
from mailer.core.settings import Settings
from mailer.flows.transactional.test_emails import TestText, choose_edition, choose_text, send_test_email
from mailer.transports import make_transport


@click.command()
@click.argument("issue", shell_complete=complete_issue)
@click.option("--to", "recipients", multiple=True, metavar="ADDRESS", help="Send it here (repeatable).")
@click.option("--variant", default="", metavar="NAME", help="The text for these subscribers: premium, de, de premium.")
@built
@server_option
@as_json
def test(issue: str, recipients: Sequence[str], variant: str, built: bool, server: str, json: bool) -> None:
    """Send an issue to yourself, exactly as subscribers would get it. ISSUE is a key or a path.

    An address confirms once, by a link, that it wants test emails; those in POSTMERGE_REVIEWERS need not, and get it without
    --to. In `postmerge up` no address has to, and the email appears among the sent ones.

    Example: postmerge test content/issues/2026-11-24-hello.md --to me@example.org
    """
    settings = load_settings()
    if server:
        return _send_remotely(settings, server, issue, recipients, variant, built, json)
    settings.need_transport()
    default = settings.reviewers or ((settings.mailbox,) if settings.transport == "outbox" and settings.mailbox else ())
    to = list(dict.fromkeys(recipients or default))
    if not to:
        raise BadInput("Nobody to send it to: name an address with --to, or set POSTMERGE_REVIEWERS.")
    text = choose_text(choose_edition(editions_of(settings, built, quiet=json)[0], issue), variant)
    sent = _send(settings, text, to)
    if json:
        print_json({"issue": text.issue_key, "variant": text.variant, "digest": text.digest, "sent": sent})
    else:
        for address, done in sent.items():
            out.print(Text(_describe(text, address, done)), soft_wrap=True)
    if not all(sent.values()):
        sys.exit(1)


def _send_remotely(
    settings: Settings, server: str, issue: str, to: Sequence[str], variant: str, built: bool, json: bool
) -> None:  # fmt: skip
    there = remote_publish.server(server, settings, "test")
    edition = choose_edition(editions_of(settings, built, quiet=json)[0], issue)
    done = remote_publish.send_test(there, edition, variant, to)
    if json:
        return print_json(done)
    whom = ", ".join(to) or f"the server's {done['sent']} reviewers"
    out.print(Text(f"Sent {done['issue']} to {whom}: digest {done['digest'][:12]}."), soft_wrap=True)


def send_from_preview(settings: Settings, edition: Edition, variant: str, address: str) -> str:
    """Send a text that the preview shows; return what happened, in a sentence."""
    if not settings.database_url:
        raise BadInput("There is no database to write it down: start `postmerge up` in this folder, or set DATABASE_URL.")
    text = choose_text(edition, variant)
    address = address or next(iter(settings.reviewers), "") or settings.mailbox
    return _describe(text, address, _send(settings, text, [address], "preview")[address])


def _send(settings: Settings, text: TestText, to: Sequence[str], source: str = "cli") -> dict[str, bool]:
    """Send a text to each address; return who got it and who has to confirm first."""
    from mailer import editions

    site_name, transport, database = editions.site_name(settings.config), make_transport(settings), open_database(settings)
    try:
        return {one: send_test_email(database, settings, transport, site_name, text, one, source) for one in to}
    finally:
        database.close()


def _describe(text: TestText, address: str, sent: bool) -> str:
    if sent:
        variant = f" ({text.variant})" if text.variant else ""
        return f"Sent {text.issue_key}{variant} to {address}: “[Test] {text.subject}”."
    return f"{address} got a link to confirm that it wants test emails: open it, then try again."
