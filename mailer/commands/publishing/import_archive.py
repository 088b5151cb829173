"""``postmerge import``: the archive of another tool as issues, in two steps and without a send."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import click
from rich.progress import Progress
from rich.text import Text

from mailer.archives import recognition
from mailer.archives.archive_files import ArchiveContents
from mailer.archives.import_layout import ArchiveImport, ImportedFile, plan_import
from mailer.archives.import_writer import replace_text, write_files
from mailer.archives.picture_fetch import (
    WantedPicture,
    describe_failures,
    fetch_pictures,
    list_wanted,
    place_fetched,
    rewrite_present,
)
from mailer.archives.picture_links import find_host
from mailer.archives.posts import ImportRemark
from mailer.commands.common import as_json, load_settings, open_database, out, print_json
from mailer.commands.plurals import count
from mailer.commands.publishing.build_steps import build_site
from mailer.core.settings import Settings
from mailer.editions.source import site_config
from mailer.flows.publishing.publish import adopt_imported

_MAX_SHOWN = 20  # files of each kind; --json has all


@click.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--from", "tool", type=click.Choice(recognition.NAMES), help="The tool (default: recognized).")
@click.option("--fetch-pictures", "fetch", is_flag=True, help="Fetch the pictures that posts show from other hosts.")
@click.option("--old-url", metavar="URL", default="", help="The old site's address, for pictures whose address has no host.")
@click.option("--apply", is_flag=True, help="Write the files; without it, only show what would be written.")
@as_json
def import_archive(path: Path, tool: str | None, fetch: bool, old_url: str, apply: bool, json: bool) -> None:
    """Bring the archive of another tool along as issues. Nothing is ever sent, and running it again adds only what is new.

    Examples: postmerge import substack.zip; postmerge import substack.zip --fetch-pictures --apply
    """
    settings = load_settings()
    site = site_config.read(settings.content, settings.config, settings.site_url)
    files = ArchiveContents(path)
    plan = plan_import(recognition.read_posts(files, tool or ""), site, links_stay=not fetch)
    wanted = list_wanted(plan, site.root, old_url) if fetch else []
    written = _write(plan, files, site, wanted, old_url) if apply else []
    adopted = _adopt(settings, plan, [f"{site.root.name}/{file.path}" for file in plan.files], json) if apply else None
    if json:
        return print_json(_list_facts(plan, wanted, len(written), adopted))
    _show(plan, site, apply)
    _show_fetched(plan, wanted, apply)
    _show_end(plan, apply, adopted)


def _write(
    plan: ArchiveImport, files: ArchiveContents, site: site_config.Site, wanted: list[WantedPicture], old_url: str
) -> list[Path]:
    """Fetch pictures, and write the files with them or without."""
    if not wanted:
        return write_files(plan, files, site.root)
    with (
        tempfile.TemporaryDirectory(prefix=".postmerge-pictures-", dir=site.root.parent) as folder,
        Progress(console=out, transient=True, disable=not out.is_terminal) as bar,
    ):
        task = bar.add_task("Fetching pictures", total=len(wanted))
        fetched = fetch_pictures(wanted, Path(folder), progress=lambda: bar.advance(task))
        place_fetched(plan, fetched, old_url)
        written = write_files(plan, files, site.root, fetched.files)
    for path, text in rewrite_present(plan, site.root, fetched, old_url):
        replace_text(path, text)
    plan.fetched = len(fetched.paths)
    plan.remarks += describe_failures(wanted, fetched)
    return written


def _adopt(settings: Settings, plan: ArchiveImport, paths: Collection[str], quiet: bool) -> int | None:
    """Build, and record what was imported as published without a send; None without a database."""
    if not settings.database_url:
        return None
    database = open_database(settings)
    report = build_site(settings, quiet)
    adopted = adopt_imported(database, settings, report.editions, set(paths))
    wrong = [one for one in report.findings if one.level == "error" and one.path in paths]
    plan.remarks += [ImportRemark(f"{one.path}:{one.line}", one.message) for one in wrong]
    return adopted


def _show(plan: ArchiveImport, site: site_config.Site, applied: bool) -> None:
    pictures = sum(len(file.pictures) for file in plan.files)
    drafts = sum(file.post.draft for file in plan.files)
    verb = "Wrote" if applied else "Would write"
    out.print(
        f"{plan.tool}: {verb} {count(len(plan.files), 'issue')} ({count(drafts, 'draft')}) and {count(pictures, 'picture')};"
        f" {len(plan.present)} already here.",
        soft_wrap=True,
    )
    for file in plan.files[:_MAX_SHOWN]:
        out.print(Text(f"  {site.root.name}/{file.path}{_describe(file)}"), soft_wrap=True)
    _show_rest(plan.files)
    if plan.remarks:
        out.print(f"Not carried, or changed ({len(plan.remarks)}):")
    for remark in plan.remarks:
        out.print(Text(f"  {remark.where}: {remark.message}"), soft_wrap=True)


def _show_fetched(plan: ArchiveImport, wanted: list[WantedPicture], applied: bool) -> None:
    hosts = len({find_host(one.url) for one in wanted})
    if wanted:
        counted = f"{count(len(wanted), 'picture')} on {count(hosts, 'other host')}"
        out.print(f"Fetched {plan.fetched} of {counted}." if applied else f"Would fetch {counted}.", soft_wrap=True)


def _describe(file: ImportedFile) -> str:
    words = [word for word, holds in (("draft", file.post.draft), ("paid", file.post.premium)) if holds]
    return f" ({', '.join(words)})" if words else ""


def _show_rest(files: Sequence[ImportedFile]) -> None:
    if len(files) > _MAX_SHOWN:
        out.print(f"  and {len(files) - _MAX_SHOWN} more (--json lists all)")


def _show_end(plan: ArchiveImport, applied: bool, adopted: int | None) -> None:
    if not applied:
        out.print("Nothing was written. Add --apply to write these files; nothing is sent then either.", soft_wrap=True)
    elif adopted is None:
        out.print(
            "Nothing is sent: each file says `Send: no`. Without a database here, run `postmerge adopt` where it is.",
            soft_wrap=True,
        )
    else:
        out.print(
            f"The ledger has {count(adopted, 'new issue')} as published without a send: nothing of them can be sent.",
            soft_wrap=True,
        )


def _list_facts(plan: ArchiveImport, wanted: list[WantedPicture], written: int, adopted: int | None) -> dict[str, Any]:
    files = [
        {"path": file.path, "title": file.post.title, "where": file.post.where, "draft": file.post.draft,
         "paid": file.post.premium, "pictures": list(file.pictures)}
        for file in plan.files
    ]  # fmt: skip
    remarks = [vars(remark) for remark in plan.remarks]
    present = [one.path for one in plan.present]
    elsewhere = [one.url or one.address for one in wanted]
    done = {"elsewhere": elsewhere, "fetched": plan.fetched, "written": written, "adopted": adopted}
    return {"tool": plan.tool, "files": files, "present": present, "remarks": remarks, **done}
