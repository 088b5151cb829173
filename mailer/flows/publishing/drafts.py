"""Drafts that programs write through the API: stored first, then pushed to a branch of the newsletter's repository.

Nothing is sent: what a merge of the branch sends is decided by the merge. A draft that the repository refuses stays here with
the reason, and its next change is pushed again.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any

from mailer.core.db import Database
from mailer.core.i18n import local_time
from mailer.editions.source.front_matter import slugify
from mailer.flows.publishing.draft_images import FOLDER
from mailer.flows.sending import issue_overview
from mailer.flows.subscribers.subscriber_admin import Rejected
from mailer.forges.base import BranchChange, BranchTaken, Forge, ForgeError, PathTaken
from mailer.store.publishing import draft_images, drafts
from mailer.store.publishing.drafts import Draft

_MAX_NAMES = 100  # of drafts with the same title
_MAX_FILE_NAME_CHARS = 80
_MAX_BRANCHES = 10  # of one draft, when others have its name
_CLAIM_SECONDS = 300  # longer than a push takes; a killed process keeps a draft for so long
_MAX_CLAIM_WAIT_SECONDS = 30.0  # for another request that pushes the draft
_POLL_SECONDS = 0.1
_EDITOR_MODE = re.compile(r"\A\s*<!-- buttondown-editor-mode: \w+ -->\n?")


class DraftBusy(ForgeError):
    """Another request pushes the draft at the moment."""


@dataclass(frozen=True)
class DraftFields:
    """What a draft says. ``send`` is `yes` or a time with its zone; ``is_ready`` leaves out `Status: draft`.

    ``ignored`` names what the client gave and the file cannot say.
    """

    subject: str
    body: str = ""
    description: str = ""
    image: str = ""
    slug: str = ""
    send: str = "yes"
    is_ready: bool = False
    audience: str = ""
    premium: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()


def write_file(given: DraftFields, created_at: datetime) -> str:
    """The issue's file: front matter, an empty line, the text."""
    head = {
        "Title": given.subject or "Untitled",
        "Date": f"{local_time.to_local(created_at):%Y-%m-%d %H:%M}",
        "Slug": given.slug,
        "Summary": given.description,
        "Image": given.image,
        "Audience": given.audience,
        "Access": "premium" if given.premium else "",
        "Send": given.send,
        "Status": "" if given.is_ready else "draft",
    }
    # A line break in a title would begin another field, such as `Send:`.
    lines = [f"{name}: {' '.join(value.split())}" for name, value in head.items() if value.strip()]
    return "\n".join(lines) + "\n\n" + _EDITOR_MODE.sub("", given.body).strip().replace("\r\n", "\n") + "\n"


def propose_file(given: DraftFields, folder: str, created_at: datetime) -> tuple[str, str]:
    """The path and the text of the file that a draft would be."""
    return _make_path(folder, _make_name(given), created_at), write_file(given, created_at)


def create_draft(database: Database, forge: Forge, given: DraftFields, folder: str) -> Draft:
    """Store a draft and push it, as a file below this folder of the repository. Raises Rejected when its slug is taken."""
    now = datetime.now(UTC)
    name, source = _make_name(given), write_file(given, now)
    for number in range(1, _MAX_NAMES):
        numbered = name if number == 1 else f"{name}-{number}"
        key = numbered if given.slug else _make_path(folder, numbered, now).rpartition("/")[2].removesuffix(".md")
        with database.transaction() as tx:
            made = drafts.add(tx, key, _make_path(folder, numbered, now), asdict(given), source)
        if made:
            try:
                with _claim(database, made.id):
                    return _push(database, forge, made)
            except PathTaken:
                with database.transaction() as tx:
                    drafts.delete(tx, made.id)
        if given.slug:
            raise Rejected("slug_invalid", f"There is an issue with the slug {given.slug} already: choose another one.")
    raise Rejected("subject_invalid", "Too many drafts have this title: give each a slug.")


def change_draft(database: Database, forge: Forge, draft: Draft, changes: Mapping[str, Any]) -> Draft:
    """Change a draft's fields and push it. Raises Rejected for a new slug, ForgeError if it was deleted."""
    if changes.get("slug", draft.fields["slug"]) not in (draft.fields["slug"], draft.key):
        raise Rejected("slug_invalid", "A draft keeps its slug: change it in git.")
    given = {name: value for name, value in changes.items() if name != "slug"}
    with _claim(database, draft.id):
        with database.transaction() as tx:
            known = drafts.get(tx, draft.id) or draft
            merged = read_fields({**known.fields, **given})
            changed = drafts.set_content(tx, known, asdict(merged), write_file(merged, known.created_at))
        return _push(database, forge, changed)


