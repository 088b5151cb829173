"""``postmerge check``: report problems in issues at file:line:column, for people and programs."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
from rich.text import Text

from mailer import checks
from mailer.checks import CHECKS, Context, Document, Remark, Rendered, network, output, own_words
from mailer.commands.common import err, load_settings, out
from mailer.commands.plurals import count
from mailer.core import i18n
from mailer.core.db import Database
from mailer.core.errors import BadInput, PostmergeError
from mailer.core.migrate import need_current
from mailer.core.settings import Settings
from mailer.editions import BuildOptions
from mailer.editions.site.preview import Preview
from mailer.editions.source import site_config
from mailer.editions.source.site_config import Site
from mailer.flows.publishing.audience_facts import load_ledger

_MAX_REMARKS_PER_CHECK = 5  # remarks of one check, when the whole newsletter is looked at
_COLOURS = {"error": "red", "warning": "yellow", "note": "cyan"}


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("--fix", is_flag=True, help="Correct what can be corrected automatically.")
@click.option("--format", "form", type=click.Choice(output.FORMATS), default="text", show_default=True, help="Output format.")
@click.option("--json", "json", is_flag=True, help="Same as --format json.")
@click.option("--output", "target", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file instead.")
@click.option("--links", is_flag=True, help="Check that links work (uses the network).")
@click.option("--skip", multiple=True, metavar="ID", help="Skip a check (repeatable).")
@click.option("--strict", is_flag=True, help="Exit with 1 for warnings too.")
@click.option("--list", "listed", is_flag=True, help="List the checks.")
def check(
    files: Sequence[Path], fix: bool, form: str, json: bool, target: Path | None, links: bool, skip: Sequence[str],
    strict: bool, listed: bool,
) -> None:  # fmt: skip
    """Check issues: FILES, or all. Exits with 1 for errors, and with --strict for warnings.

    Examples: postmerge check; postmerge check content/issues/2026-11-24-hello.md --fix; postmerge check --format sarif
    """
    if listed:
        return _list()
    for name in skip:
        if name not in CHECKS:
            raise BadInput(f"There is no check {name!r}: `postmerge check --list` lists them.")
    started = time.monotonic()
    look = Look(load_settings(), files, skip)
    if fix:
        look.fix()
    remarks = look.remarks(links)
    seconds = time.monotonic() - started
    form = "json" if json else form
    text = "" if form == "text" else formatted(form, remarks, len(look.docs), seconds)
    if target:
        _write(target, text or "\n".join(map(str, remarks)))
    elif text or form != "text":
        click.echo(text)
    if form == "text" or target:
        _show(remarks, len(look.docs), seconds, every=bool(files))
    counts = checks.summary(remarks)
    if counts["error"] or (strict and counts["warning"]):
        sys.exit(1)


class Look:
    """The files that were asked for, and all that is known about their newsletter."""

    def __init__(self, settings: Settings, files: Sequence[Path] = (), skip: Sequence[str] = ()) -> None:
        self.site = site_config.read(settings.content, settings.config, settings.site_url)
        unknown = [name for name in self.site.off if name not in CHECKS]
        if unknown:
            raise BadInput(
                f"POSTMERGE_CHECKS_OFF names {unknown[0]!r}, which is not a check: `postmerge check --list` lists them."
            )
        self.skip = {*skip, *self.site.off}
        self.links_kept = settings.cache_folder / "links.json"
        every = checks.documents(self.site)
        chosen = {doc.path for doc in checks.documents(self.site, files)} if files else None
        self.docs = [doc for doc in every if chosen is None or doc.path in chosen]
        self.words = [] if files else list(i18n.own_catalogues().values())
        self.ctx = context(settings, self.site, [doc for doc in every if not doc.is_step])
        self._every, self._is_chosen = every, chosen is not None

    def remarks(self, links: bool = False) -> list[Remark]:
        """What the checks say."""
        found = checks.examine(self.docs, self.ctx, self.skip)
        if links:
            found += network.examine(self.docs, err, self.links_kept)
        found += own_words.examine(self.words, self.skip)
        shown = {str(Path(doc.shown).parent) for doc in self.docs}
        of_sequences = checks.sequences.examine(self.site, self._every, self.skip)
        found += [one for one in of_sequences if not self._is_chosen or str(Path(one.path).parent) in shown]
        return sorted(found, key=lambda one: (one.path, one.line, one.column))

    def fix(self) -> None:
        """Fetch missing pictures of videos, write the corrected files, and check them again."""
        if "video-picture" not in self.skip:
            for said in checks.videos.ThumbnailFetcher(self.site.root).fetch_missing(self.docs):
                err.print(Text(said), soft_wrap=True)
        for at, doc in enumerate(self.docs):
            data, number = checks.fixed(doc, checks.examine([doc], self.ctx, self.skip))
            if not number:
                continue
            try:
                doc.path.write_bytes(data)
            except OSError as error:
                raise BadInput(f"{doc.shown} cannot be written ({error.strerror}): check its permissions.") from error
            self.docs[at] = checks.document(self.site, doc.path)
            err.print(Text(f"{doc.shown}: {number} corrected."))


def context(settings: Settings, site: Site, every: Sequence[Document]) -> Context:
    """All that the checks know: the ledger only where there is one that answers."""
    preview = Preview(BuildOptions.of(settings))

    def render(path: Path) -> Rendered | None:
        try:
            return Rendered.of(preview.show(path))
        except PostmergeError:
            return None

    unsold = "" if settings.sells else "no key" if settings.plans.is_file() else "no plans"
    made = checks.context_of(site, every, render=render, unsold=unsold)
    if not settings.database_url or not any(doc.asks for doc in every):
        return made
    database = Database(settings.database_url)
    try:
        need_current(database)
        return replace(made, ledger=load_ledger(database))
    except PostmergeError as error:
        err.print(Text(f"The database was not used: {error}", style="yellow"), soft_wrap=True)
        return made


def formatted(form: str, remarks: Sequence[Remark], files: int, seconds: float) -> str:
    """The remarks in one of the machines' formats."""
    if form == "json":
        return output.as_json(remarks, files, seconds)
    return {"sarif": output.as_sarif, "github": output.as_github, "gitlab": output.as_gitlab}[form](remarks)


