"""``postmerge comment``: the report on a change, for the pull request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
from rich.text import Text

from mailer import editions
from mailer.checks import Document, Remark
from mailer.commands.common import err, load_settings, open_database
from mailer.commands.publishing import remote_publish
from mailer.commands.publishing.check import Look
from mailer.commands.publishing.publish import server_option
from mailer.core.edition import Edition, Finding
from mailer.core.errors import BadInput, PostmergeError
from mailer.core.settings import Settings
from mailer.editions.site.preview import Preview
from mailer.editions.source import paid_leaks
from mailer.editions.source.paid_sections import reads_paid
from mailer.editions.source.site_config import EXTENSIONS, Site
from mailer.editions.source.translations import as_issues
from mailer.flows.publishing import publish
from mailer.flows.publishing.publish import Outlook
from mailer.flows.publishing.publish_plan import Action
from mailer.flows.publishing.sequence_plan import list_broken
from mailer.transports import make_transport
from mailer.workbench.history import History
from mailer.workbench.picture import draw_phones
from mailer.workbench.review import Change, Review, escape_sentence, render_review

_MAX_RENDERED_ISSUES = 20  # rendered for one report


@dataclass(frozen=True)
class Diff:
    """What a change did to the issues, and the commit to compare with."""

    history: History
    commit: str
    issues: Sequence[Path]
    gone: Sequence[Path]


@click.command()
@click.option(
    "--base", default="origin/main", show_default=True, metavar="REF", help="The branch the change will be merged into."
)
@click.option(
    "--since", default="", metavar="REF", help="Show what changed since this commit, such as the last push (default: --base)."
)
@click.option(
    "--output", "target", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file instead of printing."
)
@click.option(
    "--picture",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw the email on a phone, light and dark, in this PNG file (needs Chromium).",
)
@click.option("--picture-url", default="", metavar="URL", help="The public URL of that picture.")
@click.option("--built", is_flag=True, help="Use the last build instead of building now.")
@server_option
@click.option("--preview-url", default="", metavar="URL", help="The address that `postmerge publish --preview` printed.")
@click.option("--tests", is_flag=True, help="With --server: send what merging sends to the reviewers, each text once.")
def comment(
    base: str, since: str, target: Path | None, picture: Path | None, picture_url: str, built: bool, server: str,
    preview_url: str, tests: bool,
) -> None:  # fmt: skip
    """Report in Markdown what merging a change would send, what the checks found, and what changed in the email.

    Examples: postmerge comment --base origin/main; postmerge comment --output comment.md --picture email.png
    """
    settings = load_settings()
    history = History(settings.content)
    fork = history.fork(base)
    changed, gone = history.changed(fork)
    issues = [path for path in changed if path.suffix.lower() in EXTENSIONS]
    look = Look(settings, issues) if issues else None
    report = editions.load(settings.editions_folder) if built else editions.build(editions.BuildOptions.of(settings))
    site = Look(settings).site if look is None else look.site
    diff = Diff(history, history.fork(since) if since else fork, issues, gone)
    changes = _list_changes(settings, site, diff, report.editions)
    outlook, why = _preview_publish(settings, report.editions, report.findings, server)
    shown = picture_url if _draw_picture(changes, picture, site) else ""
    detector = paid_leaks.LeakDetector(
        [*paid_leaks.secrets(report.editions), *_list_unpublished_secrets(look, report.editions)]
    )
    remarks = [_redact(detector, one) for one in look.remarks()] if look else []
    left_out = _list_left_out(look, report.editions)
    tested = _send_tests(remote_publish.server(server, settings), outlook) if server and tests and outlook else ""
    made = Review(
        changes, remarks, outlook, why, site.zone, settings.hold, since or base, shown, left_out, tested,
        list_broken(report.findings), report.editions,
        preview_url,
    )  # fmt: skip
    text = render_review(made)
    paid_leaks.insist(detector.find("The comment", text))
    if target:
        _write_file(target, text)
    else:
        click.echo(text, nl=False)


def _list_unpublished_secrets(look: Look | None, made: Sequence[Edition]) -> list[paid_leaks.Secret]:
    """Issues with errors are in no edition: where one of them asks to keep something back, all its text is kept back."""
    broken = _list_unmade(look, made)
    return [
        paid_leaks.Secret(doc.shown, doc.source.body)
        for doc in broken
        if doc.fields.get("access") or ":::" in doc.text or reads_paid(doc.text)
    ]


def _list_left_out(look: Look | None, made: Sequence[Edition]) -> list[tuple[str, str]]:
    """Changed issues that the build left out, each with why."""
    return [(doc.shown, "it is a draft" if doc.is_draft else "it has errors") for doc in _list_unmade(look, made)]


def _list_unmade(look: Look | None, made: Sequence[Edition]) -> list[Document]:
    if look is None:
        return []
    good = {look.site.root.parent / text.path for edition in made for text in as_issues(edition)}
    return [doc for doc in look.docs if not doc.is_page and doc.path not in good]


def _redact(detector: paid_leaks.LeakDetector, remark: Remark) -> Remark:
    """Return the finding, without words that it quotes from paid text."""
    if not detector.find("", remark.message):
        return remark
    said = (
        f"This is about text for paying subscribers, which is not quoted here: run `postmerge check {remark.path}` to see it."
    )
    return replace(remark, message=said)


def _list_changes(settings: Settings, site: Site, diff: Diff, made: Sequence[Edition]) -> list[Change]:
    by_path = {text.path: (edition, text) for edition in made for text in as_issues(edition)}
    with diff.history.content_at(diff.commit) as folder:
        old_root = folder.resolve()
        before = Preview(replace(editions.BuildOptions.of(settings), content=old_root))

        def was(path: Path) -> Edition | None:
            old = old_root / path.relative_to(site.root)
            try:
                return before.show(old).edition if old.is_file() else None
            except PostmergeError:
                return None

        found = []
        for path in diff.issues[:_MAX_RENDERED_ISSUES]:
            original, now = by_path.get(site.source_name(path), (None, None))
            if now:
                found.append(Change(site.shown(path), now, was(path), original if original is not now else None))
        lost = [
            path for path in diff.gone[:_MAX_RENDERED_ISSUES] if path.suffix.lower() in EXTENSIONS and not site.is_page(path)
        ]
        return found + [Change(site.shown(path), None, was(path)) for path in lost]


def _preview_publish(
    settings: Settings, made: Sequence[Edition], findings: Sequence[Finding], server: str
) -> tuple[Outlook | None, str]:
    if server:
        return _preview_remotely(remote_publish.server(server, settings), made, findings)
    if not settings.database_url:
        return None, "The database is not available here, so the number of subscribers is unknown."
    try:
        request = publish.Request()
        return publish.preview_publish(open_database(settings), settings, made, findings, make_transport(settings), request), ""
    except PostmergeError as error:
        return None, f"The number of subscribers is unknown: {error}"


def _preview_remotely(
    there: remote_publish.Server, made: Sequence[Edition], findings: Sequence[Finding]
) -> tuple[Outlook | None, str]:
    try:
        order, _ = remote_publish.hand_over(there, made, "", (), False)
        return remote_publish.make_outlook(remote_publish.plan(there, order, findings), made), ""
    except PostmergeError as error:
        return None, f"What the server would do is unknown: {error}"


def _send_tests(there: remote_publish.Server, outlook: Outlook) -> str:
    """Send each text that merging sends to the reviewers who have not got it; say what happened."""
    sending = [step.edition for step in outlook.plan.of(Action.SEND, Action.UPDATE) if step.edition]
    try:
        for edition in sending:
            for variant in ("", *(one.name for one in edition.variants)):
                remote_publish.send_test(there, edition, variant, (), once=True)
    except PostmergeError as error:
        return f"The reviewers were not sent this version: {escape_sentence(str(error))}"
    return "The reviewers were sent this very text." if sending else ""


def _draw_picture(changes: Sequence[Change], target: Path | None, site: Site) -> bool:
    drawn = sorted((change for change in changes if change.now), key=lambda change: change.original is not None)
    edition = drawn[0].now if drawn else None
    if not target or not edition:
        return False
    try:
        draw_phones(edition.html.replace(f'src="{site.url}/', f'src="{site.root.as_uri()}/'), target)
    except PostmergeError as error:
        err.print(Text(str(error), style="yellow"), soft_wrap=True)
        return False
    return True


def _write_file(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{path} cannot be written ({error.strerror}): choose a file in a writable folder.") from error
