"""``postmerge new``: a file with the right front matter."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click
from rich.text import Text

from mailer.commands.common import load_settings, out
from mailer.core.errors import BadInput, Refused
from mailer.editions.source import site_config
from mailer.editions.source.front_matter import slugify

_HEAD = """Title: {title}
Date: {date}
Tags:
Summary:
Preheader:
Send: {send}
Status: draft

"""


@click.command()
@click.argument("title")
@click.option("--date", default="", metavar="YYYY-MM-DD", help="The issue's date (default: today).")
@click.option("--send", default="yes", show_default=True, help="yes, no, or a time with a time zone.")
def new(title: str, date: str, send: str) -> None:
    """Create a draft of an issue with its front matter and print the file name.

    Example: postmerge new "The answer that never came"
    """
    settings = load_settings()
    site = site_config.read(settings.content, settings.config, settings.site_url)
    title = " ".join(title.split())
    if not title:
        raise BadInput('The title is empty: write `postmerge new "Your title"`.')
    day = _parse_day(date, site.zone)
    name = slugify(title)[:80].strip("-")
    issues = site.root / "issues"
    path = (issues if issues.is_dir() else site.root) / f"{day:%Y-%m-%d}{'-' if name else ''}{name}.md"
    _create_file(path, _HEAD.format(title=title, date=f"{day:%Y-%m-%d %H:%M}", send=_check_send(send)))
    out.print(Text(site.shown(path)), soft_wrap=True)
    out.print(
        Text(f"Preview it with `postmerge write {site.shown(path)}`. Remove `Status: draft` when it is ready."), soft_wrap=True
    )


def _parse_day(text: str, zone: str) -> datetime:
    now = datetime.now(ZoneInfo(zone))
    if not text:
        return min(now, now.replace(hour=9, minute=0))  # a date ahead would contradict `Send: yes`
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(hour=9)
    except ValueError as error:
        raise BadInput(f"`--date {text}` is not a date: use the form 2026-11-24.") from error


def _check_send(text: str) -> str:
    from mailer.editions.source.front_matter import moment

    if text.lower() not in ("yes", "no"):
        moment(text)
    return text


def _create_file(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise Refused(f"{path.name} already exists: choose another title, or edit that file.") from None
    except OSError as error:
        raise BadInput(f"{path} cannot be written ({error.strerror}): check the folder's permissions.") from error
