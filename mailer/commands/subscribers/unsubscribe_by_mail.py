"""``postmerge leave-by-mail``: one mail on standard input, from the mail server's pipe."""

from __future__ import annotations

import sys

import click

from mailer.commands.common import err, load_settings, open_database, out
from mailer.core.errors import Unavailable
from mailer.flows.subscribers import unsubscribe_by_mail

TRY_AGAIN = 75  # EX_TEMPFAIL: the mail server keeps the mail and comes back


@click.command("leave-by-mail")
def leave_by_mail() -> None:
    """Read one mail from standard input: who asks in it to leave, leaves.

    For the pipe of a mail server, and whatever reads a mailbox. Exit code 75 when the database is away.

    Example: postmerge leave-by-mail < message.eml
    """
    settings = load_settings()
    raw = sys.stdin.buffer.read(unsubscribe_by_mail.MAX_EMAIL_BYTES)
    try:
        out.print(str(unsubscribe_by_mail.take(open_database(settings), settings, raw)))
    except Unavailable as error:
        err.print(str(error), soft_wrap=True)
        sys.exit(TRY_AGAIN)
