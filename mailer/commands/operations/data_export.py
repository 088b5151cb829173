"""``postmerge export`` and ``postmerge import-data``: everything of an installation in open formats, and the way back."""

from __future__ import annotations

from pathlib import Path

import click
from rich.text import Text

from mailer.commands.common import as_json, err, load_settings, open_database, out, print_json
from mailer.commands.plurals import count
from mailer.core.db import Database
from mailer.flows.operations.data_export import export_everything
from mailer.flows.operations.data_import import ImportedData, import_data


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@as_json
def export(folder: Path, json: bool) -> None:
    """Export everything in open formats into a new folder: subscribers with evidence, sends, deliveries, events, payments.

    Issues are files already. The files are JSON Lines, from one moment, and only you may read them.

    Example: postmerge export ../export-2026-11-30
    """
    settings = load_settings()
    manifest = export_everything(open_database(settings), settings, folder)
    rows = manifest.count_rows()
    if json:
        return print_json({"folder": str(folder), "files": len(manifest.files), "rows": rows})
    out.print(Text(f"Exported {count(rows, 'row')} in {count(len(manifest.files), 'file')} to {folder}."), soft_wrap=True)
    out.print("Keep POSTMERGE_SECRET too: the export does not contain it, and links in sent emails need it.", soft_wrap=True)


@click.command("import-data")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@as_json
def import_data_command(folder: Path, json: bool) -> None:
    """Bring an export into an empty database. Nothing is sent by it, and nothing at all until `fence accept`.

    Example: postmerge import-data ../export-2026-11-30
    """
    settings = load_settings()
    done = import_data(Database(settings.need_database()), settings, folder)
    if json:
        return print_json(vars(done))
    _show(done)


def _show(done: ImportedData) -> None:
    out.print(f"Imported {count(sum(done.rows.values()), 'row')} of the export of {done.at}.", soft_wrap=True)
    if done.paused:
        out.print(f"Paused {count(len(done.paused), 'send')}: {', '.join(map(str, done.paused))}.", soft_wrap=True)
    if done.set_aside:
        out.print(f"Set {count(done.set_aside, 'pending transactional email')} aside.", soft_wrap=True)
    out.print("Nothing is sent until you run `postmerge fence accept`: stop the old installation first.", soft_wrap=True)
    if done.lacks_secret:
        err.print(
            Text("POSTMERGE_SECRET lacks a value that it had in the old installation: links in sent emails fail.", style="red"),
            soft_wrap=True,
        )