def delete_draft(database: Database, forge: Forge, draft: Draft) -> None:
    """Delete a draft and its branch, and close its pull request. Raises ForgeError when somebody else changed the branch."""
    with _claim(database, draft.id):
        with database.transaction() as tx:
            draft = drafts.get(tx, draft.id) or draft
        if draft.pushed_commit:
            forge.delete(draft.branch, draft.pushed_commit, draft.pull_request)
        with database.transaction() as tx:
            drafts.delete(tx, draft.id)


def find_draft(database: Database, number: int | None, key: str) -> Draft | None:
    """The draft whose issue has this number or this key, or None."""
    with database.transaction() as tx:
        known = drafts.list_all(tx)
    return next((one for one in known if one.key == key or issue_overview.issue_number(one.key) == number), None)


def list_drafts(database: Database) -> dict[str, Draft]:
    """All drafts that are no issues of the ledger yet, by key."""
    with database.transaction() as tx:
        return {one.key: one for one in drafts.list_all(tx)}


def read_fields(stored: Mapping[str, Any]) -> DraftFields:
    """A draft's fields as they are stored."""
    known = {one.name for one in fields(DraftFields)}
    given = {name: value for name, value in stored.items() if name in known}
    return DraftFields(**{**given, "ignored": tuple(given.get("ignored", ()))})


@contextmanager
def _claim(database: Database, draft_id: int) -> Iterator[None]:
    """Let one request at a time push a draft, without an open transaction. Raises DraftBusy when another one does not end."""
    gives_up_at = time.monotonic() + _MAX_CLAIM_WAIT_SECONDS
    while True:
        with database.transaction() as tx:
            claim, known = drafts.claim(tx, draft_id, _CLAIM_SECONDS), drafts.get(tx, draft_id)
        if known is None:
            raise ForgeError("The draft was deleted meanwhile: create it again.")
        if claim:
            break
        if time.monotonic() > gives_up_at:
            raise DraftBusy("Another request is writing this draft to the repository: try again in a minute.")
        time.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        with database.transaction() as tx:
            drafts.release(tx, draft_id, claim)


def _push(database: Database, forge: Forge, draft: Draft) -> Draft:
    """Push a draft's file with the images it shows, and store what became of it; the draft as it is then. Raises PathTaken."""
    title = draft.fields["subject"].strip() or "Untitled"
    content, images = _gather_images(database, draft)
    names = [draft.branch, *(f"{draft.branch}-{number}" for number in range(2, _MAX_BRANCHES))]
    for branch in names[:1] if draft.pushed_commit else names:
        change = BranchChange(branch, draft.path, content, title, draft.pushed_commit, draft.pull_request, images)
        try:
            pushed = forge.push(change)
        except PathTaken:
            raise
        except ForgeError as error:
            draft = replace(draft, reason=str(error))
            if error.commit:
                draft = replace(draft, branch=branch, pushed_commit=error.commit)
            if isinstance(error, BranchTaken):
                continue
        else:
            pull_request = pushed.pull_request or draft.pull_request
            draft = replace(draft, branch=branch, pushed_commit=pushed.commit, pull_request=pull_request, reason=pushed.reason)
        break
    with database.transaction() as tx:
        drafts.set_outcome(tx, draft)
    return draft


def _gather_images(database: Database, draft: Draft) -> tuple[bytes, dict[str, bytes]]:
    """The file to commit, in which addresses of uploaded images are paths, and the images by path."""
    with database.transaction() as tx:
        found = draft_images.list_contents(tx, draft.source)
    folder = f"{draft.path.rpartition('/')[0].rpartition('/')[0]}/{FOLDER}".lstrip("/")
    source = draft.source
    for name in found:
        address = rf"(?:https?://[^\s()<>\"']+)?/{FOLDER}/{re.escape(name)}"
        source = re.sub(rf"^(Image: ){address}$", rf"\g<1>{FOLDER}/{name}", source, flags=re.MULTILINE)
        source = re.sub(address, f"../{FOLDER}/{name}", source)
    return source.encode(), {f"{folder}/{name}": content for name, content in found.items()}


def _make_name(given: DraftFields) -> str:
    return given.slug or slugify(given.subject)[:_MAX_FILE_NAME_CHARS].strip("-")


def _make_path(folder: str, name: str, now: datetime) -> str:
    """The path of a file: its date, so that files sort by time, and its name, if it has one."""
    day = f"{local_time.to_local(now):%Y-%m-%d}"
    return f"{folder}/{day}{'-' if name and not name.startswith('-') else ''}{name}.md"
