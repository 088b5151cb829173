"""``postmerge unsubscribe-by-email``: one email on standard input, from a mail server's pipe."""

from __future__ import annotations

import sys

import click

from mailer.commands.common import err, load_settings, open_database, out
from mailer.core.errors import Unavailable
from mailer.flows.subscribers.unsubscribe_by_email import process_email
from mailer.webhooks.incoming_email import MAX_EMAIL_BYTES

TRY_AGAIN = 75  # EX_TEMPFAIL: the mail server keeps the email and retries


@click.command("unsubscribe-by-email")
def unsubscribe_by_email() -> None:
    """Read one email from standard input and unsubscribe the sender if it asks for that.

    For a pipe from your mail server or a script that reads a mailbox. Exits with 75 if the database is unavailable.

    Example: postmerge unsubscribe-by-email < message.eml
    """
    settings = load_settings()
    raw = sys.stdin.buffer.read(MAX_EMAIL_BYTES)
    try:
        out.print(str(process_email(open_database(settings), settings, raw)))
    except Unavailable as error:
        err.print(str(error), soft_wrap=True)
        sys.exit(TRY_AGAIN)
