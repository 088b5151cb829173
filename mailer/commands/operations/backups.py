"""``postmerge backup``, ``restore``, and ``reconcile-sends`` after a restore."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

import click
from rich.text import Text

from mailer.commands.common import as_json, err, load_settings, open_database, out, print_json
from mailer.commands.plurals import count
from mailer.core.db import Database
from mailer.flows.operations import backups, sent_records
from mailer.flows.operations.backups import BackupOptions


@click.command()
@click.argument("place")
@click.option("--recipient", default="", metavar="KEY", help="Encrypt with age for this recipient.")
@click.option("--keep", type=click.IntRange(0), default=0, help="Delete older backups beyond so many (default: keep all).")
@as_json
def backup(place: str, recipient: str, keep: int, json: bool) -> None:
    """Back up the database, the fence's half and the restore journal. PLACE is a folder or s3://BUCKET/PREFIX.

    Examples: postmerge backup /var/backups/postmerge --keep 14; postmerge backup s3://backups/weekly --recipient age1…
    """
    settings = load_settings()
    done = backups.make_backup(open_database(settings), settings, BackupOptions(place, recipient, keep))
    if json:
        return print_json(vars(done))
    out.print(Text(f"Backed up to {place}/{done.name} ({done.size:,} bytes)."), soft_wrap=True)
    if done.deleted:
        out.print(f"Deleted {count(len(done.deleted), 'older backup')}.")
    out.print("Keep POSTMERGE_SECRET elsewhere: the backup does not contain it.")


@click.command()
@click.argument("backup")
@click.option("--identity", type=click.Path(path_type=Path), default=None, help="File with the age identity.")
def restore(backup: str, identity: Path | None) -> None:
    """Restore a backup into an empty database. Nothing is sent until `fence accept`.

    Example: postmerge restore /var/backups/postmerge/postmerge-20261124T040000Z.tar
    """
    settings = load_settings()
    manifest = backups.restore_backup(Database(settings.need_database()), settings, backup, identity)
    out.print(f"Restored the backup of {manifest['at']}. Nothing is sent until you run `postmerge fence accept`.")
    if not set(manifest["secrets"]) <= set(backups.fingerprint_secrets(settings)):
        err.print(
            Text(
                "POSTMERGE_SECRET lacks a value that it had when the backup was made: links in sent emails fail.", style="red"
            ),
            soft_wrap=True,
        )


@click.command()
@click.argument("send")
@click.argument("file", type=click.File(encoding="utf-8", errors="replace"))
@click.option("--rest-uncertain", is_flag=True, help="Set aside whatever is pending afterwards: it is not sent.")
@as_json
def reconcile_sends(send: str, file: TextIO, rest_uncertain: bool, json: bool) -> None:
    """Mark what was sent since the backup. FILE has SES events, workers' log lines, or addresses, one a line; - reads stdin.

    Examples: postmerge reconcile-sends 12 worker.log; postmerge reconcile-sends 12 events.jsonl --rest-uncertain
    """
    settings = load_settings()
    done = sent_records.reconcile_send(open_database(settings), settings, send, file, rest_uncertain)
    if json:
        return print_json({**vars(done), "send": done.send.id})
    out.print(f"Send {done.send.id}: {count(done.marked, 'delivery')} marked as sent, {done.pending:,} pending.")
    if done.skipped:
        out.print(f"{count(done.skipped, 'subscriber')} skipped: the step was due for them.")
    if done.uncertain:
        out.print(f"{done.uncertain:,} set aside as uncertain: `postmerge uncertain {done.send.id}` lists them.")
    if done.unmatched:
        out.print(f"{count(done.unmatched, 'record')} named no delivery of this send.")
