"""What an archive contains, whatever tool it comes from: posts in Markdown, and remarks about what they lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

PICTURE = "postmerge-picture://"  # followed by the index of a post's picture: where its Markdown shows the picture


@dataclass(frozen=True)
class ImportRemark:
    """One line of the report: where in the archive, and what could not be carried or was decided."""

    where: str
    message: str


@dataclass(frozen=True)
class ImportedPost:
    """One post. ``where`` is its place in the archive, ``address`` the URL or path that it had, ``date`` None if unknown,
    naive in the newsletter's zone.

    ``pictures`` are names of the archive's files; the body refers to them with PICTURE and their index.
    """

    where: str
    title: str
    body: str
    date: datetime | None
    slug: str = ""
    address: str = ""
    formerly: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    authors: tuple[str, ...] = ()
    summary: str = ""
    lang: str = ""
    premium: bool = False
    draft: bool = False
    pictures: tuple[str, ...] = ()


@dataclass
class PostArchive:
    """All posts of an archive, in its order. ``tool`` is the name for people."""

    tool: str
    posts: list[ImportedPost] = field(default_factory=list)
    remarks: list[ImportRemark] = field(default_factory=list)

    def remark(self, where: str, message: str) -> None:
        """Add a line to the report."""
        self.remarks.append(ImportRemark(where, message))


FindPicture = Callable[[str], str]  # from a picture's address to the archive's file, or ''