def _show(remarks: Sequence[Remark], files: int, seconds: float, every: bool) -> None:
    kinds: dict[tuple[str, str], list[Remark]] = {}
    for one in remarks:
        kinds.setdefault(("", "") if every else (one.level, one.id), []).append(one)
    for (_, name), several in sorted(kinds.items(), key=lambda kind: list(_COLOURS).index(kind[0][0] or "error")):
        shown = several if every else several[:_MAX_REMARKS_PER_CHECK]
        for one in shown:
            out.print(Text(str(one), style=_COLOURS[one.level]), soft_wrap=True)
        if left := several[len(shown) :]:
            where = count(len({one.path for one in left}), "file")
            out.print(f"… and {len(left):,} more of {name} in {where} (`--json` lists them all).", style="yellow")
    counts = checks.summary(remarks)
    said = ", ".join(f"{counts[level]:,} {level}{'s' if counts[level] != 1 else ''}" for level in _COLOURS if counts[level])
    fixable = sum(len(one.fixes) for one in remarks)
    hint = f"; `--fix` corrects {fixable:,}" if fixable else ""
    out.print(f"{count(files, 'file')} in {seconds:.1f} s: {said or 'nothing found'}{hint}.")


def _list() -> None:
    for one in CHECKS.values():
        out.print(
            Text.assemble((f"{one.id:20}", "bold"), (f"{one.level:8}", _COLOURS[one.level]), f" {one.about}"), soft_wrap=True
        )


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{path} cannot be written ({error.strerror}): choose a file in a writable folder.") from error
