"""Which tool an archive comes from, and how its posts are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mailer.archives import buttondown, feeds, ghost, static_sites, substack
from mailer.archives.archive_files import ArchiveContents
from mailer.archives.posts import PostArchive
from mailer.core.errors import BadInput


@dataclass(frozen=True)
class ArchiveFormat:
    """A kind of archive: the name for ``--from``, whether an archive is of it, and how its posts are read."""

    name: str
    recognize: Callable[[ArchiveContents], bool]
    read: Callable[[ArchiveContents], PostArchive]


FORMATS = (
    ArchiveFormat("substack", substack.recognize, substack.read_archive),
    ArchiveFormat("ghost", ghost.recognize, ghost.read_archive),
    ArchiveFormat("jekyll", static_sites.recognize_jekyll, static_sites.read_jekyll),
    ArchiveFormat("hugo", static_sites.recognize_hugo, static_sites.read_hugo),
    ArchiveFormat("buttondown", buttondown.recognize, buttondown.read_archive),
    ArchiveFormat("wordpress", feeds.recognize_wordpress, feeds.read_archive),
    ArchiveFormat("feed", feeds.recognize, feeds.read_archive),
)
NAMES = tuple(one.name for one in FORMATS)


def read_posts(files: ArchiveContents, name: str = "") -> PostArchive:
    """Read an archive's posts, as the format ``name`` or as the first that recognizes it. Raises BadInput."""
    found = next((one for one in FORMATS if (one.name == name if name else one.recognize(files))), None)
    if found is None:
        raise BadInput(
            f"{files.path} is not an archive of a known tool: give the tool's export, and name the tool with --from."
        )
    archive = found.read(files)
    archive.remarks += files.remarks
    if not archive.posts and not archive.remarks:
        archive.remark(files.path.name, "There are no posts in it.")
    return archive
