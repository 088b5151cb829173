"""``postmerge publish --preview``: the site that a branch would make, shown by the server. Sends and publishes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import click
from rich.text import Text

from mailer.commands.common import err, out, print_json
from mailer.commands.publishing import remote_publish
from mailer.commands.publishing.build_steps import editions_of
from mailer.core.errors import BadInput
from mailer.core.settings import Settings
from mailer.editions.site.preview_files import collect_preview
from mailer.exchange.site_preview import MAX_PREVIEW_BYTES, pack_preview
from mailer.workbench.history import History

_MAX_NAMED_FILES = 3


@dataclass(frozen=True)
class PreviewOptions:
    """What was asked with ``--preview``. ``branch`` is empty for the one that git says, ``base`` for ``origin/main``."""

    branch: str
    base: str
    remove: bool
    reviewer_link: bool
    built: bool
    json: bool


def run_preview(settings: Settings, url: str, options: PreviewOptions) -> None:
    """Upload the preview of a branch and print its address, or remove it."""
    if not url:
        raise click.UsageError("--preview needs --server: the server shows the preview.")
    there, branch = remote_publish.server(url, settings, "preview"), options.branch or _find_branch(settings)
    if options.remove:
        remote_publish.remove_preview(there, branch)
        return (
            print_json({"branch": branch, "url": None}) if options.json else err.print(f"There is no preview of {branch} now.")
        )
    editions, _ = editions_of(settings, options.built, quiet=options.json)
    changed = _list_changed(settings, options.base)
    found = collect_preview(settings.site_folder, settings.site_url or _read_site_url(settings), editions, changed)
    done = remote_publish.upload_preview(there, branch, pack_preview(found.files), options.reviewer_link)
    if options.json:
        return print_json({"branch": branch, **done, "left_out": found.left_out})
    out.print(Text(done["url"]), soft_wrap=True)
    if done["reviewer_url"]:
        out.print(Text(done["reviewer_url"]), soft_wrap=True)
    end = datetime.fromisoformat(done["expires_at"])
    err.print(
        Text(f"The preview of {branch} is there until {end:%Y-%m-%d}. Scripts and forms do nothing in it."), soft_wrap=True
    )
    if found.left_out:
        err.print(Text(describe_left_out(found.left_out), "yellow"), soft_wrap=True)


def describe_left_out(paths: Sequence[str]) -> str:
    """Say in a sentence which files a preview does not have."""
    named, more = ", ".join(paths[:_MAX_NAMED_FILES]), len(paths) - _MAX_NAMED_FILES
    named += f" and {more} more" if more > 0 else ""
    return f"A preview has at most {MAX_PREVIEW_BYTES >> 20} MB, so these come from the live site, if it has them: {named}."


def _find_branch(settings: Settings) -> str:
    branch = History(settings.content).find_branch()
    if not branch:
        raise BadInput("git has no branch checked out here: name it with --branch.")
    return branch


def _list_changed(settings: Settings, base: str) -> list[str]:
    """Paths of what the branch changed in the content, from the folder that holds it; empty without ``origin/main``."""
    try:
        history = History(settings.content)
        changed, _ = history.changed(history.fork(base or "origin/main"))
    except BadInput:
        if base:
            raise
        return []
    return [path.relative_to(settings.content.resolve().parent).as_posix() for path in changed]


def _read_site_url(settings: Settings) -> str:
    from mailer.commands.publishing.check import Look

    return Look(settings).site.url
