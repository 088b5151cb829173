"""Who wrote an issue: `Author:` in front matter, described once in ``POSTMERGE_AUTHORS``; and whether replies are invited."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from babel.lists import format_list
from markupsafe import Markup, escape

from mailer.core import i18n
from mailer.core.characters import parse_sender
from mailer.core.errors import BadInput
from mailer.editions.source.front_matter import Asked
from mailer.editions.source.page_extras import find_image

MAX_AUTHOR_NAME_CHARS = 200
_KEYS = {"url", "picture"}
_NO_REPLY = re.compile(r"(do[._-]?not|no)[._-]?reply", re.IGNORECASE)


@dataclass(frozen=True)
class IssueAuthor:
    """An author: the name, and the addresses of a page about them and of a square picture; empty if there are none."""

    name: str
    url: str = ""
    picture: str = ""

    @property
    def schema(self) -> dict[str, str]:
        """Return the author in the words of schema.org."""
        facts = {"name": self.name, "url": self.url, "image": self.picture}
        return {"@type": "Person", **{name: value for name, value in facts.items() if value}}


def read_authors(settings: Mapping[str, Any], root: Path, site_url: str) -> dict[str, IssueAuthor]:
    """Read POSTMERGE_AUTHORS, by name; ``root`` is the content folder. Raises BadInput that names what to correct."""
    declared = settings.get("POSTMERGE_AUTHORS") or {}
    if not isinstance(declared, Mapping):
        raise BadInput('POSTMERGE_AUTHORS in pelicanconf.py is no dictionary: write {"Ada": {"url": "https://…"}}.')
    return {str(name): _read_author(str(name), facts, root, site_url) for name, facts in declared.items()}


def _read_author(name: str, facts: Any, root: Path, site_url: str) -> IssueAuthor:
    wrong = f"POSTMERGE_AUTHORS in pelicanconf.py: the author {name[:40]!r}"
    if not isinstance(facts, Mapping) or set(facts) - _KEYS or not all(isinstance(value, str) for value in facts.values()):
        raise BadInput(f'{wrong} can have texts for "url" and "picture", and nothing else.')
    if not name.strip() or len(name) > MAX_AUTHOR_NAME_CHARS:
        raise BadInput(f"{wrong} needs a name of at most {MAX_AUTHOR_NAME_CHARS} characters.")
    url, picture = facts.get("url", "").strip(), facts.get("picture", "").strip()
    if url and not url.startswith(("https://", "http://")):
        raise BadInput(f'{wrong} has the "url" {url[:60]!r}: write a whole address, with https://.')
    if picture and not picture.startswith(("https://", "http://")):
        path = (root / picture.lstrip("/")).resolve()
        if not path.is_relative_to(root) or not path.is_file():
            raise BadInput(f"{wrong} has the picture {picture[:60]!r}, which is no file in {root.name}/: correct its name.")
    return IssueAuthor(" ".join(name.split()), url, find_image({"image": picture}, site_url, ""))


def list_authors(article: Any, original: Any, known: Mapping[str, IssueAuthor]) -> tuple[IssueAuthor, ...]:
    """List who wrote an issue: those in its front matter, else in that of the issue it translates, else ``AUTHOR``.

    ``AUTHOR`` counts only if it is among the described ones: most often it is the newsletter's name.
    """
    names = _named(article) or (_named(original) if original else [])
    usual = str(article.settings.get("AUTHOR") or "")
    found = names or ([usual] if usual in known else [])
    if len(found) == 1 and found[0] not in known:  # `Author: Ada, Grace`, as `Authors:` is written
        parts = [part.strip() for part in found[0].split(",")]
        found = parts if all(part in known for part in parts) else found
    return tuple(known.get(name, IssueAuthor(name)) for name in dict.fromkeys(found))


def _named(article: Any) -> list[str]:
    given = article.metadata.get("authors") or [article.metadata.get("author")]
    return [" ".join(str(one).split())[:MAX_AUTHOR_NAME_CHARS] for one in given if one]


def format_byline(authors: Sequence[IssueAuthor], lang: str) -> Markup:
    """Return "By Ada and Charles" as markup, with links; empty without authors."""
    spoken = i18n.spoken(lang)
    names = [Markup('<a href="{}">{}</a>').format(one.url, one.name) if one.url else escape(one.name) for one in authors]
    say = i18n.translator(spoken, Markup)
    return Markup(say("By %(names)s", names=_join(names, spoken)) if names else "")  # noqa: S704


def format_plain_byline(authors: Sequence[IssueAuthor], lang: str) -> str:
    """Return the same as a line of plain text."""
    spoken = i18n.spoken(lang)
    say = i18n.translator(spoken)
    names = [f"{one.name} ({one.url})" if one.url else one.name for one in authors]
    return f"{say('By %(names)s', names=_join(names, spoken))}\n" if names else ""


def _join(names: Sequence[str], spoken: str) -> Markup:
    """Join as the language does: ``A, B and C``. The pattern is Babel's, and the names are what they were."""
    return Markup(format_list([str(name) for name in names], locale=i18n.locale(spoken)))  # noqa: S704


def invites_reply(asked: Asked | None, reply_to: str, sender: str) -> bool:
    """Do replies to an email go to somebody, as far as addresses say? The last two are the newsletter's own."""
    address = (asked.reply_to if asked else "") or reply_to or (asked.sender if asked else "") or sender
    return bool(address) and not _NO_REPLY.match(parse_sender(address).address)
